"""The node: containerd with runc, the kubelet and kube-proxy.

What is unusual in the settings is there so that it works inside a container or a small virtual
machine: without swap control, without the right to lower OOM scores, on cgroups v1 or v2, with a
nearly full disk.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from pathlib import Path
from typing import Any

from . import network
from .binaries import Programs
from .certs import Authority
from .images import BUSYBOX
from .mounts import remove_tree, unmount_under
from .paths import cache_dir
from .processes import Daemon, end_all, start_time
from .progress import ClusterError, run, say

NAME = "node1"

# The kubelet, and distributions that have it inside of a program of their own.
_KUBELETS = {"kubelet", "kubelite", "k3s-server", "k3s-agent", "k0s"}
_CGROUPS = Path("/sys/fs/cgroup")
_SHIM_SOCKETS = Path("/run/containerd/s")
_KUBELET_SOCKETS = Path("/var/lib/kubelet/device-plugins")
_CONTAINER_LOGS = Path("/var/log/containers")


class Node:
    """The programs that make this machine a node.

    Args:
        state: The cluster's state folder.
        authority: Who signs the node's certificates.
    """

    def __init__(self, state: Path, authority: Authority) -> None:
        self._state = state
        self._authority = authority
        self.containerd = Daemon("containerd", state)
        self.kubelet = Daemon("kubelet", state)
        self.kube_proxy = Daemon("kube-proxy", state)

    @property
    def daemons(self) -> list[Daemon]:
        """Its programs, in the order in which they start."""
        return [self.containerd, self.kubelet, self.kube_proxy]

    def ctr(self, *words: str | Path) -> str:
        """Runs containerd's own client in the kubelet's namespace."""
        return run(
            ["ctr", "--address", self._socket, "--namespace", "k8s.io", *words],
            what=f"ctr {' '.join(map(str, words))}",
        )

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """The labels of an image that containerd has, or None when it has none of this name."""
        for line in self.ctr("images", "list", f"name=={tag}").splitlines()[1:]:
            words = line.split()
            if words and words[0] == tag:
                return dict(pair.split("=", 1) for pair in words[-1].split(",") if "=" in pair)
        return None

    def start_containerd(self) -> None:
        """Starts containerd, free of the containers that an earlier run left."""
        self._start_containerd()
        left = [*self.ctr("containers", "list", "--quiet").split()]
        if left:
            # It reads them once, at its start, and would report them to the kubelet.
            say(f"removing {len(left)} containers of an earlier run")
            self.ctr("containers", "delete", *left)
            self._start_containerd()

    def start_kubelet(self, programs: Programs, server: str, **settings: Any) -> None:
        """Starts the kubelet.

        Args:
            programs: Where it is.
            server: The API server's URL.
            **settings: What to change in its configuration, by the names that the file has.
        """
        config = self._state / "kubelet.json"
        config.write_text(json.dumps({**self._kubelet_configuration(), **settings}, indent=1))
        user, groups = f"system:node:{NAME}", ["system:nodes"]
        kubeconfig = self._authority.kubeconfig(
            self._state / "kubeconfigs" / "kubelet.yaml", server, user, groups
        )
        self.kubelet.start(
            [
                programs["kubelet"],
                f"--config={config}",
                f"--kubeconfig={kubeconfig}",
                f"--root-dir={self._state / 'kubelet'}",
                f"--cert-dir={self._state / 'kubelet' / 'pki'}",
                f"--hostname-override={NAME}",
                f"--node-ip={network.NODE_ADDRESS}",
            ]
        )

    def change_kubelet(self, **settings: Any) -> None:
        """Changes the kubelet's configuration and restarts it."""
        config = self._state / "kubelet.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **settings}, indent=1))
        self.kubelet.restart()

    def start_kube_proxy(self, programs: Programs, server: str) -> None:
        """Starts kube-proxy, which makes Services reachable."""
        kubeconfig = self._authority.kubeconfig(
            self._state / "kubeconfigs" / "kube-proxy.yaml", server, "system:kube-proxy"
        )
        self.kube_proxy.start(
            [
                programs["kube-proxy"],
                f"--kubeconfig={kubeconfig}",
                f"--hostname-override={NAME}",
                "--proxy-mode=iptables",
                f"--cluster-cidr={network.POD_CIDR}",
                f"--bind-address={network.NODE_ADDRESS}",
                f"--metrics-bind-address={network.NODE_ADDRESS}:10249",
                f"--healthz-bind-address={network.NODE_ADDRESS}:10256",
                # Settings of the kernel that a container or a small machine may not change.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0",
            ]
        )

    def stop(self) -> None:
        """Ends the node's programs and its containers, and removes what they left outside."""
        self.kubelet.stop()
        self.kube_proxy.stop()
        if self.containerd.pid:
            with contextlib.suppress(ClusterError):
                for container in self.ctr("containers", "list", "--quiet").split():
                    self._remove_container(container)
        self.containerd.stop()

    def clear(self) -> None:
        """Removes what containers left on the machine, when all of our processes have ended."""
        end_all(_pods_processes())
        _remove_pods_cgroups()
        unmount_under(self._state, _containerd_root())
        for path in _SHIM_SOCKETS.glob("*"):
            if not _listened_to(path):
                path.unlink(missing_ok=True)
        for log in _CONTAINER_LOGS.glob("*.log"):
            if log.is_symlink() and log.readlink().is_relative_to(self._state):
                log.unlink()
        for name in ("kubelet.sock", "kubelet_internal_checkpoint"):
            (_KUBELET_SOCKETS / name).unlink(missing_ok=True)
        for folder in (_KUBELET_SOCKETS, _KUBELET_SOCKETS.parent, _CONTAINER_LOGS):
            with contextlib.suppress(OSError):
                folder.rmdir()  # only if nobody else has anything in it

    @property
    def _socket(self) -> Path:
        return self._state / "containerd" / "containerd.sock"

    def _start_containerd(self) -> None:
        config = self._state / "containerd.toml"
        config.write_text(self._containerd_configuration())
        self.containerd.start([_containerd(), "--config", config])

        def serves() -> bool:
            if not self._socket.exists():
                return False
            try:
                listed = self.ctr("plugins", "list")
            except ClusterError:
                return False
            cri = [line.split() for line in listed.splitlines() if " cri " in line]
            return any(words[-1] == "ok" for words in cri)

        self.containerd.wait_until(serves, timeout=60)

    def _remove_container(self, container: str) -> None:
        for words in (("tasks", "kill", "--signal", "SIGKILL", container),
                      ("tasks", "delete", "--force", container),
                      ("containers", "delete", container)):  # fmt: skip
            with contextlib.suppress(ClusterError):
                self.ctr(*words)

    def _containerd_configuration(self) -> str:
        state = self._state / "containerd"
        plugin = 'plugins."io.containerd.grpc.v1.cri"'
        return f"""\
version = 2
root = "{_containerd_root()}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
address = "{self._socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{_containerd_root() / "opt"}"
[{plugin}]
sandbox_image = "{BUSYBOX}"
# Lowering an OOM score takes a right that containers and some virtual machines lack; without
# this every sandbox then fails.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{plugin}.cni]
bin_dir = "{network.CNI_PLUGINS}"
conf_dir = "{network.cni_folder(self._state)}"
[{plugin}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{plugin}.containerd.runtimes.runc.options]
Root = "{state / "runc"}"
"""

    def _kubelet_configuration(self) -> dict[str, Any]:
        certs = self._authority.folder
        serving = self._authority.issue(
            "kubelet", f"system:node:{NAME}", ["system:nodes"], [NAME, network.NODE_ADDRESS]
        )
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.NODE_ADDRESS,
            "healthzBindAddress": network.NODE_ADDRESS,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(certs / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "podLogsDir": str(self._state / "pod-logs"),
            "volumePluginDir": str(self._state / "volume-plugins"),
            "staticPodPath": "",
            "cgroupDriver": "cgroupfs",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            # A nearly full disk is the developer's business: neither evict pods nor drop images.
            "localStorageCapacityIsolation": False,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
                "imagefs.inodesFree": "0%",
            },
            "clusterDNS": network.name_servers(),
            "maxPods": 110,
            "serializeImagePulls": False,
            # A tenth of what is usual, so that tests see logs rotated.
            "containerLogMaxSize": "1Mi",
        }


def _containerd() -> str:
    found = shutil.which("containerd")
    if found is None:
        raise ClusterError("containerd is not installed")
    return found


def _containerd_root() -> Path:
    """Its images are kept from one run to the next: importing a large one takes a minute."""
    return cache_dir() / "containerd"


def remove_images() -> None:
    """Removes the images that are kept for the next run."""
    remove_tree(_containerd_root())


def refuse_on_another_node() -> None:
    """Makes sure that this machine is nobody else's node, when ours has ended.

    What we clear by name (chains of the packet filter, control groups) would then be its own.

    Raises:
        ClusterError: It is one.
    """
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().strip() in _KUBELETS and start_time(int(comm.parent.name)):
                raise ClusterError(
                    f"process {comm.parent.name} makes this machine a Kubernetes node already; "
                    "set KUBESTUDY_TEST_KUBECONFIG to use that cluster"
                )


def _pods_cgroups() -> list[Path]:
    # Version 1 has a tree for each controller, version 2 one for all.
    return [path for pattern in ("kubepods", "*/kubepods") for path in _CGROUPS.glob(pattern)]


def _pods_processes() -> list[int]:
    pids: set[int] = set()
    for top in _pods_cgroups():
        for procs in top.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(word) for word in procs.read_text().split())
    return sorted(pids)


def _remove_pods_cgroups() -> None:
    for top in _pods_cgroups():
        for folder in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            top.rmdir()


def _listened_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
