"""Removing folders in which something may still be mounted."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from .progress import ClusterError


def unmount_under(*folders: Path) -> None:
    """Unmounts everything below these folders, the latest first."""
    for point in reversed(_mounted_under(*folders)):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def remove_tree(folder: Path) -> None:
    """Removes a folder with everything in it, but never through a mount.

    A volume of the kubelet's may be a bind mount of somebody's data: deleting must stop there.

    Raises:
        ClusterError: Something in it stays mounted.
    """
    unmount_under(folder)
    left = _mounted_under(folder)
    if left:
        raise ClusterError(f"{folder} is not removed, for these stay mounted: {', '.join(left)}")
    shutil.rmtree(folder, ignore_errors=True)


def _mounted_under(*folders: Path) -> list[str]:
    try:
        table = Path("/proc/self/mountinfo").read_text()
    except FileNotFoundError:
        return []  # not Linux, where we mount nothing
    points = [
        # Spaces and the like are written as octal numbers.
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4])
        for line in table.splitlines()
    ]
    return [point for point in points if any(Path(point).is_relative_to(f) for f in folders)]
