"""Plays the node for trials that push: a program runs with what its pod is given."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubestudy.runtime.client import Object
from tests.support.kubectl import Namespace
from tests.support.kubelet import Ending, Kubelet, now


@dataclass(frozen=True)
class Container:
    """What a container is given.

    Attributes:
        env: Its variables.
        args: Its arguments.
    """

    env: dict[str, str]
    args: list[str]

    @property
    def parameters(self) -> dict[str, Any]:
        """The trial's parameters."""
        found: dict[str, Any] = json.loads(self.env["KUBESTUDY_PARAMETERS"])
        return found

    @property
    def url(self) -> str:
        """Where it pushes to."""
        return self.env["KUBEFLOW_TRAINER_SERVER_URL"]

    @property
    def token(self) -> str:
        """What it proves itself by."""
        return Path(self.env["KUBEFLOW_TRAINER_SERVER_TOKEN"]).read_text()

    def push(self, progress: int, **metrics: float) -> int:
        """Posts as `KubeflowCallback` does, and returns the status of the answer."""
        listed = [{"name": str(k), "value": str(v)} for k, v in metrics.items()]
        status = {"progressPercentage": progress, "metrics": listed}
        return post(self.url, self.token, json.dumps({"trainerStatus": status}).encode())


def post(url: str, token: str | None, body: bytes) -> int:
    """Posts a body, and returns the status of the answer."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


Program = Callable[[Container], int]
"""What runs in a pod: from what it is given to its exit code."""


class PushingKubelet(Kubelet):
    """Runs a program for each pod; there is no log, and no termination message.

    Args:
        namespace: Where.
        folder: For the files of the pods' volumes.
        program: What runs.
    """

    def __init__(self, namespace: Namespace, folder: Path, program: Program) -> None:
        super().__init__(namespace, lambda _p, _: Ending())
        self._folder, self._program = folder, program

    def _live(self, pod: Object) -> None:
        started = now()
        if not self._tell(pod, {"phase": "Running"}, {"running": {"startedAt": started}}):
            return
        code = self._program(self._container(pod))
        terminated = {"exitCode": code, "startedAt": started, "finishedAt": now()}
        phase = "Failed" if code else "Succeeded"
        self._tell(pod, {"phase": phase}, {"terminated": terminated})

    def _container(self, pod: Object) -> Container:
        """Does what the kubelet does with fields, references and the downward volume."""
        (container,) = pod["spec"]["containers"]
        files = {}
        for volume in pod["spec"].get("volumes", ()):
            for item in volume.get("downwardAPI", {}).get("items", ()):
                file = self._folder / pod["metadata"]["uid"] / item["path"]
                file.parent.mkdir(exist_ok=True)
                file.write_text(_field(pod, item["fieldRef"]["fieldPath"]))
                files[f"/kubestudy/push/{item['path']}"] = str(file)
        env: dict[str, str] = {}
        for variable in container["env"]:
            if "valueFrom" in variable:
                value = _field(pod, variable["valueFrom"]["fieldRef"]["fieldPath"])
            else:
                value = re.sub(r"\$\((\w+)\)", lambda m: env[m[1]], variable["value"])
            env[variable["name"]] = files.get(value, value)
        return Container(env, container.get("args", []))


def _field(pod: Object, path: str) -> str:
    """A field as the downward API names it."""
    if annotation := re.fullmatch(r"metadata\.annotations\['(.+)'\]", path):
        return str(pod["metadata"]["annotations"][annotation[1]])
    return str(pod["metadata"][path.removeprefix("metadata.")])
