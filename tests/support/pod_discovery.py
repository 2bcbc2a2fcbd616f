"""Tells a Prometheus of pods, by the labels that its own discovery of Kubernetes would give them.

Debian builds Prometheus without that discovery, and with the one by files.
"""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubestudy.runtime.client import PODS, ApiError, Object
from tests.support.kubectl import Namespace

META = "__meta_kubernetes_"
EVERY = 0.3


class PodDiscovery:
    """Writes a file of targets down, from entry to exit.

    Args:
        namespace: Whose pods they are.
        file: The file, for ``file_sd_configs``.
    """

    def __init__(self, namespace: Namespace, file: Path) -> None:
        self._namespace, self._file = namespace, file
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        known: list[Object] = []
        while not self._stopping.wait(EVERY):
            try:
                pods = self._namespace.client.list(PODS, self._namespace.name)["items"]
            except ApiError:
                continue
            found = [target for pod in pods for target in targets(pod)]
            if found != known:
                new = self._file.with_suffix(".new")
                new.write_text(json.dumps(found))
                new.rename(self._file)
                known = found


def targets(pod: Object) -> list[dict[str, Any]]:
    """A target for each port of a pod that has an address."""
    address = pod["status"].get("podIP")
    if address is None:
        return []
    labels = {
        f"{META}namespace": pod["metadata"]["namespace"],
        f"{META}pod_name": pod["metadata"]["name"],
        f"{META}pod_phase": pod["status"]["phase"],
    }
    for name, value in pod["metadata"].get("labels", {}).items():
        labels[f"{META}pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}"] = value
    return [
        {
            "targets": [f"{address}:{port['containerPort']}"],
            "labels": labels | {f"{META}pod_container_port_name": port.get("name", "")},
        }
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    ]
