"""The host's side of the network: the node's address, the pods' bridge, and what to remove.

The kubelet refuses a loopback address for its node and pods cannot reach one, so the node gets a
bridge of its own with an address that exists only on this machine.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from .progress import run

NODE_ADDRESS = "10.250.0.1"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"

# Where Debian has them; the CNI project's own archive is unpacked to the other.
CNI_PLUGINS = next(
    (path for path in ("/usr/lib/cni", "/opt/cni/bin") if Path(path, "bridge").exists()),
    "/usr/lib/cni",
)

_NODE_BRIDGE = "kube0"
_POD_BRIDGE = "cni0"
_CNI_NAME = "kubestudy"
_CNI_RESULTS = Path("/var/lib/cni")


def up(state: Path) -> None:
    """Makes the node's address, routing and the configuration of the pods' network.

    Args:
        state: The cluster's state folder.
    """
    if not _exists(_NODE_BRIDGE):
        _ip("link", "add", _NODE_BRIDGE, "type", "bridge")
    _ip("addr", "replace", f"{NODE_ADDRESS}/32", "dev", _NODE_BRIDGE)
    _ip("link", "set", _NODE_BRIDGE, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    folder = cni_folder(state)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-kubestudy.conflist").write_text(json.dumps(_cni_configuration(state), indent=1))


def down() -> None:
    """Removes bridges, packet filter chains and the plugins' records."""
    for bridge in (_POD_BRIDGE, _NODE_BRIDGE):
        if _exists(bridge):
            _ip("link", "delete", bridge)
    for family in ("iptables", "ip6tables"):
        for table in ("nat", "filter", "mangle"):
            _remove_chains(family, table)
    for name in (_CNI_NAME, "cni-loopback"):
        for result in _CNI_RESULTS.glob(f"*/{name}-*"):
            result.unlink(missing_ok=True)


def name_servers() -> list[str]:
    """This machine's name servers, for the pods.

    There is no DNS of the cluster's own. Told of none, the kubelet would hand these on as well,
    but with a warning event for each pod.
    """
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        text = path.read_text() if path.exists() else ""
        servers = re.findall(r"^nameserver\s+([0-9.]+)\s*$", text, re.MULTILINE)
        reachable = [server for server in servers if not server.startswith("127.")]
        if reachable:
            return reachable
    return []


def cni_folder(state: Path) -> Path:
    """Where containerd looks for the configuration of the pods' network."""
    return state / "cni"


def _cni_configuration(state: Path) -> dict[str, object]:
    return {
        "cniVersion": "0.4.0",
        "name": _CNI_NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": _POD_BRIDGE,
                "isGateway": True,
                "ipMasq": True,
                # A pod that reaches itself through a Service needs its packets sent back.
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(state / "cni-leases"),
                    "ranges": [[{"subnet": POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _remove_chains(family: str, table: str) -> None:
    """Removes the chains of kube-proxy, the kubelet and CNI, and the rules that lead to them."""
    saved = subprocess.run(
        [f"{family}-save", "-t", table], capture_output=True, text=True, check=False
    )
    ours = re.compile(r"(KUBE|CNI)-")
    chains = [
        line[1:].split()[0]
        for line in saved.stdout.splitlines()
        if line.startswith(":") and ours.match(line[1:])
    ]
    jumps = [
        line.replace("-A", "-D", 1)
        for line in saved.stdout.splitlines()
        if line.startswith("-A")
        and not ours.match(line.split()[1])
        and re.search(rf"-j {ours.pattern}", line)
    ]
    if not chains and not jumps:
        return
    flushes = [f"-F {chain}" for chain in chains]
    deletions = [f"-X {chain}" for chain in chains]
    script = "\n".join([f"*{table}", *jumps, *flushes, *deletions, "COMMIT", ""])
    run([f"{family}-restore", "--noflush", "-w"], what=f"cleaning {family} {table}", stdin=script)


def _exists(link: str) -> bool:
    return Path("/sys/class/net", link).exists()


def _ip(*words: str) -> None:
    run(["ip", *words], what=f"ip {' '.join(words)}")
