"""What a pod says of the run in it: whether it waits, works or has ended, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from kubestudy.api.base import ANNOTATION_CONTAINER, LABEL_RUN, LABEL_STUDY, LABEL_TRIAL
from kubestudy.core.facts import RunState
from kubestudy.workloads.projection import CONDITION, METADATA, SCALAR, Fields
from kubestudy.workloads.projection import Manifest as Manifest

_CONTAINER_STATUS: Fields = {
    "name": SCALAR,
    "state": {
        "running": {"startedAt": SCALAR},
        "waiting": {"reason": SCALAR, "message": SCALAR},
        "terminated": {
            "exitCode": SCALAR,
            "reason": SCALAR,
            "message": SCALAR,
            "startedAt": SCALAR,
            "finishedAt": SCALAR,
        },
    },
}
KEPT_OF_POD: Fields = {
    "metadata": {
        **METADATA,
        "labels": {LABEL_RUN: SCALAR},
        "annotations": {
            LABEL_STUDY: SCALAR,
            LABEL_TRIAL: SCALAR,
            LABEL_RUN: SCALAR,
            ANNOTATION_CONTAINER: SCALAR,
        },
    },
    "spec": {
        "nodeName": SCALAR,
        "activeDeadlineSeconds": SCALAR,
        "containers": [{"name": SCALAR, "resources": {"limits": {"memory": SCALAR}}}],
    },
    "status": {
        "phase": SCALAR,
        "reason": SCALAR,
        "message": SCALAR,
        "startTime": SCALAR,
        "conditions": [CONDITION],
        "containerStatuses": [_CONTAINER_STATUS],
        "initContainerStatuses": [_CONTAINER_STATUS],
    },
}
"""All that is looked at of a pod; what is read of it is read of this."""

TRIAL = "trial"
"""The name of the container that trains, in a pod of the short form."""

STUCK_AFTER = timedelta(minutes=5)
"""A container that cannot be started is tried by the kubelet for this long after scheduling."""

LOST_AFTER = timedelta(seconds=20)
"""A pod that is there so long after its last moment is on a node that does not answer."""

LET_GO_AFTER = timedelta(seconds=5)
"""When the kubelet lets go of a deleted pod that has ended, which takes it so long, the API server
writes the time of that over the one at which somebody deleted the pod."""

_SIGNALLED = (75, 143)
"""Exit codes of what SIGTERM ended."""

_CANNOT_START = {
    "ImagePullBackOff": "ImagePullFailed",
    "ErrImagePull": "ImagePullFailed",
    "ErrImageNeverPull": "ImagePullFailed",
    "InvalidImageName": "ImagePullFailed",
    "ImageInspectError": "ImagePullFailed",
    "RegistryUnavailable": "ImagePullFailed",
    "CreateContainerConfigError": "ContainerNotStarted",
    "CreateContainerError": "ContainerNotStarted",
    "RunContainerError": "ContainerNotStarted",
}
_NEVER_WILL = ("InvalidImageName",)

_REASONS = {"OOMKilled": "OutOfMemory"}

_OUT_OF_TIME = "DeadlineExceeded"

# What the kubelet says of a pod that it ended or did not let in.
_POD_REASONS = {
    "Preempting": "Preempted",
    "Terminated": "NodeShutdown",
    "Shutdown": "NodeShutdown",
    "NodeLost": "NodeLost",
    "UnexpectedAdmissionError": "NotAdmitted",
    "NodeAffinity": "NotAdmitted",
    "TopologyAffinityError": "NotAdmitted",
}

# The reasons of the condition DisruptionTarget.
_DISRUPTIONS = {
    "PreemptionByScheduler": "Preempted",
    "EvictionByEvictionAPI": "Evicted",
    "TerminationByKubelet": "Evicted",
    "DeletionByTaintManager": "NodeLost",
    "DeletionByPodGC": "NodeLost",
}


def pod_facts(pod: Manifest, now: datetime) -> dict[str, Any]:
    """Fields of ``RunFacts`` that a pod tells.

    Args:
        pod: The newest pod of a Job.
        now: The time; some things are given up after a while.
    """
    metadata, status = pod["metadata"], pod.get("status") or {}
    facts: dict[str, Any] = {
        "pod": metadata["name"],
        "pod_uid": metadata["uid"],
        "node": (pod.get("spec") or {}).get("nodeName"),
    }
    state = main_container(pod).get("state") or {}
    begun = [(state.get(kind) or {}).get("startedAt") for kind in ("running", "terminated")]
    facts["started"] = moment(next(filter(None, begun), None))
    if pod_ended(pod):
        return facts | _end(pod)
    if leaving := _leaving(pod, now):
        return facts | leaving
    if is_running(main_container(pod)) or status.get("phase") == "Running":
        return facts | {"state": RunState.RUNNING}
    return facts | _waiting(pod, now)


def pod_ended(pod: Manifest) -> bool:
    """Whether the container that trains has ended for good; others may go on beside it."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    if pod["metadata"].get("deletionTimestamp"):
        return False  # why it ends is told with its phase
    return (main_container(pod).get("state") or {}).get("terminated") is not None


def main_name(pod: Manifest) -> str:
    """The name of the container that trains.

    Its place says nothing: a webhook may put others first, such as the proxy of a service mesh.

    Args:
        pod: A pod, or the template of a Job. One that an earlier version has made does not say the
            name: there it is ``trial``, or else the first one's.
    """
    told = ((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_CONTAINER)
    names = [c["name"] for c in (pod.get("spec") or {}).get("containers") or ()]
    first = names[0] if names and TRIAL not in names else TRIAL
    return str(told or first)


def main_spec(pod: Manifest) -> Manifest:
    """What the container that trains was made from, in a pod or in the template of a Job."""
    name = main_name(pod)
    containers = (pod.get("spec") or {}).get("containers") or ()
    return next((c for c in containers if c["name"] == name), {})


def main_container(pod: Manifest) -> Manifest:
    """The status of the container that trains; empty before there is one."""
    return next((s for s in _statuses(pod) if s.get("name") == main_name(pod)), {})


def is_running(container: Manifest) -> bool:
    """Whether a container's status says that it runs, be it without saying since when."""
    return (container.get("state") or {}).get("running") is not None


def _statuses(pod: Manifest) -> list[Manifest]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def termination_message(pod: Manifest) -> str | None:
    """What the trial's container left as its last word."""
    terminated = (main_container(pod).get("state") or {}).get("terminated") or {}
    message: str | None = terminated.get("message")
    return message


def moment(text: str | None) -> datetime | None:
    """Reads a time as Kubernetes writes it."""
    return datetime.fromisoformat(text) if text else None


def _deletion_asked(pod: Manifest) -> datetime | None:
    """When somebody asked for a pod's deletion; its grace period begins then."""
    last_moment = moment(pod["metadata"].get("deletionTimestamp"))
    grace = timedelta(seconds=pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return last_moment - grace if last_moment else None


def _end(pod: Manifest) -> dict[str, Any]:
    status = pod.get("status") or {}
    terminated = (main_container(pod).get("state") or {}).get("terminated") or {}
    code, taken = terminated.get("exitCode"), _taken_away(pod, terminated)
    # A container beside the one that trains may fail; what was trained counts.
    good = status.get("phase") == "Succeeded" or (code == 0 and taken is None)
    reason: str = taken or terminated.get("reason") or ""
    return {
        "state": RunState.SUCCEEDED if good else RunState.FAILED,
        "exit_code": code,
        "tail": terminated.get("message") or "",
        "ended": moment(terminated.get("finishedAt")),
        "reason": None if good else _REASONS.get(reason, reason) or None,
        "message": _why(pod, taken, terminated),
        "lingering": status.get("phase") not in ("Succeeded", "Failed")
        and any(map(is_running, _statuses(pod))),
        "lost": taken == "NodeLost",
    }


def _taken_away(pod: Manifest, terminated: Manifest) -> str | None:
    """What was done to a pod, which outweighs what its container says; None where nothing was."""
    status = pod.get("status") or {}
    reason: str | None = status.get("reason")
    if disruption := _disruption(pod):
        told = _DISRUPTIONS.get(disruption.get("reason") or "", "Disrupted")
        return _POD_REASONS.get(reason or "", told)
    if reason == "Evicted" and "exceed" in (status.get("message") or ""):
        return "StorageLimitExceeded"  # its own limit, and no fault of the node
    if reason in _POD_REASONS or (reason or "").startswith("OutOf"):
        return _POD_REASONS.get(reason or "", "NotAdmitted")
    if _out_of_time(pod, terminated):
        return _OUT_OF_TIME
    if asked := _deletion_asked(pod):
        ended = moment(terminated.get("finishedAt"))
        since = ended is None or ended >= asked - LET_GO_AFTER
        let_go = not pod["metadata"].get("deletionGracePeriodSeconds")
        if since or (let_go and terminated.get("exitCode") in _SIGNALLED):
            return "Deleted"
    return reason if reason != _OUT_OF_TIME else None


def _out_of_time(pod: Manifest, terminated: Manifest) -> bool:
    """Whether a container had no more time when it ended, whatever its exit code.

    The times decide: what was sent SIGTERM may end with any code, 0 among them; its end may be seen
    a moment before the pod tells the reason; and the kubelet writes this reason also where the
    container had ended in time, if its pod ended later, or once the kubelet is started again.
    """
    status, seconds = pod.get("status") or {}, (pod.get("spec") or {}).get("activeDeadlineSeconds")
    began, ended = moment(status.get("startTime")), moment(terminated.get("finishedAt"))
    if seconds is None or began is None or ended is None:
        return bool(status.get("reason") == _OUT_OF_TIME)
    return ended >= began + timedelta(seconds=seconds)


def _disruption(pod: Manifest) -> Manifest:
    """The condition that the cluster takes a pod away; empty where it does not."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    taken = (c for c in conditions if c["type"] == "DisruptionTarget" and c["status"] == "True")
    return next(taken, {})


def _why(pod: Manifest, taken: str | None, terminated: Manifest) -> str:
    """Why a pod ended, for a person."""
    if taken == _OUT_OF_TIME:
        seconds = (pod.get("spec") or {}).get("activeDeadlineSeconds")
        return (
            "it was not done in time" if seconds is None else f"it was not done after {seconds} s"
        )
    if taken is not None:
        told = (pod.get("status") or {}).get("message") or _disruption(pod).get("message")
        return told or ("its pod was deleted" if taken == "Deleted" else "")
    if terminated.get("reason") == "OOMKilled":
        limits = (main_spec(pod).get("resources") or {}).get("limits") or {}
        own = f"its limit of {limits['memory']}" if "memory" in limits else "its node had"
        return f"the container used more memory than {own}"
    return _last_line(terminated.get("message"))


def _leaving(pod: Manifest, now: datetime) -> dict[str, Any] | None:
    """A pod that is being deleted: its node tells its end, if it has one that answers."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    node, unknown = (pod.get("spec") or {}).get("nodeName"), status.get("phase") == "Unknown"
    last_moment = moment(metadata.get("deletionTimestamp"))
    if last_moment is None and not unknown:
        return None
    ended = last_moment or now.replace(microsecond=0)
    gone = {"state": RunState.FAILED, "ended": ended, "lingering": True}
    if node is None:
        reason = _taken_away(pod, {}) or "Deleted"
        return gone | {"reason": reason, "message": _why(pod, reason, {})}
    if unknown or now >= ended + LOST_AFTER:
        message = status.get("message") or f"node {node} does not answer"
        return gone | {"reason": "NodeLost", "message": message, "lost": True}
    working = is_running(main_container(pod))
    return {
        "state": RunState.RUNNING if working else RunState.PENDING,
        "gives_up": ended + LOST_AFTER,
    }


def _waiting(pod: Manifest, now: datetime) -> dict[str, Any]:
    """Why a pod does not run yet; what has no prospect of running has failed."""
    status = pod.get("status") or {}
    for reason, message in _waiting_containers(pod):
        if (kind := _CANNOT_START.get(reason)) is None:
            continue
        why = {"reason": kind, "message": f"{reason}: {message}" if message else reason}
        gives_up = _scheduled(pod) + STUCK_AFTER
        if reason not in _NEVER_WILL and now < gives_up:
            return why | {"gives_up": gives_up}
        ended = now.replace(microsecond=0)
        return why | {"state": RunState.FAILED, "ended": ended, "lingering": True}
    waiting = (main_container(pod).get("state") or {}).get("waiting")
    if waiting is not None:
        return {"reason": waiting.get("reason"), "message": waiting.get("message") or ""}
    for c in status.get("conditions") or ():
        if c["type"] == "PodScheduled" and c["status"] == "False":
            return {"reason": c.get("reason"), "message": c.get("message") or ""}
    return {}


def _waiting_containers(pod: Manifest) -> Iterator[tuple[str, str]]:
    """Why the container that trains is not started: others beside it are not waited for."""
    before = (pod.get("status") or {}).get("initContainerStatuses") or ()
    for container in (*before, main_container(pod)):
        if waiting := (container.get("state") or {}).get("waiting"):
            yield waiting.get("reason") or "", waiting.get("message") or ""


def _scheduled(pod: Manifest) -> datetime:
    for c in (pod.get("status") or {}).get("conditions") or ():
        if c["type"] == "PodScheduled" and c["status"] == "True" and c.get("lastTransitionTime"):
            return datetime.fromisoformat(c["lastTransitionTime"])
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def _last_line(message: str | None) -> str:
    """The last line of a log that stands in for a termination message."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return lines[-1][:500] if lines and not lines[-1].startswith("{") else ""
