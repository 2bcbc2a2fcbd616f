"""Plays the node: trials' pods run and end as a test says, without any containers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kubestudy.runtime.client import PODS, ApiError, KubeClient, Object
from tests.support.kubectl import Namespace

OURS = "app.kubernetes.io/managed-by=kubestudy"


@dataclass(frozen=True)
class Ending:
    """How the container of a trial ends.

    Attributes:
        accuracy: What it reports; None for nothing at all.
        seconds: How long it runs; at 0 it has ended before anybody sees it run.
        exit_code: Its exit code.
        reason: What the kubelet says of it.
        disrupted: Whether the cluster takes the pod away.
        folds: What it reports of folds, where it trains several; the last of them is the one it is
            at when it ends.
        printed: What it printed last; it stands in for a termination message.
    """

    accuracy: float | None = None
    seconds: float = 0.2
    exit_code: int = 0
    reason: str | None = None
    disrupted: bool = False
    folds: Mapping[int, float] | None = None
    printed: str = ""

    def message(self) -> str:
        """The termination message."""
        if self.folds is not None:
            values = [self.folds.get(fold) for fold in range(max(self.folds) + 1)]
            at = {"seq": len(self.folds) - 1, "fold": max(self.folds)}
            return json.dumps(at | {"metrics": {}, "folds": {"accuracy": values}})
        if self.accuracy is None:
            return self.printed
        track = {"latest": self.accuracy, "min": self.accuracy, "max": self.accuracy, "step": 1}
        return json.dumps({"seq": 0, "step": 1, "metrics": {"accuracy": track}})


Behaviour = Callable[[Mapping[str, Any], int], Ending]
"""From a trial's parameters and attempt to the ending of its pod."""


class Kubelet:
    """Runs the pods of one namespace's trials, from entry to exit.

    The pods are bound to no node, so that a deleted one is gone at once, and the API server
    gives an empty log for each: what they report is in the termination message.

    Args:
        namespace: Where.
        behaviour: How each trial ends.
    """

    def __init__(self, namespace: Namespace, behaviour: Behaviour) -> None:
        self._client: KubeClient = namespace.client
        self._namespace, self._behaviour = namespace.name, behaviour
        self._stopping = threading.Event()
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                listed = self._client.list(PODS, self._namespace, labelSelector=OURS)
                for pod in listed["items"]:
                    self._take(pod)
                version = listed["metadata"]["resourceVersion"]
                events = self._client.watch(
                    PODS, self._namespace, version, timeout=30, labelSelector=OURS
                )
                for event in events:
                    if self._stopping.is_set():
                        return
                    if event["type"] == "ADDED":
                        self._take(event["object"])
            except ApiError:
                self._stopping.wait(0.2)

    def _take(self, pod: Object) -> None:
        if pod["metadata"]["uid"] not in self._known:
            self._known.add(pod["metadata"]["uid"])
            threading.Thread(target=self._live, args=(pod,), daemon=True).start()

    def _live(self, pod: Object) -> None:
        env = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
        parameters = json.loads(env["KUBESTUDY_PARAMETERS"].replace("$$", "$"))
        ending = self._behaviour(parameters, int(env["KUBESTUDY_ATTEMPT"]))
        started = now()
        running = {"running": {"startedAt": started}}
        if ending.seconds and not self._tell(pod, {"phase": "Running"}, running):
            return
        if self._stopping.wait(ending.seconds):
            return
        bad = ending.exit_code != 0 or ending.disrupted
        terminated = {
            "exitCode": ending.exit_code,
            "reason": ending.reason or ("Error" if bad else "Completed"),
            "message": ending.message(),
            "startedAt": started,
            "finishedAt": now(),
        }
        status: Object = {"phase": "Failed" if bad else "Succeeded"}
        if ending.disrupted:
            status["conditions"] = [
                {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
            ]
        self._tell(pod, status, {"terminated": terminated})

    def _tell(self, pod: Object, status: Object, state: Object) -> bool:
        """Writes the pod's status, unless the pod is gone."""
        container = pod["spec"]["containers"][0]
        status["containerStatuses"] = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "none",
                "ready": "running" in state,
                "restartCount": 0,
                "state": state,
            }
        ]
        metadata = pod["metadata"]
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        while not self._stopping.is_set():
            try:
                self._client.patch(PODS, self._namespace, metadata["name"], body, sub="status")
                return True
            except ApiError as error:
                if error.status in (404, 409):
                    return False
                self._stopping.wait(0.2)
        return False


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
