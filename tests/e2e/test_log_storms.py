"""Pods print thousands of reports, while logs are rotated and what reads them is restarted.

Each pod adds up what it prints, and leaves the sums in its termination message, as words that mean
nothing to the controller. The values are a pseudo-random sequence without repetition: sums that
agree mean that each of them was counted, and counted once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from kubestudy.runtime.client import Object
from kubestudy.workloads.pod import termination_message
from tests.support.kubectl import CONTROLLER, Namespace, count, missing_reports
from tests.support.node import Usage
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.support.waiting import until
from tests.testcluster import Cluster

REPORTS = 5000
TRIALS, AT_ONCE, SECONDS, RESTARTS = (200, 40, 50, 3) if thorough() else (6, 6, 20, 1)

pytestmark = pytest.mark.timeout(1500 if thorough() else 240, func_only=True)

# 750 bytes a line, so that a pod prints several times what the node keeps in one file.
EMIT = r"""
awk -v trial="${1#--trial=}" -v reports="$REPORTS" \
  -v pause="usleep $PAUSE" -v rest="sleep $REST" 'BEGIN {
  pad = sprintf("%650s", ""); gsub(/ /, "x", pad)
  id = trial + 1; low = 2147483647
  for (seq = 0; seq < reports; seq++) {
    id = (id * 16807) % 2147483647
    printf "{\"seq\": %d, \"step\": %d, \"id\": %.0f, \"pad\": \"%s\"}\n", seq, seq, id, pad
    sum += id; if (id < low) low = id; if (id > high) high = id
    if (seq % 50 == 49) { fflush(); system(pause) }
    if (seq == int(reports / 2)) { fflush(); system(rest) }
  }
  printf "{\"seq\": %d, \"message\": \"%d %.0f %.0f %.0f %.0f\"}", \
    seq - 1, seq, sum, low, high, id > "/dev/termination-log"
}'"""


@dataclass(frozen=True)
class Emitted:
    """What a pod says that it has printed."""

    count: int
    sum: int
    low: int
    high: int
    last: int


@dataclass
class Outages:
    """When the API server was away, by the wall clock."""

    spans: list[tuple[datetime, datetime]] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        begin = datetime.now(UTC)
        yield
        # A follow that broke is opened anew within a second; on a busy machine in a few.
        self.spans.append((begin, datetime.now(UTC) + timedelta(seconds=5)))

    def overlap(self, moments: list[datetime]) -> bool:
        # A file's name has whole seconds.
        second = timedelta(seconds=1)
        return any(a - second <= m <= b for a, b in self.spans for m in moments)


def storm(name: str, trials: int, at_once: int, seconds: int, rest: int = 0) -> Object:
    """A Study whose trials print for so many seconds each, and rest in the middle of that."""
    pause = seconds * 1_000_000 * 50 // REPORTS
    asked = study(
        name,
        {},
        objectives=[{"metric": "id", "direction": "Maximize"}],
        budget={"parallelism": at_once},
        # Never stops anything; with it, the course has the mean of all reports.
        earlyStopping={"type": "Threshold", "settings": {"upper": 2**32}},
        trial={
            "image": "localhost/busybox:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", EMIT, "sh"],
            "env": [
                {"name": "REPORTS", "value": str(REPORTS)},
                {"name": "PAUSE", "value": str(pause)},
                {"name": "REST", "value": str(rest)},
            ],
        },
    )
    # More of them than a list of values may have.
    asked["spec"]["parameters"] = [{"name": "trial", "type": "Int", "min": 0, "max": trials - 1}]
    return asked


def rotations(cluster: Cluster, namespace: str) -> dict[str, list[datetime]]:
    """When the logs of a namespace's pods were rotated, by the pod's UID."""
    found: dict[str, list[datetime]] = {}
    for path in (cluster.state / "pod-logs").glob(f"{namespace}_*/*/0.log.*"):
        stamp = path.name.removeprefix("0.log.").removesuffix(".gz").removesuffix(".tmp")
        uid = path.parents[1].name.rpartition("_")[2]
        moment = datetime.strptime(stamp, "%Y%m%d-%H%M%S").astimezone(UTC)
        if moment not in found.setdefault(uid, []):
            found[uid].append(moment)
    return found


def number(rotated: dict[str, list[datetime]]) -> int:
    return sum(map(len, rotated.values()))


def emitted(pod: Object) -> Emitted:
    message = json.loads(termination_message(pod) or "{}")["message"]
    return Emitted(*map(int, message.split()))


def by_trial(place: Namespace, name: str) -> dict[str, Object]:
    """A Study's pods by the name of their trial."""
    return {p["metadata"]["annotations"]["kubestudy.dev/trial"]: p for p in place.pods(name)}


def ids(trial: Object) -> Object:
    """What was seen of the metric."""
    (track,) = (m for m in trial["status"]["metrics"] if m["metric"] == "id")
    return track


def check(trial: Object, said: Emitted) -> None:
    """All that a pod says that it has printed was counted, and counted once."""
    name, track = trial["metadata"]["name"], ids(trial)
    assert track["count"] == said.count, name
    assert (track["latest"], track["step"]) == (said.last, REPORTS - 1), name
    assert (track["min"], track["max"]) == (said.low, said.high), name
    last = trial["status"]["curve"][-1]
    assert last["reports"] == said.count, name
    assert last["mean"] == float(Fraction(said.sum, said.count)), name


def test_each_report_is_counted_once_through_rotations_and_restarts(
    own_cluster: Cluster, place: Namespace, controller_use: Callable[[], Usage]
) -> None:
    outages = Outages()
    before, began = controller_use(), time.monotonic()
    place.apply(storm("storm", TRIALS, AT_ONCE, SECONDS))
    for _ in range(RESTARTS):
        known = number(rotations(own_cluster, place.name))
        until(
            lambda: number(rotations(own_cluster, place.name)),
            lambda now, known=known: now >= known + AT_ONCE // 2,
            what="logs are rotated",
            timeout=120,
        )
        with outages.one():
            own_cluster.restart_apiserver()
    done = place.wait_for_end("storm", timeout=1200 if thorough() else 120)
    assert count(done, "succeeded") == TRIALS
    rotated = rotations(own_cluster, place.name)
    pods = by_trial(place, "storm")
    lost = 0
    for trial in place.trials("storm"):
        name = trial["metadata"]["name"]
        said, missing = emitted(pods[name]), missing_reports(trial)
        assert said.count == REPORTS
        assert ids(trial)["count"] + missing == said.count, name
        uid = pods[name]["metadata"]["uid"]
        if missing:
            # What is written to a log and rotated away while the API server is away cannot be had.
            assert outages.overlap(rotated.get(uid, [])), (name, missing, rotated, outages)
            lost += missing
        else:
            check(trial, said)
    assert len(rotated) >= TRIALS / 2
    now, seconds = controller_use(), time.monotonic() - began
    print(
        f"{TRIALS * REPORTS} reports of {TRIALS} pods, {number(rotated)} rotations,"
        f" {RESTARTS} restarts of the API server, {seconds:.0f} s: {lost} not seen and told. The"
        f" controller took {now.cpu - before.cpu:.1f} s of CPU and {now.peak:.0f} MiB at its peak."
    )


def test_a_controller_that_is_replaced_goes_on_in_the_middle_of_rotated_logs(
    own_cluster: Cluster, place: Namespace, controller: Namespace
) -> None:
    trials = 3
    place.apply(storm("replaced", trials, trials, seconds=20, rest=45))
    until(
        lambda: rotations(own_cluster, place.name),
        lambda rotated: len(rotated) == trials,
        what="each log is rotated",
        timeout=60,
    )
    # They rest: what they have printed is in files of which a kubelet gives out the newest.
    controller.kubectl("rollout", "restart", CONTROLLER)
    controller.kubectl("rollout", "status", CONTROLLER, "--timeout=120s")
    done = place.wait_for_end("replaced", timeout=120)
    assert count(done, "succeeded") == trials
    pods = by_trial(place, "replaced")
    for trial in place.trials("replaced"):
        assert missing_reports(trial) == 0
        check(trial, emitted(pods[trial["metadata"]["name"]]))
