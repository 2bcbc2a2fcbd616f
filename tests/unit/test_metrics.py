"""What Prometheus is told of Studies: a bounded number of series, gone with their Study."""

from __future__ import annotations

import json
import logging
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from kubestudy.api.trial import Trial
from kubestudy.runtime import logs
from kubestudy.runtime.cache import Cache, key_of
from kubestudy.runtime.studies import Studies
from kubestudy.runtime.study_metrics import StudyMetrics
from tests.unit.build import study_document, trial


class World:
    """Caches as the controller has them, and what is told of them."""

    def __init__(self) -> None:
        self.studies = Studies()
        self.trials: Cache[Trial] = Cache(Trial.model_validate, key_of)
        self.registry = CollectorRegistry()
        self.registry.register(StudyMetrics(self.studies, self.trials))
        self._version = 0

    def put(self, cache: Cache[Any], document: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        document["metadata"] |= {"resourceVersion": str(self._version)}
        cache.put(document)
        return document

    def put_study(self, name: str) -> dict[str, Any]:
        document = study_document()
        document["metadata"] |= {"name": name, "uid": f"uid-{name}"}
        document["status"] = {
            "gpuSeconds": {"used": 120, "saved": 30},
            "best": {
                "trial": f"{name}-3",
                "objectives": [{"metric": "accuracy", "value": 0.9}],
                "parameters": {"lr": 0.1},
            },
        }
        return self.put(self.studies.cache, document)

    def put_trials(self, number: int) -> None:
        for i in range(number):
            state = ("Succeeded", "Failed", "Running")[i % 3]
            self.put(self.trials, trial(i, state=state, value=float(i)).to_json())

    def told(self) -> list[str]:
        text = generate_latest(self.registry).decode()
        return [line for line in text.splitlines() if not line.startswith("#")]


def test_a_thousand_trials_make_no_more_series_than_ten() -> None:
    few, many = World(), World()
    for world, number in ((few, 10), (many, 1000)):
        world.put_study("demo")
        world.put_trials(number)
    names = [[line.rsplit(" ", 1)[0] for line in world.told()] for world in (few, many)]
    assert names[0] == names[1]
    assert 'kubestudy_trials{namespace="team",state="Failed"} 333.0' in many.told()


def test_the_series_of_a_study_go_with_it() -> None:
    world = World()
    kept, gone = world.put_study("kept"), world.put_study("gone")
    best = 'kubestudy_study_best_objective{namespace="team",objective="accuracy",study="%s"} 0.9'
    assert {best % "kept", best % "gone"} <= set(world.told())
    world.studies.cache.remove(gone | {"metadata": gone["metadata"] | {"resourceVersion": "9"}})
    assert [line for line in world.told() if 'study="gone"' in line] == []
    assert best % kept["metadata"]["name"] in world.told()
    assert 'kubestudy_study_gpu_used_seconds{namespace="team",study="kept"} 120.0' in world.told()


def test_a_line_of_the_log_says_which_round_it_belongs_to() -> None:
    def line() -> dict[str, str]:
        record = logging.LogRecord("x", logging.INFO, "f", 1, "done %s", ("it",), None)
        read: dict[str, str] = json.loads(logs.JsonFormatter().format(record))
        return read

    with logs.reconciling("team", "demo"):
        first, second = line(), line()
    with logs.reconciling("team", "demo"):
        third = line()
    assert (first["namespace"], first["study"], first["message"]) == ("team", "demo", "done it")
    assert first["reconcileID"] == second["reconcileID"] != third["reconcileID"]
    assert "reconcileID" not in line()
