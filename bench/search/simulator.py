"""Simulated workers in simulated time: the same for every method that is compared.

The unit of time is one epoch of training. A worker that is given a run first spends the start-up
cost, then reports the loss after each epoch, from the one after the checkpoint that the run goes on
from. A run that is stopped frees its worker at once.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from bench.search.problem import Config, Problem


@dataclass(eq=False)
class Run:
    """One execution of a configuration on a worker.

    Attributes:
        key: Which one, by the method's own word.
        config: The configuration.
        epoch: The last epoch that it has reported, or that its checkpoint holds.
    """

    key: Hashable
    config: Config
    epoch: int = 0


class Method(Protocol):
    """A way to search."""

    def next(self, now: float) -> Run | None:
        """What a free worker should do; None where it should wait for something to happen."""

    def report(self, run: Run, loss: float, now: float) -> bool:
        """Takes the loss after ``run.epoch``; says whether the run goes on (it may be done)."""


@dataclass
class Trace:
    """What came of a search.

    Attributes:
        times: When a better loss was reported than any before.
        losses: That loss.
        busy: Share of the worker-time in use until the end, start-up counted.
        starting: Share of the worker-time that went into start-up.
        configs: The configurations in the order in which they were first started.
        resumed: How many runs went on from a checkpoint.
    """

    times: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    busy: float = 0.0
    starting: float = 0.0
    configs: list[Config] = field(default_factory=list)
    resumed: int = 0

    def best(self, time: float) -> float:
        """The best loss reported by a time; infinite where there was none."""
        place = bisect_right(self.times, time)
        return self.losses[place - 1] if place else float("inf")

    def time_to(self, loss: float) -> float:
        """When a loss was first reached; infinite where it never was."""
        return next(
            (t for t, v in zip(self.times, self.losses, strict=True) if v <= loss), float("inf")
        )


def simulate(
    method: Method, problem: Problem, workers: int, startup: float, horizon: float = float("inf")
) -> Trace:
    """Lets a method search until the horizon, or until it has nothing left to do.

    Args:
        method: Decides what the workers do.
        problem: What is searched.
        workers: How many runs go on at once.
        startup: Time from a run's start to the beginning of its first epoch, in epochs.
        horizon: When the budget ends, in epochs.
    """
    trace = Trace()
    order = count()
    events: list[tuple[float, int, Run, Sequence[float]]] = []
    began: dict[Run, float] = {}
    used = starting = now = 0.0
    while True:
        while len(began) < workers and (run := method.next(now)) is not None:
            if run.epoch:
                trace.resumed += 1
            else:
                trace.configs.append(run.config)
            began[run] = now
            losses = problem.losses(run.config)
            heapq.heappush(events, (now + startup + 1, next(order), run, losses))
        if not events or events[0][0] > horizon:
            break
        now, _, run, losses = heapq.heappop(events)
        run.epoch += 1
        loss = losses[run.epoch - 1]
        if not trace.losses or loss < trace.losses[-1]:
            trace.times.append(now)
            trace.losses.append(loss)
        if method.report(run, loss, now) and run.epoch < problem.epochs:
            heapq.heappush(events, (now + 1, next(order), run, losses))
            continue
        used += now - began[run]
        starting += startup
        del began[run]
    end = horizon if horizon != float("inf") else now
    for start in began.values():
        used += end - start
        starting += min(startup, end - start)
    if end > 0:
        trace.busy, trace.starting = used / (workers * end), starting / (workers * end)
    return trace
