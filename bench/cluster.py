"""What the benchmarks need of a cluster: a namespace, the pods as a watch sees them, counters."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from kubestudy.runtime.client import JOBS, PODS, STUDIES, TRIALS, ApiError, KubeClient, Resource

NAMESPACES = Resource("", "v1", "namespaces")
WRITES = ("POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION")

Writes = Counter[str]
"""Numbers of writes by kind of object, such as ``pods/status``."""

_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class BenchError(Exception):
    """The benchmark cannot be run, or what it measured would mean nothing."""


class PodWatch:
    """The pods of a namespace, each told once when it is seen and once when it has ended.

    As a context manager it watches from its start on. News are (what, pod, when), by the
    monotonic clock at the moment that the watch's line has arrived.

    Attributes:
        news: What was not taken yet.
        added: When each pod was seen first.
        ended: When each pod was seen to have ended.
    """

    def __init__(self, client: KubeClient, namespace: str):
        self._client, self._namespace = client, namespace
        self._version = client.list(PODS, namespace)["metadata"]["resourceVersion"]
        self.news: queue.Queue[tuple[str, dict[str, Any], float]] = queue.Queue()
        self.added: list[float] = []
        self.ended: list[float] = []
        self._open = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False

    def _run(self) -> None:
        ended: set[str] = set()
        for event in self._client.watch(PODS, self._namespace, self._version, timeout=900):
            now, pod = time.monotonic(), event["object"]
            if not self._open or event["type"] == "ERROR":
                return
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "ADDED":
                self.added.append(now)
                self.news.put(("added", pod, now))
            phase, uid = pod["status"].get("phase"), pod["metadata"]["uid"]
            if phase in ("Succeeded", "Failed") and uid not in ended:
                ended.add(uid)
                self.ended.append(now)
                self.news.put((phase, pod, now))

    def ends(self, count: int, timeout: float = 600) -> Iterator[float]:
        """Yields the moment at which each of so many pods was seen to have succeeded.

        Raises:
            BenchError: A pod failed, or nothing was seen for too long.
        """
        while count:
            try:
                what, pod, when = self.news.get(timeout=timeout)
            except queue.Empty:
                raise BenchError(f"no pod has ended for {timeout:.0f} s") from None
            if what == "Failed":
                raise BenchError(f"pod {pod['metadata']['name']} failed: {pod['status']}")
            if what == "Succeeded":
                count -= 1
                yield when

    def refills(self, parallelism: int) -> list[float]:
        """Seconds from each pod's end to the pod that takes its place, the last ones apart."""
        return [a - e for e, a in zip(self.ended, self.added[parallelism:], strict=False)]


def wait(what: str, holds: Callable[[], bool], timeout: float = 300, every: float = 0.25) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)


@contextlib.contextmanager
def namespace(client: KubeClient, name: str) -> Iterator[None]:
    """A namespace of our own, gone afterwards with all that is in it."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    client._json("POST", NAMESPACES.path(), body=body)
    try:
        # Without its service account no pod can be made.
        account = Resource("", "v1", "serviceaccounts").path(name, "default")
        wait("the default service account", lambda: _is_there(client, account))
        yield
    finally:
        client._json("DELETE", NAMESPACES.path(name=name))


def _is_there(client: KubeClient, path: str) -> bool:
    try:
        client._json("GET", path)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def clean(client: KubeClient, name: str) -> None:
    """Deletes all work in a namespace, and waits until it is gone."""
    for resource in (STUDIES, JOBS):
        for obj in client.list(resource, name)["items"]:
            client.delete(resource, name, obj["metadata"]["name"])
    kinds = (STUDIES, TRIALS, JOBS, PODS)
    wait(
        f"an empty namespace {name}",
        lambda: not any(client.list(kind, name)["items"] for kind in kinds),
    )


def samples(text: str, metric: str) -> Iterator[tuple[dict[str, str], float]]:
    """The samples of a metric in Prometheus' text format."""
    for line in text.splitlines():
        if line.startswith(f"{metric} "):
            yield {}, float(line.split(" ")[1])
        elif line.startswith(f"{metric}{{") and (found := _SAMPLE.match(line)):
            yield dict(_LABEL.findall(found[2])), float(found[3])


def server_writes(client: KubeClient) -> Writes:
    """All writes that the API server has answered so far, leases apart."""
    text = raw(client, "/metrics")
    totals: Writes = Counter()
    for labels, value in samples(text, "apiserver_request_total"):
        if labels["verb"] in WRITES and labels["resource"] != "leases" and not labels["dry_run"]:
            kind = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            totals[kind] += int(value)
    return totals


def raw(client: KubeClient, path: str) -> str:
    """What the API server answers at a path."""
    with contextlib.closing(client.open(path, read_timeout=30)) as response:
        return response.data.decode()


class Controller:
    """The controller under measurement, seen through its own /metrics."""

    def __init__(self, read: Callable[[], str]):
        self._read = read

    def state(self) -> tuple[Writes, float]:
        """Its writes so far by kind, and the CPU seconds of its process."""
        text, writes = self._read(), Counter[str]()
        for labels, value in samples(text, "kubestudy_api_requests_total"):
            if labels["method"] != "GET":
                writes[labels["resource"]] += int(value)
        cpu = sum(value for _, value in samples(text, "process_cpu_seconds_total"))
        return writes, cpu


@contextlib.contextmanager
def own_controller(kubeconfig: str, name: str) -> Iterator[Controller]:
    """The controller of this checkout as a process beside the cluster, for one namespace."""
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = "from kubestudy.cli.controller import controller; controller()"
    flags = ["--no-leader-elect", f"--watch-namespace={name}", f"--port={port}"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", command, *flags],
                env={**os.environ, "KUBECONFIG": kubeconfig},
                stderr=stream,
            )

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                text: str = answer.read().decode()
                return text

        def synced() -> bool:
            if process.poll() is not None:
                raise BenchError(f"the controller ended: {log.read_text()[-2000:]}")
            return "caches are in" in log.read_text()

        try:
            wait("the controller", synced, timeout=60)
            yield Controller(read)
        finally:
            process.terminate()
            process.wait(20)
            if troubles := [s for s in log.read_text().splitlines() if " INFO " not in s]:
                print("the controller's log:", *troubles[:20], sep="\n  ", file=sys.stderr)


def installed_controller(client: KubeClient, where: str) -> Controller:
    """The controller that runs in the cluster, in a namespace."""
    labels = "app.kubernetes.io/name=kubestudy,app.kubernetes.io/component=controller"
    pods = client.list(PODS, where, labelSelector=labels)["items"]
    if len(pods) != 1:
        raise BenchError(f"{len(pods)} controller pods in namespace {where}; one is needed")
    path = PODS.path(where, f"{pods[0]['metadata']['name']}:8080", "proxy")
    return Controller(lambda: raw(client, f"{path}/metrics"))
