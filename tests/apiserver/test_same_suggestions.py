"""Faults change when things happen, but not what is suggested."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kubestudy.runtime.client import Object
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import ERRORS, NONE, Fault, FaultProxy, some
from tests.support.kubectl import Namespace, count
from tests.support.kubelet import Ending, Kubelet
from tests.support.studies import study
from tests.support.surroundings import thorough

pytestmark = pytest.mark.timeout(1200)

TRIALS = 60 if thorough() else 12
KILL_AT = 5
"""The controller is killed whenever so many more trials were made."""


def bayesian(name: str) -> Object:
    """A Study whose suggestions depend on all results before them, in their order."""
    made = study(
        name,
        algorithm={"type": "TPE", "seed": 11, "settings": {"startupTrials": 4}},
        budget={"parallelism": 1, "maxTrials": TRIALS},
    )
    made["spec"]["parameters"] = [
        {"name": "learning_rate", "min": 1e-6, "max": 1e-3, "scale": "Log"},
        {"name": "dropout", "min": 0, "max": 0.5},
        {"name": "layers", "min": 1, "max": 12, "type": "Int"},
        {"name": "optimizer", "choices": ["adamw", "sgd", "lion"]},
    ]
    return made


def train(p: Mapping[str, Any], _: int) -> Ending:
    off = abs(math.log10(p["learning_rate"]) + 4.3) / 3 + abs(p["dropout"] - 0.1)
    off += abs(p["layers"] - 6) / 12 + 0.1 * (p["optimizer"] != "adamw")
    return Ending(1 - off, seconds=0.05)


def suggested(namespace: Namespace, name: str) -> list[str]:
    return [json.dumps(t["spec"]["parameters"]) for t in namespace.trials(name)]


def test_faults_change_no_suggestion(
    namespace: Namespace,
    proxy: FaultProxy,
    start_controller: Callable[..., ControllerProcess],
) -> None:
    process = start_controller("--no-leader-elect", kubeconfig=proxy.kubeconfig)
    with Kubelet(namespace, train):
        namespace.apply(bayesian("calm"))
        namespace.wait_for_end("calm", timeout=600)
        proxy.fault = some(0.2, [*ERRORS, Fault(cut=True), Fault(lose=True)])
        namespace.apply(bayesian("shaken"))
        for number in range(KILL_AT, TRIALS, KILL_AT):
            namespace.wait_for_study(
                "shaken", lambda s, n=number: count(s, "created") >= n, "is on"
            )
            process.kill()
            process.start()
        proxy.fault = lambda _: NONE
        done = namespace.wait_for_end("shaken", timeout=120)
    assert count(done, "succeeded") == TRIALS
    assert suggested(namespace, "shaken") == suggested(namespace, "calm")
    assert len(set(suggested(namespace, "calm"))) == TRIALS
