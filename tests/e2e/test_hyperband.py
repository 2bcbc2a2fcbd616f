"""Hyperband with the real Trainer: rungs, stopped trials, one that goes on from a checkpoint."""

from __future__ import annotations

import json

import pytest

from kubestudy.runtime.client import JOBS, Object
from tests.support.kubectl import Namespace, Refused, count, end_reason, ended
from tests.support.recorder import Recorder
from tests.support.studies import study

pytestmark = pytest.mark.timeout(1800, func_only=True)


def epochs(place: Namespace, pod: str) -> list[float]:
    """The epochs at which a pod has reported an evaluation so far."""
    try:
        lines = place.kubectl("logs", pod).splitlines()
    except Refused:
        return []  # it has not started, or is gone
    reports = [json.loads(line) for line in lines if line.startswith("{")]
    return [r["epoch"] for r in reports if "eval_accuracy" in r]


def name_of(pod: Object) -> str:
    name: str = pod["metadata"]["name"]
    return name


def reason(trial: Object) -> str:
    return next(c["reason"] for c in trial["status"]["conditions"] if c["status"] == "True")


def test_hyperband_stops_most_trials_and_resumes_one(
    place: Namespace, trial_with_data: str, volume: str
) -> None:
    # The good ones come first, the best of them before the others: of these some are held at a
    # rung, and turn out to be among the best once the poor ones have come there.
    good = [2e-3, 1.5e-3, 1e-3, 7e-4, 5e-4]
    manifest = study(
        "rungs",
        objectives=[{"metric": "eval_accuracy", "direction": "Maximize"}],
        initialTrials=[{"learning_rate": rate} for rate in good],
        algorithm={
            "type": "Hyperband",
            "seed": 3,
            "resource": {"name": "num_train_epochs", "max": 9, "eta": 3},
        },
        budget={"parallelism": 2},
        trial={
            "image": trial_with_data,
            "imagePullPolicy": "IfNotPresent",
            "gpus": 1,
            "checkpoints": {"claimName": volume},
            "args": [
                "--model_name_or_path=data/minilm",
                "--train_file=data/bbc/train.csv",
                "--validation_file=data/bbc/validation.csv",
                "--max_seq_length=32",
                "--num_hidden_layers=1",
                "--max_train_samples=128",
                "--max_eval_samples=100",
                "--per_device_train_batch_size=32",
            ],
        },
    )
    rate = {"name": "learning_rate", "min": 1e-6, "max": 2e-3, "scale": "Log"}
    manifest["spec"]["parameters"] = [rate]
    with Recorder(place, JOBS) as jobs:
        place.apply(manifest)
        first_epoch: dict[str, float] = {}

        def looked_at(seen: Object) -> bool:
            """Reads the logs of resumed runs while there are any; a stopped pod's are gone."""
            for pod in place.pods("rungs"):
                job = pod["metadata"]["labels"]["kubestudy.dev/run"]
                rung = int(pod["metadata"]["annotations"]["kubestudy.dev/run"].split("/")[0])
                if rung > 0 and job not in first_epoch and (told := epochs(place, name_of(pod))):
                    first_epoch[job] = told[0]
            return ended(seen)

        done = place.wait_for_study("rungs", looked_at, "has ended", timeout=1500)
    print(place.kubectl("get", "study,trials"))
    print(json.dumps(done["status"], indent=1))
    assert end_reason(done) == "BracketsFilled"
    trials = place.trials("rungs")
    assert len(trials) == 17
    assert sorted(t["spec"]["bracket"] for t in trials) == [0] * 9 + [1] * 5 + [2] * 3
    stopped = [t for t in trials if reason(t) == "Pruned"]
    assert len(stopped) == count(done, "stopped") >= 9
    came_to = {t["metadata"]["name"]: [r["resource"] for r in t["status"]["rungs"]] for t in trials}
    assert {tuple(c) for c in came_to.values()} >= {(1,), (1, 3, 9)}
    succeeded = [t for t in trials if t["status"].get("objectives")]
    assert len(succeeded) == count(done, "succeeded") == 17 - len(stopped)
    best = max(t["status"]["objectives"][0]["value"] for t in succeeded)
    assert done["status"]["best"]["objectives"][0]["value"] == best
    assert best == max(r["value"] for t in succeeded for r in t["status"]["rungs"][-1:])
    assert best > 0.5, "a trained model tells five kinds of news apart"

    # What was gone on with went on from where it stood, and no Job was made twice.
    resumed = [(t, run) for t in trials for run in t["status"]["runs"] if run["rung"] > 0]
    assert resumed
    for trial, run in resumed:
        first, *_ = [r for r in trial["status"]["runs"] if r["rung"] < run["rung"]]
        assert (first["outcome"], first["reason"]) == ("Stopped", "Paused")
        assert (first.get("rungs") or [])[0]["resource"] == 1 or trial["spec"]["bracket"] > 0
        stood = [r["resource"] for r in trial["status"]["rungs"]][run["rung"] - 1]
        assert first_epoch.get(run["job"], stood) >= stood, "it went on from its checkpoint"
        assert all(r["resource"] > stood for r in run.get("rungs") or ())
    assert any(run["job"] in first_epoch and run.get("rungs") for _, run in resumed)
    assert len(jobs.made) == sum(len(t["status"]["runs"]) for t in trials)
    gpu = done["status"]["gpuSeconds"]
    assert gpu["saved"] > 0
    assert place.active_pods("rungs") == []
