"""Why a Job has no pod, from events that anybody may write."""

from __future__ import annotations

from typing import Any

from kubestudy.runtime.client import Object
from kubestudy.runtime.json_cutter import Piece
from kubestudy.runtime.obstacles import Obstacles
from tests.unit.build import piece


class Events:
    def __init__(self, *events: Object) -> None:
        self._events = list(events)

    def listing(self, *_: object, **__: object) -> list[Piece]:
        return [piece(event) for event in self._events]


def event(version: int, **fields: Any) -> Object:
    regarding = {"kind": "Job", "namespace": "team", "name": "j"}
    return {
        "metadata": {"name": f"e{version}", "uid": f"e{version}", "resourceVersion": str(version)},
        "reason": "FailedCreate",
        **fields,
        "regarding": regarding | fields.get("regarding", {}),
    }


def test_an_event_without_what_others_have_hides_none_of_them() -> None:
    note = 'Error creating: pods "j-x1" is forbidden: exceeded quota: few'
    client: Any = Events(
        event(3, note=note, regarding={"uid": "one"}),
        event(1),
        event(2, regarding={"uid": "two"}),
    )
    obstacles = Obstacles(client)
    told = obstacles.of({"metadata": {"namespace": "team", "uid": "one"}})
    assert told == ("QuotaExceeded", "exceeded quota: few")
    assert obstacles.of({"metadata": {"namespace": "team", "uid": "two"}}) == ("FailedCreate", "")
    assert obstacles.of({"metadata": {"namespace": "team", "uid": "three"}}) is None
