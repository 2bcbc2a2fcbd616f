"""What kubestudy costs: a Study beside a bare loop and an Indexed Job of the very same pods.

    python -m bench.overhead [--quick] [--json FILE]

Runs on the cluster of $KUBECONFIG, or on the test cluster. What is measured, and what was found,
is in bench/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cluster import (
    BenchError,
    Controller,
    PodWatch,
    Writes,
    clean,
    installed_controller,
    namespace,
    own_controller,
    server_writes,
    wait,
)
from kubestudy.api.base import API_VERSION, LABEL_MANAGED_BY, LABEL_STUDY
from kubestudy.api.meta import ObjectMeta, is_true
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial, TrialSpec
from kubestudy.core.facts import RunKey
from kubestudy.runtime.client import JOBS, STUDIES, KubeClient
from kubestudy.workloads.job import build
from kubestudy.workloads.pod_template import JobSettings

WAYS = ("kubestudy", "bare loop", "indexed job")
GOALS = {
    "time / bare loop": 1.05,
    "time / indexed job": 1.00,
    "controller writes per trial": 6.0,
    "all writes / indexed job": 1.6,
    "the same, events apart": 1.6,
    "first pod, s": 1.5,
}


@dataclass(frozen=True)
class Workload:
    """What is run: so many trials, so many at once, each sleeping so long."""

    sleep: int
    parallelism: int
    trials: int
    image: str

    def study(self, name: str, where: str) -> dict[str, Any]:
        """The Study of it."""
        # Shuffled as real values are: in growing order each would be a new best, with an event.
        values = random.Random(0).sample(range(1, self.trials + 1), self.trials)
        pause = f"sleep {self.sleep}; " if self.sleep else ""
        return {
            "apiVersion": API_VERSION,
            "kind": "Study",
            "metadata": {"name": name, "namespace": where},
            "spec": {
                "objectives": [{"metric": "x", "direction": "Maximize"}],
                "parameters": [{"name": "x", "values": values}],
                "algorithm": {"type": "Grid"},
                "budget": {"parallelism": self.parallelism},
                "trial": {
                    "image": self.image,
                    "imagePullPolicy": "IfNotPresent",
                    # {"x": ...} is a report.
                    "command": ["sh", "-c", pause + 'echo "$KUBESTUDY_PARAMETERS"'],
                    "gpus": 1,
                },
            },
        }

    def job(self, name: str, where: str, index: int) -> dict[str, Any]:
        """The Job that kubestudy makes for a trial of it, belonging to nobody."""
        study = Study.model_validate(self.study(name, where))
        trial = Trial(
            metadata=ObjectMeta(name=f"{name}-{index}", namespace=where),
            spec=TrialSpec(study=name, index=index, parameters={"x": index + 1}),
        )
        job = build(study, trial, RunKey(trial.metadata.name), JobSettings())
        del job["metadata"]["ownerReferences"]
        for labelled in (job, job["spec"]["template"]):
            # The controller watches what it manages; it has no part in these.
            labelled["metadata"]["labels"] = {
                **labelled["metadata"]["labels"],
                LABEL_MANAGED_BY: "bench",
            }
        return job


@dataclass
class Run:
    """One measurement of one way."""

    way: str
    sleep: int
    parallelism: int
    round: int
    trials: int
    seconds: float
    writes: dict[str, int] = field(default_factory=dict)
    own_writes: dict[str, int] = field(default_factory=dict)
    cpu_seconds: float | None = None
    refill: float = 0.0


Measured = tuple[float, list[float], Callable[[], bool]]
"""Seconds to the last pod's end, seconds to fill each free slot again, and whether all is done."""


class Bench:
    """Measures on one cluster, in a namespace of its own."""

    def __init__(self, client: KubeClient, controller: Controller, where: str, noise: float):
        self._client, self._controller, self._where = client, controller, where
        self._noise = noise
        self._number = 0

    def run(self, way: str, load: Workload, round_: int) -> Run:
        """Runs a workload one way, and waits until all that it caused is done and cleared."""
        self._number += 1
        name = f"run-{self._number}"
        measure = {
            "kubestudy": self._kubestudy,
            "bare loop": self._bare_loop,
            "indexed job": self._indexed_job,
        }[way]
        before, own_before, began = self._counters(), self._controller.state(), time.monotonic()
        seconds, refills, ended = measure(name, load)
        wait(f"the end of {name}", ended)
        time.sleep(2)  # the last statuses and events
        own, took = self._controller.state(), time.monotonic() - began
        writes = self._counters() - before
        expected_noise = round(self._noise * took)
        if expected_noise:
            writes["noise"] = -expected_noise
        run = Run(way, load.sleep, load.parallelism, round_, load.trials, seconds, dict(writes))
        run.refill = statistics.median(refills) if refills else 0.0
        if way == "kubestudy":
            run.own_writes = dict(own[0] - own_before[0])
            run.cpu_seconds = own[1] - own_before[1]
            if run.own_writes.get("trials") != load.trials:
                raise BenchError("another controller took part: what was measured means nothing")
        clean(self._client, self._where)
        time.sleep(2)  # the node's own clearing up
        return run

    def first_pods(self, image: str, count: int) -> Iterator[tuple[float, float]]:
        """Yields the seconds from the start of kubectl apply to the first pod seen, and to the
        end of kubectl.
        """
        for i in range(count):
            study = Workload(0, 1, 1, image).study(f"first-{i}", self._where)
            with PodWatch(self._client, self._where) as pods:
                time.sleep(0.5)
                began = time.monotonic()
                apply(study)
                applied = time.monotonic()
                what, pod, seen = pods.news.get(timeout=60)
                assert what == "added", what
                assert pod["metadata"]["annotations"][LABEL_STUDY] == f"first-{i}"
                yield seen - began, applied - began
                list(pods.ends(1))
            clean(self._client, self._where)

    def _counters(self) -> Writes:
        return server_writes(self._client)

    def _kubestudy(self, name: str, load: Workload) -> Measured:
        body = load.study(name, self._where)

        def complete() -> bool:
            stored = self._client.get(STUDIES, self._where, name)
            status = Study.model_validate(stored).status
            if status is None or not is_true(status.conditions, "Complete"):
                return False
            if status.trials is None or status.trials.succeeded != load.trials:
                raise BenchError(f"{name} ended with {status.trials}")
            return self._jobs_complete(load.trials)

        with PodWatch(self._client, self._where) as pods:
            began = time.monotonic()
            self._client.create(STUDIES, body)
            *_, last = pods.ends(load.trials)
        return last - began, pods.refills(load.parallelism), complete

    def _bare_loop(self, name: str, load: Workload) -> Measured:
        jobs = iter([load.job(name, self._where, i) for i in range(load.trials)])
        with PodWatch(self._client, self._where) as pods:
            began = time.monotonic()
            for _ in range(load.parallelism):
                self._client.create(JOBS, next(jobs))
            for last in pods.ends(load.trials):  # noqa: B007
                if (job := next(jobs, None)) is not None:
                    self._client.create(JOBS, job)
        refills = pods.refills(load.parallelism)
        return last - began, refills, lambda: self._jobs_complete(load.trials)

    def _indexed_job(self, name: str, load: Workload) -> Measured:
        job = copy.deepcopy(load.job(name, self._where, 0))
        job["spec"] |= {
            "completionMode": "Indexed",
            "completions": load.trials,
            "parallelism": load.parallelism,
        }
        with PodWatch(self._client, self._where) as pods:
            began = time.monotonic()
            self._client.create(JOBS, job)
            *_, last = pods.ends(load.trials)
        refills = pods.refills(load.parallelism)
        return last - began, refills, lambda: self._jobs_complete(1)

    def _jobs_complete(self, count: int) -> bool:
        jobs = self._client.list(JOBS, self._where)["items"]
        done = [j for j in jobs if (j.get("status") or {}).get("completionTime")]
        return len(done) == count


def apply(body: dict[str, Any]) -> None:
    """Applies an object as a person does."""
    subprocess.run(
        ["kubectl", "apply", "-f", "-"],
        input=json.dumps(body).encode(),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def idle_writes(client: KubeClient, seconds: float) -> float:
    """Writes a second, leases and events apart, while we do nothing."""
    before, began = server_writes(client), time.monotonic()
    time.sleep(seconds)
    idle = server_writes(client) - before
    del idle["events"]
    return idle.total() / (time.monotonic() - began)


def refuse_company(client: KubeClient, where: str, image: str) -> None:
    """Refuses to measure where a controller works already that is not the one to be measured."""
    client.create(STUDIES, Workload(0, 1, 1, image).study("company", where))
    time.sleep(3)
    told = client.get(STUDIES, where, "company").get("status")
    clean(client, where)
    if told:
        raise BenchError(
            "a controller works in this cluster already: measure that one (--installed NAMESPACE),"
            " or stop it"
        )


def spread(values: list[float], digits: int = 2) -> str:
    """A median with the smallest and the largest value."""
    middle, least, most = statistics.median(values), min(values), max(values)
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def total(writes: dict[str, int], events: bool) -> int:
    """All writes, with events or without."""
    return sum(n for kind, n in writes.items() if events or kind != "events")


def summarize(runs: list[Run], latencies: list[tuple[float, float]]) -> dict[str, Any]:
    """Medians by workload and way, ratios within each round, and the goals."""
    rows = []
    for sleep, parallelism in dict.fromkeys((r.sleep, r.parallelism) for r in runs):
        of = [r for r in runs if (r.sleep, r.parallelism) == (sleep, parallelism)]
        by_way = {way: sorted((r for r in of if r.way == way), key=lambda r: r.round)
                  for way in WAYS}  # fmt: skip
        ours, bare, indexed = (by_way[way] for way in WAYS)

        def ratios(others: list[Run], of: Callable[[Run], float], ours: list[Run] = ours) -> Any:
            return [of(a) / of(b) for a, b in zip(ours, others, strict=True)]

        rows.append(
            {
                "sleep": sleep,
                "parallelism": parallelism,
                "seconds": {way: [r.seconds for r in by_way[way]] for way in WAYS},
                "refill": {way: [r.refill for r in by_way[way]] for way in WAYS},
                "time / bare loop": ratios(bare, lambda r: r.seconds),
                "time / indexed job": ratios(indexed, lambda r: r.seconds),
                "controller writes per trial": [
                    total(r.own_writes, events=False) / r.trials for r in ours
                ],
                "controller events per trial": [
                    r.own_writes.get("events", 0) / r.trials for r in ours
                ],
                "all writes / indexed job": ratios(indexed, lambda r: total(r.writes, True)),
                "the same, events apart": ratios(indexed, lambda r: total(r.writes, False)),
                "all writes / bare loop": ratios(bare, lambda r: total(r.writes, True)),
                "all writes per trial": {
                    way: [total(r.writes, True) / r.trials for r in by_way[way]] for way in WAYS
                },
                "events per trial": {
                    way: [r.writes.get("events", 0) / r.trials for r in by_way[way]] for way in WAYS
                },
                "cpu seconds per trial": [(r.cpu_seconds or 0) / r.trials for r in ours],
            }
        )
    summary: dict[str, Any] = {"workloads": rows}
    if latencies:
        summary["first pod, s"] = [a for a, _ in latencies]
        summary["kubectl apply, s"] = [b for _, b in latencies]
    return summary


def report(summary: dict[str, Any]) -> bool:
    """Prints the tables; returns whether all goals are met."""
    met = True

    def judged(goal: str, values: list[float]) -> str:
        nonlocal met
        good = statistics.median(values) <= GOALS[goal]
        met = met and good
        return f"{spread(values)} {'PASS' if good else 'MISS'}"

    def line(*cells: str) -> None:
        print(f"{cells[0]:34}" + "".join(f"{cell:>27}" for cell in cells[1:]))

    rows = summary["workloads"]
    if rows:
        line("", *(f"{r['sleep']} s, {r['parallelism']} at once" for r in rows))
    for way in WAYS if rows else ():
        line(f"{way}, s", *(spread(r["seconds"][way], 1) for r in rows))
    for way in WAYS if rows else ():
        line(f"refill of a slot, s, {way}", *(spread(r["refill"][way], 3) for r in rows))
    for goal in [g for g in GOALS if rows and g in rows[0]]:
        line(f"{goal} <= {GOALS[goal]:.2f}", *(judged(goal, r[goal]) for r in rows))
    for way in WAYS if rows else ():
        line(f"writes per trial, {way}", *(spread(r["all writes per trial"][way]) for r in rows))
        line("  of which events", *(spread(r["events per trial"][way]) for r in rows))
    for fact in (
        "all writes / bare loop",
        "controller events per trial",
        "cpu seconds per trial",
    ):
        if rows:
            line(fact, *(spread(r[fact], 3) for r in rows))
    if "first pod, s" in summary:
        line(f"first pod, s <= {GOALS['first pod, s']:.2f}",
             judged("first pod, s", summary["first pod, s"]))  # fmt: skip
        line("  of which kubectl apply itself, s", spread(summary["kubectl apply, s"]))
    return met


def order(round_: int) -> tuple[str, ...]:
    """The ways in another order each round, so that none is always first or last."""
    turned = WAYS[round_ % 3 :] + WAYS[: round_ % 3]
    return turned if round_ % 2 == 0 else turned[::-1]


def machine(client: KubeClient) -> dict[str, Any]:
    """What the figures were measured on."""
    version = client._json("GET", "/version")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "cpus": os.cpu_count(),
        "kubernetes": version["gitVersion"],
        "python": sys.version.split()[0],
        "commit": commit.stdout.strip(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    p.add_argument("--quick", action="store_true", help="one round of 16 trials, 3 first pods")
    p.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    p.add_argument("--rounds", type=int, help="rounds of each workload (default: 3)")
    p.add_argument("--trials", type=int, help="trials of each workload (default: 40)")
    p.add_argument("--parallelism", type=int, nargs="*", default=[4, 8], metavar="N")
    p.add_argument("--sleep", type=int, nargs="*", default=[0, 2], metavar="S")
    p.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS, help=argparse.SUPPRESS)
    p.add_argument("--first-pods", type=int, metavar="N", help="latencies (default: 10)")
    p.add_argument("--image", default="localhost/busybox:1", help="has sh; on the node already")
    p.add_argument(
        "--installed",
        metavar="NAMESPACE",
        help="measure the controller that is installed there, rather than one started here",
    )
    return p


def kubeconfig() -> str:
    """The cluster to use: $KUBECONFIG's, or the test cluster."""
    if given := os.environ.get("KUBECONFIG"):
        return given
    from tests.testcluster import Cluster, existing

    path = str((existing() or Cluster()).kubeconfig)
    if not Path(path).exists():
        raise BenchError("set KUBECONFIG, or bring the test cluster up: make cluster-up")
    return path


def main() -> int:
    """Runs the command line; returns 0 where all goals are met, 1 where one is missed."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with all clearing up
    rounds = options.rounds or (1 if options.quick else 3)
    trials = options.trials or (16 if options.quick else 40)
    first_pods = options.first_pods
    if first_pods is None:
        first_pods = 3 if options.quick else 10
    config = os.environ["KUBECONFIG"] = kubeconfig()
    client = KubeClient.connect(config)
    where = f"bench-{os.getpid()}"
    about = machine(client)
    runs: list[Run] = []
    latencies: list[tuple[float, float]] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(namespace(client, where))
        if options.installed:
            controller = installed_controller(client, options.installed)
        else:
            refuse_company(client, where, options.image)
            controller = stack.enter_context(own_controller(config, where))
        noise = idle_writes(client, 10)
        bench = Bench(client, controller, where, noise)
        for latency in bench.first_pods(options.image, first_pods):
            latencies.append(latency)
            say(f"first pod after {latency[0]:.2f} s (kubectl apply took {latency[1]:.2f} s)")
        for round_ in range(rounds):
            for sleep in options.sleep:
                for parallelism in options.parallelism:
                    load = Workload(sleep, parallelism, trials, options.image)
                    for way in order(round_):
                        if way not in options.ways:
                            continue
                        run = bench.run(way, load, round_)
                        runs.append(run)
                        say(
                            f"round {round_ + 1}: {sleep} s, {parallelism} at once, {way}:"
                            f" {run.seconds:.1f} s, refill {run.refill:.3f} s,"
                            f" writes {run.writes} {run.own_writes or ''}"
                        )
    about["load_after"] = [round(load, 2) for load in os.getloadavg()]
    about["idle_writes_per_second"] = round(noise, 2)
    if set(options.ways) != set(WAYS):
        return 0
    summary = summarize(runs, latencies)
    print(f"\n{trials} trials, {rounds} rounds; median (least-most); {about}")
    met = report(summary)
    if options.json:
        result = {
            "about": about,
            "goals": GOALS,
            "summary": summary,
            "runs": [asdict(r) for r in runs],
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if met else 1


def say(text: str) -> None:
    """Tells how it goes."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"error: {error}")
