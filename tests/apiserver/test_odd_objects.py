"""Objects that the API server stores and no controller can hold: they stop nobody else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubestudy.runtime.client import STUDIES, Object
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, condition, count, new_namespace
from tests.support.kubelet import Ending, Kubelet
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(300)

SOON = 20.0
"""Seconds in which a neighbour's Study is accepted and makes progress, whatever others do."""
MOST_MEMORY = 300
"""MiB that the controller has at most, at any time."""


@pytest.fixture
def neighbour(control_plane: ControlPlane) -> Iterator[Namespace]:
    """Another tenant's namespace."""
    with new_namespace(control_plane, "neighbour") as namespace:
        yield namespace


@pytest.fixture
def of_both(
    account: Path, namespace: Namespace, neighbour: Namespace, tmp_path: Path
) -> Iterator[ControllerProcess]:
    """A controller that works on both namespaces."""
    watched = [f"--watch-namespace={n.name}" for n in (namespace, neighbour)]
    log = tmp_path / "controller.log"
    with ControllerProcess(account, log, "--no-leader-elect", *watched) as controller:
        controller.wait_for_log("caches are in")
        yield controller


def nested(name: str, levels: int) -> str:
    """A Study whose pod template is this deep, as text: Python could not write it either."""
    text = json.dumps(
        study(name, {"rate": [1]}, trial={"template": {"spec": {"affinity": "DEEP"}}})
    )
    return text.replace('"DEEP"', '{"a":' * levels + "1" + "}" * levels)


def large(name: str, size: int) -> Object:
    """A Study whose pod template has so many bytes."""
    entry = {"name": "A", "value": "b"}
    env = [entry] * (size // len(json.dumps(entry, separators=(",", ":"))))
    containers = [{"name": "trial", "image": "localhost/busybox:1", "env": env}]
    return study(name, {"rate": [1]}, trial={"template": {"spec": {"containers": containers}}})


def goes_on(neighbour: Namespace, name: str) -> None:
    """Asserts that a new Study is accepted and makes progress."""
    neighbour.apply(study(name, {"rate": [1, 2, 3]}))
    began = time.monotonic()
    neighbour.wait_for_study(name, lambda s: count(s, "succeeded"), "has a result", timeout=SOON)
    print(f"{name}: a result after {time.monotonic() - began:.1f} s")


def refused(namespace: Namespace, name: str, reason: str, timeout: float = SOON) -> str:
    """Waits until a Study says that it is refused for this reason; returns the message."""

    def told(seen: Object) -> bool:
        accepted = condition(seen, "Accepted")
        return (accepted.get("status"), accepted.get("reason")) == ("False", reason)

    # Of one that Python cannot read, only what kubectl makes of it is looked at.
    path = '-o=jsonpath={.status.conditions[?(@.type=="Accepted")]}'

    def look() -> Object:
        text = namespace.kubectl("get", "study", name, path)
        return {"status": {"conditions": [json.loads(text)] if text else []}}

    seen = until(look, told, what=f"{name} is refused", timeout=timeout)
    return str(condition(seen, "Accepted")["message"])


def test_a_study_of_a_thousand_levels_is_refused_and_stops_nobody(
    of_both: ControllerProcess, namespace: Namespace, neighbour: Namespace
) -> None:
    with Kubelet(neighbour, lambda p, _: Ending(p["rate"])):
        namespace.apply(nested("deep", 1100))
        assert "nested more than 64 deep" in refused(namespace, "deep", "TooDeep")
        goes_on(neighbour, "beside")
        of_both.kill()
        of_both.start()
        of_both.wait_for_log("caches are in")
        goes_on(neighbour, "after")
    assert "Traceback" not in of_both.log


def test_large_studies_are_refused_and_the_controller_stays_small(
    of_both: ControllerProcess, namespace: Namespace, neighbour: Namespace
) -> None:
    with Kubelet(neighbour, lambda p, _: Ending(p["rate"])):
        for i in range(30):
            body = large(f"large-{i}", 1_300_000)
            body["metadata"]["namespace"] = namespace.name
            namespace.client.create(STUDIES, body)
        goes_on(neighbour, "meanwhile")
        for i in range(30):
            assert "at most 256 KiB" in refused(namespace, f"large-{i}", "TooLarge", timeout=120)
        goes_on(neighbour, "beside")
        while_watched = of_both.peak_memory
        of_both.kill()
        of_both.start()
        of_both.wait_for_log("caches are in")
        goes_on(neighbour, "after")
        listed = of_both.peak_memory
    print(f"at most {while_watched} MiB while they were watched, {listed} MiB after a restart")
    assert max(while_watched, listed) < MOST_MEMORY
    assert "Traceback" not in of_both.log
