"""One namespace of a cluster: written to by kubectl as a user does, and looked at by the tests."""

from __future__ import annotations

import contextlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kubestudy.runtime.client import JOBS, PODS, STUDIES, TRIALS, ApiError, KubeClient, Object
from tests.support.waiting import until
from tests.testcluster import Access, ControlPlane, binaries

CONTROLLER = "deployment/kubestudy-controller"


class Refused(Exception):
    """kubectl failed; the text is what it said."""


class Namespace:
    """One namespace.

    Args:
        kubeconfig: The way in.
        name: Its name.
    """

    def __init__(self, kubeconfig: Path, name: str) -> None:
        self.kubeconfig, self.name = kubeconfig, name
        self.client = KubeClient.connect(str(kubeconfig))

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Runs kubectl in this namespace and returns what it printed.

        Raises:
            Refused: It failed.
        """
        command = [binaries.kubectl(), "--kubeconfig", self.kubeconfig, "-n", self.name, *words]
        done = subprocess.run(
            list(map(str, command)), input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def apply(self, manifest: str | Mapping[str, Any]) -> None:
        """Applies a manifest: YAML as a user wrote it, or an object."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        self.kubectl("apply", "-f", "-", stdin=text)

    def edit(self, study: str, spec: Mapping[str, Any]) -> None:
        """Merges a change into the spec of a Study."""
        patch = json.dumps({"spec": spec})
        self.kubectl("patch", "study", study, "--type=merge", f"--patch={patch}")

    def study(self, name: str) -> Object:
        """A Study; empty where there is none."""
        try:
            return self.client.get(STUDIES, self.name, name)
        except ApiError as error:
            if error.status != 404:
                raise
            return {}

    def trials(self, study: str) -> list[Object]:
        """The Trials of a Study, by index."""
        found = self.client.list(TRIALS, self.name)["items"]
        mine = [t for t in found if t["spec"]["study"] == study]
        return sorted(mine, key=lambda t: t["spec"]["index"])

    def jobs(self, study: str) -> list[Object]:
        """The Jobs of a Study."""
        return self._labelled(JOBS, study)

    def pods(self, study: str) -> list[Object]:
        """The pods of a Study."""
        return self._labelled(PODS, study)

    def active_pods(self, study: str) -> list[str]:
        """The names of the pods in which anything runs, or may yet."""
        return [pod["metadata"]["name"] for pod in self.pods(study) if not is_over(pod)]

    def wait_for_study(
        self, name: str, holds: Callable[[Object], Any], what: str, timeout: float = 60.0
    ) -> Object:
        """Waits until something holds for a Study, and returns it."""
        what = f"Study {name} {what}"
        return until(lambda: self.study(name), holds, what=what, timeout=timeout)

    def wait_for_end(self, name: str, timeout: float = 60.0) -> Object:
        """Waits until a Study is complete or has failed, and returns it."""
        return self.wait_for_study(name, ended, "has ended", timeout)

    def _labelled(self, resource: Any, study: str) -> list[Object]:
        found = self.client.list(
            resource, self.name, labelSelector="app.kubernetes.io/managed-by=kubestudy"
        )["items"]
        return [
            o for o in found if o["metadata"]["annotations"].get("kubestudy.dev/study") == study
        ]


def condition(obj: Object, type_: str) -> Object:
    """One condition of an object; empty where it has none of this type."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == type_), {})


def is_true(obj: Object, type_: str) -> bool:
    """Whether a condition of an object holds."""
    return bool(condition(obj, type_).get("status") == "True")


def missing_reports(trial: Object) -> int:
    """How many reports a Trial says were never seen."""
    told = condition(trial, "ObservationsComplete")
    return int(told["message"].split()[0]) if told.get("status") == "False" else 0


def is_over(pod: Object) -> bool:
    """Whether all containers of a pod have ended; its phase says so a moment later."""
    if pod["status"].get("phase") in ("Succeeded", "Failed"):
        return True
    containers = pod["status"].get("containerStatuses") or []
    return bool(containers) and all("terminated" in c.get("state", {}) for c in containers)


def ended(study: Object) -> bool:
    """Whether a Study is complete or has failed."""
    return is_true(study, "Complete") or is_true(study, "Failed")


def end_reason(study: Object) -> str:
    """Why a Study ended."""
    over = next((t for t in ("Complete", "Failed") if is_true(study, t)), "")
    return str(condition(study, over).get("reason"))


def count(study: Object, state: str) -> int:
    """How many trials of a Study are in a state, by its status."""
    counts = (study.get("status") or {}).get("trials") or {}
    return int(counts.get(state, 0))


def finished(study: Object) -> int:
    """How many trials of a Study will not run any more, by its status."""
    return sum(count(study, state) for state in ("succeeded", "failed", "stopped"))


@contextlib.contextmanager
def new_namespace(access: Access | ControlPlane, wish: str) -> Iterator[Namespace]:
    """A namespace that goes afterwards, with a name that begins as wished."""
    name = f"{wish.replace('_', '-')[:40].rstrip('-')}-{uuid.uuid4().hex[:6]}"
    access.kubectl("create", "namespace", name)
    until(
        lambda: access.kubectl("-n", name, "get", "serviceaccounts", "-o", "name"),
        lambda accounts: "default" in accounts,
        what="the namespace has its default service account",
    )
    try:
        yield Namespace(access.kubeconfig, name)
    finally:
        access.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
