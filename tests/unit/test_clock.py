"""The API server's clock, as we tell it from its answers."""

from __future__ import annotations

import random
from email.utils import formatdate

import pytest

from kubestudy.runtime import clock
from kubestudy.runtime.clock import ServerClock


class Machine:
    """A machine's clocks, in place of the real ones."""

    def __init__(self, ahead: float) -> None:
        self.up, self.ahead = 1000.0, ahead

    def monotonic(self) -> float:
        return self.up

    def time(self) -> float:
        return 1.8e9 + self.up + self.ahead


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(ahead=300)
    monkeypatch.setattr(clock, "time", machine)
    return machine


def answer(server: ServerClock, machine: Machine, there: float, back: float) -> None:
    """A request that takes so long on its way there and back."""
    asked = machine.up
    machine.up += there
    date = formatdate(1.8e9 + machine.up, usegmt=True)
    machine.up += back
    server.heard(date, asked, machine.up)


def off(server: ServerClock, machine: Machine) -> float:
    return server.now().timestamp() - (1.8e9 + machine.up)


def test_one_answer_tells_it_to_the_second(machine: Machine) -> None:
    server = ServerClock()
    assert off(server, machine) == pytest.approx(300)
    answer(server, machine, 0.02, 0.03)
    assert abs(off(server, machine)) <= 1.05


def test_many_answers_tell_it_better(machine: Machine) -> None:
    server, dice = ServerClock(), random.Random(5)
    for _ in range(300):
        answer(server, machine, dice.uniform(0.01, 0.2), dice.uniform(0.01, 0.2))
        machine.up += dice.uniform(0, 2)
    assert abs(off(server, machine)) < 0.2


def test_an_answer_that_was_long_on_its_way_changes_nothing(machine: Machine) -> None:
    server = ServerClock()
    for _ in range(100):
        answer(server, machine, 0.01, 0.01)
        machine.up += 0.33
    before = off(server, machine)
    answer(server, machine, 0.0, 25.0)
    answer(server, machine, 25.0, 0.0)
    assert off(server, machine) == pytest.approx(before)


def test_a_jump_of_our_own_clock_changes_nothing(machine: Machine) -> None:
    server = ServerClock()
    answer(server, machine, 0.01, 0.01)
    before = off(server, machine)
    machine.ahead = -5000
    assert off(server, machine) == before


@pytest.mark.parametrize("date", [None, "", "today", "Tue, 99 Nov 2026 25:00:00 GMT"])
def test_what_is_no_date_is_passed_over(machine: Machine, date: str | None) -> None:
    server = ServerClock()
    server.heard(date, machine.up, machine.up)
    assert off(server, machine) == pytest.approx(300)


def test_a_wrong_clock_is_told_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    server = ServerClock()
    for _ in range(3):
        answer(server, machine, 0.01, 0.01)
    assert len(caplog.messages) == 1
    assert "ahead of the API server's" in caplog.text
