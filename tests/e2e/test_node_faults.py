"""What a real cluster or node takes away is replaced, from its checkpoint, and not counted.

The trials run a small program whose checkpoint is the list of its steps: it goes on from the last
one, and ends by itself in the attempt that is to be the last one. It also writes down what it was
given.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kubestudy.runtime.client import PODS, Object
from tests.support import node
from tests.support.kubectl import Namespace, condition, count, end_reason
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.support.waiting import until
from tests.testcluster import GPUS, Cluster

pytestmark = pytest.mark.timeout(300, func_only=True)

SOON = 60.0
"""Seconds in which what was taken away has to be replaced."""

PROGRAM = """
mkdir -p "$KUBESTUDY_CHECKPOINT_DIR" && cd "$KUBESTUDY_CHECKPOINT_DIR" || exit 69
last=$(tail -n 1 steps 2>/dev/null)
step=${last#* }
echo "$KUBESTUDY_ATTEMPT $*" >> begun
trap 'exit 75' TERM
left=3
while [ "$left" -gt 0 ]; do
  step=$((${step:-0} + 1))
  echo "$KUBESTUDY_ATTEMPT $step" >> steps
  echo "{\\"step\\": $step, \\"accuracy\\": ${1#--rate=}}"
  if [ "$KUBESTUDY_ATTEMPT" -ge "$LAST_ATTEMPT" ]; then left=$((left - 1)); fi
  sleep 0.3 & wait $!
done
"""


def program(last_attempt: int, script: str = PROGRAM, **more: Any) -> Object:
    """A trial that runs until it is taken away, but for its last attempt."""
    return {
        "image": "localhost/busybox:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script, "sh"],
        "env": [{"name": "LAST_ATTEMPT", "value": str(last_attempt)}],
        "checkpoints": {"claimName": "checkpoints"},
        **more,
    }


def restricted(command: list[str], **more: Any) -> Object:
    """A pod's spec that Pod Security "restricted" allows; ``more`` is its container's."""
    return {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": "localhost/busybox:1",
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
                **more,
            }
        ],
    }


class Written:
    """What the program of one trial has written down.

    Args:
        volume: The folder that all trials write to.
        trial: The trial's name.
    """

    def __init__(self, volume: Path, trial: str) -> None:
        self._volume, self._trial = volume, trial

    def _lines(self, name: str) -> list[list[str]]:
        found = list(self._volume.glob(f"*/{self._trial}/fold-0/{name}"))
        return [line.split() for path in found for line in path.read_text().splitlines()]

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Each step that was made: the attempt, and the number of the step."""
        return [(int(attempt), int(step)) for attempt, step in self._lines("steps")]

    @property
    def arguments(self) -> list[list[str]]:
        """What each attempt was given."""
        return [words[1:] for words in self._lines("begun")]

    def wait_for_steps(self, attempt: int) -> None:
        """Waits until an attempt has worked for a while."""

        def made() -> int:
            return sum(of == attempt for of, _ in self.steps)

        what = f"attempt {attempt} of {self._trial} has made 2 steps"
        until(made, lambda number: number >= 2, what=what)

    def check(self, *attempts: int) -> None:
        """Each attempt was given the same, began where the one before it had come to, and alone."""
        given = self.arguments
        assert given == [given[0]] * len(attempts), "the parameters are the same"
        by = [attempt for attempt, _ in self.steps]
        assert by == sorted(by), "no two attempts were at work at once"
        assert set(by) == set(attempts)
        numbers = [step for _, step in self.steps]
        assert numbers == list(range(1, len(numbers) + 1)), "each began from its checkpoint"


def pods_of(place: Namespace, trial: str, attempt: int) -> list[Object]:
    """The pods of one attempt."""
    wanted = {"kubestudy.dev/trial": trial, "kubestudy.dev/run": f"0/0/{attempt}"}
    everything = place.client.list(PODS, place.name)["items"]
    return [p for p in everything if wanted.items() <= p["metadata"]["annotations"].items()]


def the_pod(place: Namespace, trial: str, attempt: int) -> str:
    """The name of the pod of an attempt, once there is one."""
    (pod,) = until(lambda: pods_of(place, trial, attempt), what=f"pod {attempt} of {trial}")
    name: str = pod["metadata"]["name"]
    return name


def evict(place: Namespace, pod: str) -> None:
    """Asks the eviction API to take a pod away, as ``kubectl drain`` does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{place.name}/pods/{pod}/eviction"
    place.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def reasons(place: Namespace, name: str) -> list[list[str | None]]:
    """How the runs of each trial of a Study ended, or why they wait."""
    return [[run.get("reason") for run in t["status"]["runs"]] for t in place.trials(name)]


def messages(place: Namespace, trial: str) -> list[str]:
    """What the events about a trial say of its retries."""
    about = f"involvedObject.name={trial},reason=TrialRetried"
    found = json.loads(place.kubectl("get", "events", f"--field-selector={about}", "-o", "json"))
    return sorted(event["message"] for event in found["items"])


def seconds_between(earlier: str, later: str) -> float:
    """From one time to another, as Kubernetes writes them."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def seconds_to_replace(pods: Recorder, trial: Object, attempt: int) -> float:
    """From what was seen of the end of an attempt to the making of the pod that follows it."""
    ended = trial["status"]["runs"][attempt]["completionTime"]
    wanted = {
        "kubestudy.dev/trial": trial["metadata"]["name"],
        "kubestudy.dev/run": f"0/0/{attempt + 1}",
    }
    (made,) = [
        pod["metadata"]["creationTimestamp"]
        for pod in pods.made.values()
        if wanted.items() <= pod["metadata"]["annotations"].items()
    ]
    return seconds_between(ended, made)


def test_what_people_and_drains_take_away_is_replaced(
    place: Namespace, volume: str, tmp_path: Path
) -> None:
    manifest = study("taken", {"rate": [1, 2, 3]}, trial=program(1, gpus=1))
    with Recorder(place, PODS) as pods:
        place.apply(manifest)
        trials = [Written(tmp_path, f"taken-{i}") for i in range(3)]
        for trial in trials:
            trial.wait_for_steps(attempt=0)
        place.kubectl("delete", "pod", the_pod(place, "taken-0", 0), "--wait=false")
        evict(place, the_pod(place, "taken-1", 0))
        place.kubectl("delete", "job", "taken-2-0-0-0", "--wait=false")
        done = place.wait_for_end("taken", timeout=120)
    assert reasons(place, "taken") == [[r, "Completed"] for r in ("Deleted", "Evicted", "Deleted")]
    assert end_reason(done) == "SearchSpaceExhausted"
    assert (count(done, "created"), count(done, "succeeded"), count(done, "failed")) == (3, 3, 0)
    for trial, seen in zip(trials, place.trials("taken"), strict=True):
        trial.check(0, 1)
        assert seconds_to_replace(pods, seen, 0) < SOON
    told = [messages(place, f"taken-{i}") for i in range(3)]
    assert told == [
        ["taken-0: Deleted: its pod was deleted; it is run again"],
        ["taken-1: Evicted: Eviction API: evicting; it is run again"],
        ["taken-2: Deleted: Job taken-2-0-0-0 was deleted; it is run again"],
    ]


def test_the_scheduler_preempts_and_the_next_but_one_waits_longer(
    place: Namespace, volume: str, tmp_path: Path, own_cluster: Cluster
) -> None:
    urgent = f"{place.name}-urgent"
    place.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": urgent},
            "value": 1000,
        }
    )
    other = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "urgent"},
        "spec": {
            "priorityClassName": urgent,
            "terminationGracePeriodSeconds": 0,
            **restricted(["sleep", "600"], resources={"limits": {"nvidia.com/gpu": str(GPUS)}}),
        },
    }
    trial = Written(tmp_path, "low-0")
    try:
        with Recorder(place, PODS) as pods:
            place.apply(study("low", {"rate": [1]}, trial=program(2, gpus=GPUS)))
            trial.wait_for_steps(attempt=0)
            place.apply(other)
            until(
                lambda: [condition(t, "Pending") for t in place.trials("low")],
                lambda told: [c.get("reason") for c in told] == ["Unschedulable"],
                what="the replacement waits for the GPUs, and says so",
            )
            waits = the_pod(place, "low-0", 1)
            assert place.active_pods("low") == [waits]
            place.kubectl("delete", "pod", waits, "--wait=false")
            place.kubectl("delete", "pod", "urgent", "--wait=false")
            done = place.wait_for_end("low", timeout=120)
    finally:
        own_cluster.kubectl("delete", "priorityclass", urgent)
    assert reasons(place, "low") == [["Preempted", "Deleted", "Completed"]]
    assert (count(done, "created"), count(done, "succeeded"), count(done, "failed")) == (1, 1, 0)
    trial.check(0, 2)  # the one between never began
    (seen,) = place.trials("low")
    assert seconds_to_replace(pods, seen, 0) < SOON
    assert 10 <= seconds_to_replace(pods, seen, 1) < SOON, "the second in a row is backed off"
    preempted, deleted = messages(place, "low-0")[::-1]
    assert preempted.startswith("low-0: Preempted: default-scheduler: preempting to accommodate")
    assert deleted == "low-0: Deleted: its pod was deleted; it is run again after 10 s"


def test_out_of_memory_and_out_of_time_fail_the_trial_at_once(
    place: Namespace, volume: str, tmp_path: Path
) -> None:
    script = """
    mkdir -p "$KUBESTUDY_CHECKPOINT_DIR" && cd "$KUBESTUDY_CHECKPOINT_DIR" || exit 69
    save() { sleep 2; echo 0 1 > steps; exit 75; }
    case "$1" in
      --rate=1) exec tail /dev/zero ;;
      --rate=2) trap save TERM; while true; do sleep 0.3 & wait $!; done ;;
    esac
    echo accuracy=0.5
    """
    limit = {"limits": {"memory": "32Mi"}}
    place.apply(study("greedy", {"rate": [1, 3]}, trial=program(0, script, resources=limit)))
    never = study("queued", {"rate": [1]}, trial=program(0, gpus=GPUS + 1, timeout="5s"))
    place.apply(never)
    place.apply(study("late", {"rate": [2]}, trial=program(0, script, timeout="12s")))
    done = place.wait_for_end("greedy", timeout=90)
    assert reasons(place, "greedy") == [["OutOfMemory"], ["Completed"]]
    assert (count(done, "created"), count(done, "succeeded"), count(done, "failed")) == (2, 1, 1)
    assert condition(place.trials("greedy")[0], "Failed")["message"] == (
        "the container used more memory than its limit of 32Mi"
    )
    done = place.wait_for_end("late", timeout=90)
    assert reasons(place, "late") == [["DeadlineExceeded"]]
    assert condition(place.trials("late")[0], "Failed")["message"] == "it was not done after 12 s"
    assert Written(tmp_path, "late-0").steps == [(0, 1)], "it has saved a checkpoint"
    assert place.active_pods("late") == []
    assert count(done, "failed") == 1
    # Its own limit is over by now, were it to begin before the pod is on a node.
    (waits,) = place.pods("queued")
    ended = place.trials("late")[0]["status"]["completionTime"]
    assert seconds_between(waits["metadata"]["creationTimestamp"], ended) > 10
    assert condition(place.trials("queued")[0], "Pending")["reason"] == "Unschedulable"
    assert count(place.study("queued"), "failed") == 0


@pytest.fixture
def stoppable(own_cluster: Cluster) -> Iterator[Cluster]:
    """A cluster whose kubelet may be stopped, and which finds that out by itself in thorough tests.

    Kubernetes then takes a node for lost that was silent for 15 s, instead of 50 s.
    """
    with contextlib.ExitStack() as afterwards:
        if thorough():
            manager = own_cluster.controller_manager
            manager.restart("--node-monitor-grace-period=15s", "--node-monitor-period=2s")
            afterwards.callback(manager.restart)
            afterwards.enter_context(node.beside_another(own_cluster))
        yield own_cluster
        if own_cluster.node.kubelet.pid is None:
            own_cluster.start_kubelet()


def test_what_was_on_a_lost_node_is_replaced_and_runs_once_there_is_a_node(
    place: Namespace, volume: str, tmp_path: Path, stoppable: Cluster
) -> None:
    silent = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    spec = restricted(
        ["sh", "-c", PROGRAM, "sh"],
        args=["--rate=${parameters.rate}"],
        env=[{"name": "LAST_ATTEMPT", "value": "1"}],
    )
    spec["terminationGracePeriodSeconds"] = 2
    spec["tolerations"] = [silent | {"operator": "Exists", "tolerationSeconds": 1}]
    template = {"template": {"spec": spec}, "checkpoints": {"claimName": volume}}
    trial = Written(tmp_path, "stays-0")
    with Recorder(place, PODS) as pods:
        place.apply(study("stays", {"rate": [1]}, trial=template))
        trial.wait_for_steps(attempt=0)
        (pod,) = until(
            lambda: pods_of(place, "stays-0", 0),
            lambda pods: pods[0]["status"]["phase"] == "Running",
            what="its pod runs",
        )
        stoppable.stop_kubelet()
        node.kill(pod)
        if not thorough():  # somebody does not wait until Kubernetes finds out
            place.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
        until(
            lambda: [condition(t, "Pending").get("reason") for t in place.trials("stays")],
            lambda told: told == ["Unschedulable" if thorough() else "Waiting"],
            what="its replacement waits for the node, and says so",
            timeout=120,
        )
        assert reasons(place, "stays")[0][0] == "NodeLost"
        stoppable.start_kubelet()
        done = place.wait_for_end("stays", timeout=90)
    assert reasons(place, "stays") == [["NodeLost", "Completed"]]
    assert (count(done, "created"), count(done, "succeeded"), count(done, "failed")) == (1, 1, 0)
    trial.check(0, 1)
    (seen,) = place.trials("stays")
    assert seconds_to_replace(pods, seen, 0) < SOON
    assert messages(place, "stays-0") == [
        "stays-0: NodeLost: node node1 does not answer; it is run again"
    ]
