"""The whole cluster: a control plane and this machine as its one node."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import binaries, images, network, node, packages
from .controlplane import Access, ControlPlane
from .mounts import remove_tree
from .paths import state_dir
from .processes import Daemon, end_marked
from .progress import ClusterError, locked, say, step, wait_for

GPUS = 8
# What the scheduler is told that the node has. The kubelet says nothing of its disk, see its
# `localStorageCapacityIsolation`; so pods that ask for some of it would wait for ever.
_IN_NAME = {"nvidia.com/gpu": str(GPUS), "ephemeral-storage": "100Gi"}
_NOT_READY = "node.kubernetes.io/not-ready"
_PROGRAMS = (*binaries.CONTROL_PLANE, *binaries.CONTROLLERS, *binaries.NODE)
_PORT = 6443


def existing() -> Access | None:
    """The cluster that `KUBESTUDY_TEST_KUBECONFIG` names, if it names one."""
    path = os.environ.get("KUBESTUDY_TEST_KUBECONFIG")
    return Access(Path(path).absolute()) if path else None


def reason_unavailable(*, control_plane_only: bool = False) -> str | None:
    """Says why no cluster can be brought up here, or None when one can.

    Args:
        control_plane_only: Whether etcd and the API server are enough.
    """
    if control_plane_only:
        reasons = [binaries.unavailable(binaries.CONTROL_PLANE)]
        reasons += [packages.unavailable({"openssl": "openssl"})]
    elif not sys.platform.startswith("linux"):
        return "a node needs Linux; set KUBESTUDY_TEST_KUBECONFIG to use a cluster of your own"
    else:
        reasons = [None if os.geteuid() == 0 else "a node needs root"]
        reasons += [binaries.unavailable(_PROGRAMS)]
        reasons += [packages.unavailable({**packages.NODE, **packages.IMAGES})]
    found = [reason for reason in reasons if reason]
    return "; ".join(found) if found else None


class Cluster(ControlPlane):
    """A one-node Kubernetes on this machine.

    As a context manager it is up on entry, and down on exit unless it was up before.

    Args:
        state: Its folder; `paths.state_dir()` by default. A machine has at most one.
        audit_log: Whether the API server logs each request.
    """

    def __init__(self, state: Path | str | None = None, *, audit_log: bool | None = None) -> None:
        super().__init__(
            state or state_dir(),
            address=network.NODE_ADDRESS,
            port=_PORT,
            controllers=True,
            scheduler=True,
            audit_log=audit_log,
        )
        self.node = node.Node(self.state, self.authority)
        self._was_up = False

    def __enter__(self) -> Self:
        self._was_up = self.healthy()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._was_up:
            self.stop()

    def start(self) -> None:
        """Brings it up, unless it is up and well: then nothing happens.

        What an earlier run left, complete or cut off, is cleared first.

        Raises:
            ClusterError: It cannot be; the message names the part and has the end of its log.
        """
        reason = reason_unavailable()
        if reason:
            raise ClusterError(f"no cluster can be brought up here: {reason}")
        with locked(self._lock):
            if self.healthy():
                self._name_resources()
                say("already up")
                return
            self._start()

    def stop(self, *, purge: bool = False) -> None:
        """Takes it down; nothing of it is left but the cache.

        Args:
            purge: Whether imported images and built layers go too.
        """
        with locked(self._lock), step("taken down"):
            self._end()
            remove_tree(self.state)
            if purge:
                node.remove_images()
                images.purge()

    @property
    def daemons(self) -> list[Daemon]:
        """Its programs."""
        return [*super().daemons, *self.node.daemons]

    def healthy(self) -> bool:
        """Whether every program runs, the API server is ready and so is the node."""
        return super().healthy() and self._node_ready()

    def stop_kubelet(self) -> None:
        """Stops the kubelet; the containers go on, and after 40 s the node counts as lost."""
        self.node.kubelet.stop()

    def start_kubelet(self, **settings: Any) -> None:
        """Starts the kubelet again and waits until the node is ready.

        Args:
            **settings: What to change in its configuration, such as `containerLogMaxSize="20Ki"`.
        """
        # The node's status may stay as it was before the stop; the lease is always renewed.
        before = self._lease()
        self.node.change_kubelet(**settings)
        self.node.kubelet.wait_until(
            lambda: self._lease() != before and self._node_ready(), timeout=90
        )
        self._name_resources()

    def load(self, archive: Path) -> None:
        """Imports an image archive, of OCI's or Docker's kind."""
        self.node.ctr("images", "import", archive)

    def provide_image(self, image: images.Image) -> str:
        """Builds an image and imports it, each unless it is there with this very content.

        Args:
            image: What to build.

        Returns:
            Its tag, to be used with `imagePullPolicy: IfNotPresent`.
        """
        return images.provide(image, self.node)

    @property
    def _lock(self) -> Path:
        return self.state.with_name(f"{self.state.name}.lock")

    def _start(self) -> None:
        began = time.monotonic()
        packages.install({**packages.NODE, **packages.IMAGES})
        programs = binaries.provide(_PROGRAMS)
        self._end()
        remove_tree(self.state)
        try:
            self._start_programs(programs)
        except BaseException:
            self._end()  # but its folder stays, with the logs
            raise
        say(f"up in {time.monotonic() - began:.1f} s")

    def _start_programs(self, programs: binaries.Programs) -> None:
        with step("etcd, the API server and containerd are up"):
            self.state.mkdir(parents=True)
            network.up(self.state)
            self.start_etcd(programs)
            self.node.start_containerd()
            self.start_apiserver(programs)
        with step("the image of pod sandboxes is there"):
            self.provide_image(images.busybox())
        with step("the node is ready"):
            self.start_controllers(programs)
            self.node.start_kubelet(programs, self.server)
            self.node.start_kube_proxy(programs, self.server)
            self.node.kubelet.wait_until(self._node_ready, timeout=90)
            self._name_resources()
            self.wait_for_service_account()

    def _end(self) -> None:
        """Ends every process and removes what they left on the machine outside our folder."""
        self.node.stop()
        for daemon in reversed(super().daemons):
            daemon.stop(grace=2.0)
        end_marked(self.state)
        node.refuse_on_another_node()
        self.node.clear()
        network.down()

    def _lease(self) -> object:
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node.NAME}"
        found = self.api.get(path)
        return found["spec"].get("renewTime") if found else None

    def _node_ready(self) -> bool:
        found = self.api.get(f"/api/v1/nodes/{node.NAME}")
        if found is None:
            return False
        # A taint outlives the condition that it came from by a moment, and keeps pods away.
        tainted = any(taint["key"] == _NOT_READY for taint in found["spec"].get("taints", []))
        conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        return conditions.get("Ready") == "True" and not tainted

    def _name_resources(self) -> None:
        """Makes the scheduler count what exists in name only.

        The kubelet forgets them when it registers its node anew, so this waits for them to stay.
        """
        path = f"/api/v1/nodes/{node.NAME}"

        def named() -> bool:
            found = self.api.get(path)
            wanted = {"capacity": _IN_NAME, "allocatable": _IN_NAME}
            if found and all(_IN_NAME.items() <= found["status"][kind].items() for kind in wanted):
                return True
            with contextlib.suppress(OSError):  # the API server may just be coming back
                self.api.patch(f"{path}/status", {"status": wanted})
            return False

        wait_for(named, what=f"the node has {_IN_NAME}", timeout=30)
