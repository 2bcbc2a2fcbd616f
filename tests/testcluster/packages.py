"""The Debian packages that a node needs, installed when they are missing."""

from __future__ import annotations

import os
import shutil

from . import network
from .paths import cache_dir
from .progress import ClusterError, run, step

# A program of each package, to see whether the package is there.
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": f"{network.CNI_PLUGINS}/bridge",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "iproute2": "ip",
    "openssl": "openssl",
}
IMAGES = {"buildah": "buildah", "busybox-static": "/bin/busybox"}
BASE_IMAGE = {"debootstrap": "debootstrap"}
BROWSER = {"chromium": "chromium"}

# An ordinary user's PATH often lacks the folders of system programs.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def missing(packages: dict[str, str]) -> list[str]:
    """The packages whose program is not there."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}"
    return [name for name, program in packages.items() if not shutil.which(program, path=path)]


def unavailable(packages: dict[str, str]) -> str | None:
    """Says which packages are missing and cannot be installed, or None."""
    absent = missing(packages)
    if not absent or (shutil.which("apt-get") and os.geteuid() == 0):
        return None
    return f"not installed: {', '.join(absent)}"


def install(packages: dict[str, str]) -> None:
    """Installs what is missing.

    Raises:
        ClusterError: We may not or cannot install it.
    """
    absent = missing(packages)
    if not absent:
        return
    reason = unavailable(packages)
    if reason:
        raise ClusterError(f"{reason}; install that first, or run as root on Debian or Ubuntu")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = ["-o", "DPkg::Lock::Timeout=300"]
    command = ["apt-get", *lock, "install", "-y", "-qq", "--no-install-recommends", *absent]
    log = cache_dir() / "apt.log"
    with step(f"installed {', '.join(absent)}"):
        try:
            run(command, what="apt-get install", log=log, env=env)
        except ClusterError:
            # Most often the lists of packages are old or absent.
            run(["apt-get", *lock, "update", "-qq"], what="apt-get update", log=log, env=env)
            run(command, what="apt-get install", log=log, env=env)
