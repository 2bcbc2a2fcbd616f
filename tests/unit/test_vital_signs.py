"""When a process had better be started anew, and when not."""

from __future__ import annotations

import threading

from kubestudy.runtime.vital_signs import VitalSigns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_work_that_nobody_goes_on_with_is_told() -> None:
    clock = Clock()
    signs = VitalSigns(clock)
    pulse = signs.pulse("lease", 60)
    assert signs.alive(), "it has not begun"
    pulse.beat()
    clock.now = 60
    assert signs.alive()
    clock.now = 61
    assert (signs.alive(), signs.stuck) == (False, ["lease"])
    pulse.beat()
    assert signs.alive()


def test_who_waits_for_work_is_well_however_long() -> None:
    clock = Clock()
    signs = VitalSigns(clock)
    pulse = signs.pulse("workers", 60)
    pulse.beat()
    pulse.rest()
    clock.now = 1e6
    assert signs.alive()
    pulse.beat()
    pulse.end()
    clock.now = 2e6
    assert signs.alive()


def test_one_that_hangs_is_borne_as_long_as_another_does_the_work() -> None:
    clock = Clock()
    signs = VitalSigns(clock)
    first, second = signs.pulse("workers", 60), signs.pulse("workers", 60)
    first.beat()
    clock.now = 61
    assert signs.alive()
    second.beat()
    clock.now = 122
    assert signs.stuck == ["workers"]


def test_a_thread_that_has_died_is_not_at_rest() -> None:
    signs = VitalSigns(Clock())
    pulse = signs.pulse("watch of pods", 60)

    def die() -> None:
        pulse.rest()

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    assert signs.stuck == ["watch of pods"]
