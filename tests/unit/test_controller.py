"""What the controller sees, from watches of which one may be behind the other."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from kubestudy.core.facts import RunState
from kubestudy.runtime.client import Object
from kubestudy.runtime.clock import ServerClock
from kubestudy.runtime.controller import ROOM_EVERY, Controller, ControllerSettings
from kubestudy.runtime.json_cutter import Piece
from kubestudy.runtime.studies import Studies
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


class Server:
    """An API server that has some Studies and remembers what is applied to them."""

    def __init__(self, *studies: Object) -> None:
        self.studies = {s["metadata"]["name"]: s for s in studies}
        self.applied: list[Object] = []
        self.clock = ServerClock()

    def get(self, _: object, __: str, name: str) -> Object:
        return json.loads(json.dumps(self.studies[name]))

    def apply_unread(self, _: object, __: object, body: Object, *___: object) -> None:
        self.applied.append(body)


def stored(name: str, version: int) -> Object:
    text = random.Random(version).randbytes(20_000).hex()
    containers = [{"name": "t", "image": "i", "args": [text]}]
    found = build.study_document(trial={"template": {"spec": {"containers": containers}}})
    found["metadata"] |= {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return found


def test_a_study_without_room_says_so_and_is_read_again_when_there_is_some() -> None:
    first, second = stored("first", 1), stored("second", 2)
    client: Any = Server(first, second)
    controller = Controller(client, ControllerSettings())
    controller.studies = Studies(share=30_000, total=100_000)
    for study in (first, second):
        controller.studies.cache.put(client.get(None, "", study["metadata"]["name"]))
    key = ("team", "second")
    assert controller.reconcile(key) == ROOM_EVERY
    assert controller.reconcile(key) == ROOM_EVERY
    (told,) = client.applied
    assert (told["metadata"]["name"], told["metadata"]["uid"]) == ("second", "uid-second")
    assert {(c["type"], c["status"], c["reason"]) for c in told["status"]["conditions"]} == {
        ("Accepted", "False", "OverShare"),
        ("Progressing", "False", "OverShare"),
    }
    controller.studies.cache.remove(first)
    assert controller.reconcile(key) == 1
    assert controller.studies.valid(key) is not None
