"""A real API server with its controllers, but no node: etcd, schemas, RBAC, Jobs, collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.audit import failed, requests, retries_in_a_second
from tests.support.controller_process import ROOT, ControllerProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.kubectl import Namespace, new_namespace
from tests.support.relay import Relay
from tests.support.surroundings import give_up
from tests.support.waiting import until
from tests.testcluster import ClusterError, ControlPlane, binaries, reason_unavailable

ACCOUNT = "system:serviceaccount:kubestudy-system:kubestudy-controller"
ACCOUNT_GROUPS = ["system:serviceaccounts", "system:serviceaccounts:kubestudy-system"]


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, the API server and the controller-manager, with everything of ours installed."""
    programs = (*binaries.CONTROL_PLANE, *binaries.CONTROLLERS)
    reason = reason_unavailable(control_plane_only=True) or binaries.unavailable(programs)
    if reason:
        give_up(f"no control plane can be brought up here: {reason}")
    with ControlPlane(controllers=True, audit_log=True) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "manifests/install.yaml"))
        until(lambda: _served(plane), what="Studies and Trials are served", timeout=30)
        yield plane


def _served(plane: ControlPlane) -> bool:
    # The condition Established comes a moment before the API server can store anything.
    try:
        plane.kubectl("get", "studies,trials")
    except ClusterError:
        return False
    return True


@pytest.fixture(scope="session")
def way_to_etcd(control_plane: ControlPlane) -> Iterator[Relay]:
    """A way to etcd that can be slow; an API server that was restarted on it stays on it."""
    with Relay(control_plane.etcd_port) as relay:
        yield relay


@pytest.fixture(scope="session")
def account(control_plane: ControlPlane) -> Path:
    """A kubeconfig with the rights of the controller's service account, and no others."""
    return control_plane.kubeconfig_for(ACCOUNT, ACCOUNT_GROUPS)


@pytest.fixture
def proxy(account: Path, tmp_path: Path) -> Iterator[FaultProxy]:
    """Between a controller, with the rights of its service account, and the API server."""
    with FaultProxy(account, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace of its own for a test."""
    wish = request.node.originalname.removeprefix("test_")
    with new_namespace(control_plane, wish) as namespace:
        yield namespace


@pytest.fixture
def start_controller(
    account: Path, namespace: Namespace, tmp_path: Path
) -> Iterator[Callable[..., ControllerProcess]]:
    """Starts controllers for the test's namespace, which end with the test.

    They have the service account's rights, as they have in a cluster.
    """
    started: list[ControllerProcess] = []

    def start(
        *options: str, kubeconfig: Path | None = None, env: Mapping[str, str] | None = None
    ) -> ControllerProcess:
        log = tmp_path / f"controller-{len(started)}.log"
        options = options or ("--no-leader-elect",)
        process = ControllerProcess(
            kubeconfig or account,
            log,
            f"--watch-namespace={namespace.name}",
            *options,
            env=env,
        )
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()
        print(process.log[-5000:])


@pytest.fixture
def rights_suffice(control_plane: ControlPlane, namespace: Namespace) -> Iterator[None]:
    """The service account was never told that it has no right to something."""
    yield
    forbidden = [
        r
        for r in requests(control_plane.audit_log)
        if (r.user, r.namespace, r.code) == (ACCOUNT, namespace.name, 403)
    ]
    assert not forbidden


@pytest.fixture
def nothing_spins(control_plane: ControlPlane, namespace: Namespace) -> Iterator[None]:
    """What the API server refused was tried again at most once a second."""
    yield
    refused = failed(control_plane.audit_log, namespace.name, ACCOUNT)
    assert {what: at for what, at in refused.items() if retries_in_a_second(at) > 1} == {}


@pytest.fixture
def controller(start_controller: Callable[..., ControllerProcess]) -> ControllerProcess:
    """A controller that works on the test's namespace."""
    process = start_controller()
    process.wait_for_log("caches are in")
    return process
