"""What the controller sees, from watches of which one may be behind the other."""

from __future__ import annotations

from typing import Any

import pytest

from kubestudy.core.facts import RunState
from kubestudy.runtime.client import Object
from kubestudy.runtime.clock import ServerClock
from kubestudy.runtime.controller import Controller, ControllerSettings
from kubestudy.runtime.json_cutter import Piece
from tests.unit import build
from tests.unit.test_workloads_job import job, pod, says


class Pods:
    """An API server that knows of one pod."""

    def __init__(self, pod: Object) -> None:
        self.pod, self.asked = pod, 0
        self.clock = ServerClock()

    def listing(self, *_: object, **__: object) -> list[Piece]:
        self.asked += 1
        return [build.piece(self.pod)]


ENDED = pod(
    "Succeeded",
    {"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:02Z", "finishedAt": None}},
)
BEFORE = {
    "not seen": [],
    "not seen to start": [pod("Pending")],
    "not seen to end": [pod("Running", {"running": {"startedAt": "2026-01-01T00:00:02Z"}})],
}


@pytest.mark.parametrize("seen", BEFORE.values(), ids=BEFORE)
def test_a_pod_that_is_behind_its_job_is_asked_for(seen: list[Object]) -> None:
    where = {"namespace": "team", "resourceVersion": "9"}
    known = {**ENDED, "metadata": ENDED["metadata"] | where}
    client: Any = Pods(known)
    controller = Controller(client, ControllerSettings())
    complete = job(says("Complete"))
    trial = build.trial(0, state="Running").to_json()
    trial["metadata"] |= {"namespace": "team", "resourceVersion": "1", "uid": "t"}
    controller.trials.put(trial)
    facts = controller._run(complete, seen, build.at(60))
    assert client.asked == 1
    assert facts is not None
    assert (facts.state, facts.exit_code, facts.lingering) == (RunState.SUCCEEDED, 0, False)
    assert facts.started is not None, "so its report is waited for"
    assert controller._run(complete, [known], build.at(61)) == facts
    assert client.asked == 1
