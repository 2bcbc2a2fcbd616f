"""The controller is killed before or after any of its writes, and nothing is lost or done twice.

The proxy in front of the API server kills it when a request that changes something passes: before
it is forwarded, or when it has been carried out and the answer would come. ``make test`` does it
some dozen times, ``make test-faults`` 500 times.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kubestudy.runtime.client import JOBS, TRIALS, Object
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import NONE, Call, Fault, FaultProxy
from tests.support.kubectl import Namespace, condition, end_reason, ended
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(3600), pytest.mark.usefixtures("rights_suffice")]

KILLS = 500 if thorough() else 40
EACH = 3 if thorough() else 1
WRITES = [
    "POST trials",
    "POST jobs",
    "PATCH jobs",
    "DELETE jobs",
    "POST events",
    "PATCH trials/status",
    "PATCH studies/status",
]
BOUNDARIES = [f"{where} {write}" for write in WRITES for where in ("before", "after")]


def write_of(call: Call) -> str:
    """What a request writes: its method and resource."""
    words = call.path.partition("?")[0].strip("/").split("/")
    after = words[words.index("namespaces") + 2 :]
    return f"{call.method} {'/'.join([after[0], *after[2:]])}"


class Killer:
    """Kills the controller at its writes, and starts it again, from entry to exit.

    Args:
        proxy: What it speaks through.
        process: The controller.
        kills: How often at most.

    Attributes:
        done: The kills so far, by boundary.
    """

    def __init__(self, proxy: FaultProxy, process: ControllerProcess, kills: int) -> None:
        self._proxy, self._process, self._kills = proxy, process, kills
        self._dice = random.Random(25)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._revive, daemon=True)
        self._passes = 0
        self.done: Counter[str] = Counter()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kills while the body runs; afterwards the controller lives."""
        self._proxy.fault = self._choose
        self._thread.start()
        try:
            yield
        finally:
            self._proxy.fault = lambda _: NONE
            self._stopping.set()
            self._thread.join()

    @property
    def lacking(self) -> Counter[str]:
        """How many kills each boundary still needs."""
        return Counter({b: max(0, EACH - self.done[b]) for b in BOUNDARIES})

    def _choose(self, call: Call) -> Fault:
        if not call.writes:
            return NONE
        with self._lock:
            left = self._kills - self.done.total()
            if left <= 0 or not self._process.running:
                return NONE
            kinds = {where: f"{where} {write_of(call)}" for where in ("before", "after")}
            where = min(kinds, key=lambda w: (self.done[kinds[w]], self._dice.random()))
            # What was tried too little goes first; of the others, some pass.
            spare = left > sum(self.lacking.values())
            passes = self._passes < self._dice.randrange(4)
            if not self.lacking[kinds[where]] and (passes or not spare):
                self._passes += 1
                return NONE
            self._passes = 0
            self.done[kinds[where]] += 1
        return Fault(cut=where == "before", lose=where == "after", then=self._process.kill)

    def _revive(self) -> None:
        while not self._stopping.wait(0.02):
            if not self._process.running:
                self._process.start()


SPACE = [{"name": "rate", "min": 1e-6, "max": 1e-3, "scale": "Log"}]
GOAL = [{"metric": "accuracy", "direction": "Maximize", "target": 0.9}]
TRIALS_EACH = {"plain": 8, "goal": 3, "held": 2}


def studies(suffix: str) -> list[Object]:
    """One that runs to its end, one that stops when its goal is reached, one that is suspended."""
    plain = study(
        f"plain{suffix}",
        parameters={},
        algorithm={"type": "Random", "seed": 7},
        budget={"parallelism": 2, "maxTrials": TRIALS_EACH["plain"]},
    )
    plain["spec"]["parameters"] = SPACE
    goal = study(f"goal{suffix}", {"goal": [0.1, 0.2, 0.95]}, objectives=GOAL)
    held = study(f"held{suffix}", {"held": [1, 2]}, budget={"parallelism": 2})
    return [plain, goal, held]


class Trainings:
    """How the trials behave: what is to be suspended or stopped runs for long until then."""

    def __init__(self) -> None:
        self.to_be_held = True

    def __call__(self, parameters: dict[str, Any], _: int) -> Ending:
        if "goal" in parameters:
            return Ending(parameters["goal"], seconds=3 if parameters["goal"] > 0.9 else 900)
        if "held" in parameters:
            return Ending(parameters["held"], seconds=900 if self.to_be_held else 0.5)
        return Ending(parameters["rate"], seconds=0.5)


def round_of(namespace: Namespace, trainings: Trainings, suffix: str) -> dict[str, Any]:
    """Runs the three Studies to their ends; returns what became of them, without the times."""
    made = studies(suffix)
    for one in made:
        namespace.apply(one)
    held = f"held{suffix}"
    trainings.to_be_held = True
    until(lambda: namespace.active_pods(held), lambda p: len(p) == 2, what="both pods", timeout=120)
    namespace.edit(held, {"suspend": True})
    until(lambda: namespace.active_pods(held), lambda p: not p, what="no pod", timeout=120)
    trainings.to_be_held = False
    namespace.edit(held, {"suspend": False})
    found: dict[str, Any] = {}
    for one in made:
        name = one["metadata"]["name"]
        done = namespace.wait_for_study(name, ended, "has ended", timeout=1800)
        status = done["status"]
        assert namespace.active_pods(name) == []
        found[name.removesuffix(suffix)] = {
            "reason": end_reason(done),
            "counts": status["trials"],
            "best": status["best"]["parameters"],
            "trials": [
                {
                    "parameters": t["spec"]["parameters"],
                    "objectives": t["status"].get("objectives"),
                    "state": [
                        (c["type"], c["reason"])
                        for c in t["status"]["conditions"]
                        if c["status"] == "True"
                    ],
                    "runs": [
                        (r["job"].removeprefix(name), r["outcome"]) for r in t["status"]["runs"]
                    ]
                    if t["spec"]["parameters"].get("goal") in (None, 0.95)
                    else None,  # how far those got that were stopped depends on the moment
                }
                for t in namespace.trials(name)
            ],
        }
        # No Job is left that is not of a run that is written down.
        runs = {r["job"] for t in namespace.trials(name) for r in t["status"].get("runs") or ()}
        until(
            lambda name=name, runs=runs: (
                {j["metadata"]["name"] for j in namespace.jobs(name)} - runs
            ),
            lambda orphans: not orphans,
            what="no Job is an orphan",
        )
        assert condition(done, "Progressing")["status"] == "False"
    return found


def test_killed_at_its_writes_the_end_is_the_same(
    namespace: Namespace,
    proxy: FaultProxy,
    start_controller: Callable[..., ControllerProcess],
) -> None:
    process = start_controller("--no-leader-elect", kubeconfig=proxy.kubeconfig)
    rounds, trainings = 0, Trainings()
    killer = Killer(proxy, process, KILLS)
    with (
        Kubelet(namespace, trainings),
        Recorder(namespace, TRIALS) as trials,
        Recorder(namespace, JOBS) as jobs,
    ):
        undisturbed = round_of(namespace, trainings, "")
        assert [len(undisturbed[s]["trials"]) for s in TRIALS_EACH] == list(TRIALS_EACH.values())
        with killer.at_work():
            while killer.lacking.total() or (thorough() and killer.done.total() < KILLS):
                rounds += 1
                began = time.monotonic()
                assert round_of(namespace, trainings, f"-{rounds}") == undisturbed
                print(
                    f"round {rounds}: {time.monotonic() - began:.0f} s, {killer.done.total()} kills"
                )
    print(dict(killer.done))
    everything = rounds + 1
    assert len(trials.names) == len(set(trials.names)) == everything * sum(TRIALS_EACH.values())
    assert len(jobs.names) == len(set(jobs.names)) == everything * sum(TRIALS_EACH.values())
    assert not killer.lacking.total()
    if thorough():
        assert killer.done.total() == KILLS
