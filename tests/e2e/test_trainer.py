"""The real Trainer fine-tunes a small real model on real texts, in pods."""

from __future__ import annotations

import json

import pytest

from kubestudy.runtime.client import Object
from tests.support.kubectl import Namespace, count, end_reason
from tests.support.studies import distinct, study

pytestmark = pytest.mark.timeout(1800, func_only=True)

SPACE = {"learning_rate": [1e-4, 1e-3], "num_hidden_layers": [1, 2]}


def reports(place: Namespace, pod: Object) -> list[Object]:
    """The reports in a pod's log, as any program would read them."""
    lines = place.kubectl("logs", pod["metadata"]["name"]).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_trials_report_what_their_logs_say(place: Namespace, trial_with_data: str) -> None:
    place.apply(
        study(
            "news",
            SPACE,
            objectives=[{"metric": "eval_accuracy", "direction": "Maximize"}],
            budget={"parallelism": 2},
            trial={
                "image": trial_with_data,
                "imagePullPolicy": "IfNotPresent",
                "gpus": 1,
                "args": [
                    "--model_name_or_path=data/minilm",
                    "--train_file=data/bbc/train.csv",
                    "--validation_file=data/bbc/validation.csv",
                    "--max_seq_length=48",
                    "--num_train_epochs=2",
                    "--per_device_train_batch_size=32",
                ],
            },
        )
    )
    done = place.wait_for_end("news", timeout=600)
    print(place.kubectl("get", "study,trials"))
    assert end_reason(done) == "SearchSpaceExhausted"
    assert count(done, "succeeded") == 4
    trials = place.trials("news")
    assert len(distinct(trials)) == 4
    pods = {p["metadata"]["uid"]: p for p in place.pods("news")}
    values = {}
    for trial in trials:
        status = trial["status"]
        (run,) = status["runs"]
        said = reports(place, pods[run["podUID"]])
        *evaluations, last = [r for r in said if "eval_accuracy" in r]
        # The last report says once more what the evaluation before it did: that counts once.
        assert last["final"]
        assert last["eval_accuracy"] == evaluations[-1]["eval_accuracy"]
        course = [r["eval_accuracy"] for r in evaluations]
        steps = [r["step"] for r in evaluations]
        values[trial["metadata"]["name"]] = course[-1]
        assert status["objectives"] == [{"metric": "eval_accuracy", "value": course[-1]}]
        (summary,) = [m for m in status["metrics"] if m["metric"] == "eval_accuracy"]
        assert summary == {
            "metric": "eval_accuracy",
            "latest": course[-1],
            "min": min(course),
            "max": max(course),
            "step": steps[-1],
            "count": len(course),
        }
        assert status["curve"] == [
            {"step": step, "value": value} for step, value in zip(steps, course, strict=True)
        ]
        assert len(course) >= 2
    best = done["status"]["best"]
    assert values[best["trial"]] == best["objectives"][0]["value"] == max(values.values())
    assert max(values.values()) > 0.5, "a trained model tells five kinds of news apart"
    assert place.active_pods("news") == []
