"""A leader whom nobody can replace, since the API server is away, goes on afterwards."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kubestudy.runtime import leader
from kubestudy.runtime.client import ApiError, Object, Resource
from kubestudy.runtime.clock import ServerClock
from kubestudy.runtime.leader import Leadership
from tests.support.waiting import until


class Leases:
    """An API server with one lease, which may be away."""

    def __init__(self) -> None:
        self.clock = ServerClock()
        self.lease: Object | None = None
        self.away = False
        self.clock = ServerClock()

    def hasty(self, _: float) -> Leases:
        return self

    def get(self, _: Resource, __: str, name: str) -> Object:
        self._answer()
        if self.lease is None:
            raise ApiError(404, "NotFound", name)
        return copy.deepcopy(self.lease)

    def create(self, _: Resource, body: Object) -> Object:
        self._answer()
        self.lease = body
        return body

    def replace(self, _: Resource, __: str, ___: str, body: Object) -> Object:
        self._answer()
        self.lease = body
        return body

    def _answer(self) -> None:
        if self.away:
            raise ApiError(0, "Unreachable", "away")


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Leases]:
    monkeypatch.setattr(leader, "RETRY", 0.02)
    monkeypatch.setattr(leader, "RENEW_DEADLINE", 0.2)
    yield Leases()


def lead(leases: Leases) -> Leadership:
    one = Leadership(leases, "system", "lease", "one")  # type: ignore[arg-type]
    assert one.acquire(threading.Event())
    return one


def test_a_leader_writes_nothing_while_it_cannot_renew_and_goes_on_when_it_can(
    leases: Leases,
) -> None:
    one = lead(leases)
    assert one.holds()
    leases.away = True
    until(one.holds, lambda held: not held, what="it may not write", timeout=5)
    time.sleep(0.2)
    assert not one.lost.is_set()
    leases.away = False
    until(one.holds, what="it may write again", timeout=5)
    assert not one.lost.is_set()
    one.release()


@pytest.mark.parametrize("holder", ["another", ""], ids=["led by another", "let go by another"])
def test_a_leader_that_was_replaced_meanwhile_has_lost(leases: Leases, holder: str) -> None:
    one = lead(leases)
    leases.away = True
    until(one.holds, lambda held: not held, what="it may not write", timeout=5)
    assert leases.lease is not None
    leases.lease["spec"]["holderIdentity"] = holder
    leases.away = False
    until(one.lost.is_set, what="it has lost", timeout=5)
    assert not one.holds()


def test_a_leader_that_has_let_go_writes_nothing_more(leases: Leases) -> None:
    one = lead(leases)
    one.release()
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == ""
    assert not one.holds()


@pytest.mark.parametrize("spec", ["odd", [1], {"holderIdentity": ["x"], "leaseTransitions": "y"}])
def test_what_somebody_writes_into_the_lease_does_not_end_its_renewal(
    leases: Leases, spec: Any
) -> None:
    one = lead(leases)
    assert leases.lease is not None
    good = leases.lease["spec"]
    leases.lease["spec"] = spec
    until(one.holds, lambda held: not held, what="it may not write", timeout=5)
    leases.lease["spec"] = good
    until(lambda: one.holds() or one.lost.is_set(), what="it goes on", timeout=5)
    one.release()


def test_a_conflict_with_a_late_request_of_its_own_costs_no_leadership(leases: Leases) -> None:
    one = lead(leases)
    replace, conflicts = leases.replace, [3]

    def late(resource: Resource, namespace: str, name: str, body: Object) -> Object:
        if conflicts[0]:
            conflicts[0] -= 1
            raise ApiError(409, "Conflict", "the object has been modified")
        return replace(resource, namespace, name, body)

    leases.replace = late  # type: ignore[method-assign]
    until(lambda: not conflicts[0], what="it was refused", timeout=5)
    time.sleep(0.2)
    assert not one.lost.is_set()
    assert one.holds()
    one.release()
