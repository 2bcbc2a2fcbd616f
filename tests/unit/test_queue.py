"""The queue hands each key to one worker at a time, when it is due, and forgets none."""

from __future__ import annotations

import threading
import time
from collections import Counter

from kubestudy.runtime.queue import WorkQueue
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
