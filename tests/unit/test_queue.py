"""The queue hands each key to one worker at a time, when it is due, and forgets none."""

from __future__ import annotations

import threading
import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kubestudy.runtime.queue import WorkQueue
from kubestudy.runtime.slots import Slots
from tests.support.waiting import until


def test_keys_are_taken_when_due_though_workers_stay_with_theirs() -> None:
    queue: WorkQueue[int] = WorkQueue()
    taken: list[int] = []
    end = threading.Event()

    def work() -> None:
        while (key := queue.get()) is not None:
            taken.append(key)
            end.wait()
            queue.done(key)

    for _ in range(8):
        threading.Thread(target=work, daemon=True).start()
    for key in (5, 2, 7, 0, 3, 6, 1, 4):
        queue.add(key, key * 0.02)
    until(lambda: len(taken), lambda n: n == 8, what="all are taken", timeout=5)
    assert taken == list(range(8))
    end.set()
    queue.close()


def test_a_key_is_with_one_worker_and_news_of_it_waits() -> None:
    queue: WorkQueue[str] = WorkQueue()
    rounds, at_once, seen = Counter[str](), Counter[str](), []

    def work() -> None:
        while (key := queue.get()) is not None:
            at_once[key] += 1
            seen.append(at_once[key])
            time.sleep(0.005)
            at_once[key] -= 1
            rounds[key] += 1
            queue.done(key)

    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(20):
        queue.add("a")
        time.sleep(0.002)
    last = rounds["a"]
    queue.add("a")
    until(lambda: rounds["a"], lambda n: n > last and not len(queue), what="news is worked on")
    assert set(seen) == {1}
    assert rounds["a"] < 20
    queue.close()


def by_letter(key: str) -> str:
    return key[0]


def test_a_share_with_many_keys_lets_the_others_have_every_second_turn() -> None:
    queue = WorkQueue(by_letter)
    for number in range(100):
        queue.add(f"a{number}")
    queue.add("b0")
    queue.add("c0")
    queue.add("b1")
    assert [queue.get() for _ in range(6)] == ["a0", "b0", "c0", "a1", "b1", "a2"]
    assert len(queue) == 97


def test_a_share_is_worked_on_by_so_many_at_once_and_no_more() -> None:
    queue = WorkQueue(by_letter, at_once=2)
    for key in ("a0", "a1", "a2", "b0"):
        queue.add(key)
    assert [queue.get() for _ in range(3)] == ["a0", "b0", "a1"]
    taken: list[str | None] = []
    waiting = threading.Thread(target=lambda: taken.append(queue.get()), daemon=True)
    waiting.start()
    queue.done("b0")
    assert not taken, "two of a's are at work"
    queue.done("a0")
    waiting.join(5)
    assert taken == ["a2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.booleans()), max_size=60))
def test_nothing_is_lost_and_nothing_is_handed_out_twice(
    steps: list[tuple[str, int, bool]],
) -> None:
    queue = WorkQueue(by_letter)
    waiting, working = set[str](), list[str]()
    for letter, number, takes in steps:
        if takes and waiting - set(working):
            key = queue.get()
            assert key in waiting and key not in working
            waiting.discard(key)
            working.append(key)
        elif takes and working:
            queue.done(working.pop(0))
        else:
            queue.add(f"{letter}{number}")
            waiting.add(f"{letter}{number}")
        assert len(queue) == len(waiting)


def test_slots_are_left_to_whoever_comes_later() -> None:
    slots = Slots(100)
    for share, most in (("a", 75), ("b", 18), ("c", 5), ("d", 1), ("e", 1)):
        assert sum(slots.take(share) for _ in range(200)) == most
    assert not slots.take("f"), "all are taken"
    slots.give_back("a")
    assert not slots.take("a"), "it still has more than three quarters of what the others left"
    assert slots.take("f")
