"""The API server goes away, comes back without its memory, and is slow."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.audit import created
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, count
from tests.support.kubelet import Ending, Kubelet
from tests.support.relay import Relay
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(300)

SLOW = 60 if thorough() else 4


def test_a_restart_of_the_api_server_and_a_slow_etcd_are_lived_through(
    control_plane: ControlPlane,
    way_to_etcd: Relay,
    namespace: Namespace,
    start_controller: Callable[..., ControllerProcess],
) -> None:
    controller = start_controller("--no-leader-elect", "--log-level=debug")
    controller.wait_for_log("caches are in")
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=1)):
        namespace.apply(study("lived", {"rate": list(range(1, 13))}))
        namespace.wait_for_study("lived", lambda s: count(s, "succeeded"), "has a result")
        control_plane.restart_apiserver(downtime=1, etcd_port=way_to_etcd.port)
        way_to_etcd.delay = 0.5
        time.sleep(SLOW)  # for so long each request to etcd takes half a second more
        way_to_etcd.delay = 0
        done = namespace.wait_for_end("lived", timeout=60)
    print(namespace.kubectl("get", "trials"))
    assert count(done, "succeeded") == 12
    for resource in ("trials", "jobs"):
        names = created(control_plane.audit_log, namespace.name, resource)
        assert len(names) == len(set(names)) == 12
    assert done["status"]["best"]["parameters"] == {"rate": 12}
    # The versions that it had seen are older than all that the new server remembers.
    assert "too old resource version" in controller.log
    assert "Traceback" not in controller.log
