"""Beside the real Kueue: it says when Jobs run, and kubestudy never writes against it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import pytest

from kubestudy.runtime.client import JOBS, PODS, Object
from tests.support.kubectl import (
    Namespace,
    Refused,
    condition,
    count,
    end_reason,
    ended,
    is_over,
)
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import Access, Cluster, ControlPlane
from tests.testcluster.kueue import Kueue

pytestmark = pytest.mark.timeout(400, func_only=True)

QUOTA = 2
QUEUE = "kueue.x-k8s.io/queue-name"
# Trials that run until they are told to end well.
SCRIPT = """\
trap 'echo "accuracy=${1#--rate=}"; exit 0' USR1
trap 'exit 75' TERM
sleep 3600 & wait $!
"""


@pytest.fixture(scope="module")
def kueue(cluster: Access | ControlPlane) -> Iterator[None]:
    """Kueue at work on our own cluster."""
    if not isinstance(cluster, Cluster):
        pytest.skip("needs the cluster of tests/testcluster, not one that is given")
    with Kueue(cluster):
        yield


def add_queue(place: Namespace, name: str) -> None:
    """A queue in a namespace, with room for two GPUs."""
    flavor = {"name": place.name, "resources": [{"name": "nvidia.com/gpu", "nominalQuota": QUOTA}]}
    group = {"coveredResources": ["nvidia.com/gpu"], "flavors": [flavor]}
    kinds = {
        "ResourceFlavor": {},
        "ClusterQueue": {"namespaceSelector": {}, "resourceGroups": [group]},
        "LocalQueue": {"clusterQueue": place.name},
    }
    for kind, spec in kinds.items():
        metadata = {"name": name if kind == "LocalQueue" else place.name}
        version = "kueue.x-k8s.io/v1beta2"
        place.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    place.kubectl("wait", "--for=condition=Active", f"localqueue/{name}", "--timeout=60s")


def queued(name: str, trials: int, queue: str | None = None) -> Object:
    """A Study with room for four trials at once; it names its queue, unless it is the default."""
    container = {"image": "localhost/busybox:1", "command": ["sh", "-c", SCRIPT, "sh"], "gpus": 1}
    made = study(name, {"rate": [*range(1, trials + 1)]}, trial=container)
    if queue is not None:
        made["metadata"]["labels"] = {QUEUE: queue}
    return made


def running(place: Namespace, name: str) -> list[str]:
    pods = place.pods(name)
    return [p["metadata"]["name"] for p in pods if p["status"].get("phase") == "Running"]


def finish(place: Namespace, name: str) -> Object:
    """Tells each trial that runs to end well, until the Study has ended."""

    def look() -> Object:
        for pod in running(place, name):
            with contextlib.suppress(Refused):  # it has ended meanwhile
                place.kubectl("exec", pod, "--", "kill", "-USR1", "1")
        return place.study(name)

    return until(look, ended, what=f"Study {name} has ended", timeout=300, every=0.5)


def said(place: Namespace, name: str) -> list[str]:
    """What the trials that wait say of it."""
    pending = [condition(t, "Pending") for t in place.trials(name)]
    return [f"{c['reason']}: {c['message']}" for c in pending if c.get("status") == "True"]


def suspends(jobs: Recorder) -> dict[str, list[bool]]:
    """What spec.suspend of each Job was, one after the other."""
    found: dict[str, list[bool]] = {}
    for _, job in jobs.seen:
        found.setdefault(job["metadata"]["uid"], []).append(job["spec"]["suspend"])
    return {uid: [value for value, _ in itertools.groupby(seen)] for uid, seen in found.items()}


def most_at_once(pods: Recorder) -> int:
    """How many pods there were at most that had not ended."""
    alive: set[str] = set()
    most = 0
    for _, pod in pods.seen:
        uid = pod["metadata"]["uid"]
        alive = alive - {uid} if is_over(pod) else alive | {uid}
        most = max(most, len(alive))
    return most


@pytest.mark.parametrize("queue", ["user-queue", None], ids=["named by the Study", "the default"])
def test_a_study_in_a_queue_runs_as_its_quota_allows(
    kueue: None, place: Namespace, queue: str | None
) -> None:
    name = queue or "default"
    add_queue(place, name)
    with Recorder(place, JOBS) as jobs, Recorder(place, PODS) as pods:
        place.apply(queued("waits", 8, queue))
        until(lambda: running(place, "waits"), lambda found: len(found) == QUOTA, what="2 pods run")
        held = f"Queued: held back by Kueue, in queue {name}"
        until(lambda: said(place, "waits"), lambda told: told == [held] * 2, what="2 say so")
        assert len(jobs.made) == 4  # as many as its parallelism, and no more
        done = finish(place, "waits")
    assert end_reason(done) == "SearchSpaceExhausted"
    assert count(done, "succeeded") == len(jobs.made) == len(pods.made) == 8
    assert most_at_once(pods) == QUOTA
    assert [*suspends(jobs).values()] == [[True, False]] * 8


def test_a_suspended_study_leaves_its_queue_and_a_resumed_one_joins_it_again(
    kueue: None, place: Namespace
) -> None:
    add_queue(place, "default")
    with Recorder(place, JOBS) as jobs, Recorder(place, PODS) as pods:
        place.apply(queued("held", 4))
        until(lambda: running(place, "held"), lambda found: len(found) == QUOTA, what="2 pods run")
        place.edit("held", {"suspend": True})
        until(lambda: [*place.jobs("held"), *place.pods("held")], lambda o: not o, what="all stop")
        assert said(place, "held") == ["Suspended: held back while the Study is suspended"] * 4
        place.edit("held", {"suspend": False})
        done = finish(place, "held")
    assert (count(done, "succeeded"), count(done, "failed")) == (4, 0)
    assert len(jobs.made) == 8
    assert len(pods.made) == QUOTA + 4
    assert all(values in ([True], [True, False]) for values in suspends(jobs).values())
