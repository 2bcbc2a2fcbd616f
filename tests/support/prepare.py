"""Builds what the tests on a real Kubernetes want: `python3 -m tests.support.prepare [PART ...]`.

Some of it takes minutes on a new machine, longer than any test may take, so it is done before them;
`make test` begins with it in the background. What is there already is not built again, and what
another process builds at the moment is waited for. It needs no Python package.
"""

from __future__ import annotations

import argparse
import sys

from tests.support import images
from tests.testcluster import ClusterError, binaries, existing, packages, reason_unavailable
from tests.testcluster import images as image_store
from tests.testcluster.progress import say


def programs() -> None:
    """Kubernetes, and the tools that look at the chart."""
    wanted = (*binaries.CONTROL_PLANE, *binaries.CONTROLLERS, *binaries.NODE)
    if reason := binaries.unavailable(wanted):
        say(f"Kubernetes is not built: {reason}")
    else:
        binaries.provide(wanted)
    if reason := binaries.tools_unavailable():
        say(f"the tools for the chart are not built: {reason}")
    else:
        for tool in (binaries.helm, binaries.helm_docs, binaries.kubeconform, binaries.kube_score):
            tool()


def others() -> None:
    """The controllers of others that share a cluster with ours."""
    if reason := binaries.tools_unavailable():
        say(f"Kueue is not built: {reason}")
    else:
        binaries.kueue()


def container_images() -> None:
    """The images that run on a cluster of our own."""
    if existing() is not None:
        return
    if reason := reason_unavailable():
        say(f"the images are not built: {reason}")
        return
    packages.install({**packages.NODE, **packages.IMAGES, **packages.BASE_IMAGE})
    image_store.build(images.controller())
    image_store.build(images.trial_with_data())


PARTS = {"programs": programs, "images": container_images, "others": others}


def main() -> int:
    """Builds the parts that the command line names; all of them where it names none."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.support.prepare", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    parts = parser.parse_args().parts
    if unknown := set(parts) - PARTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))} to build")
    try:
        for part in parts or PARTS:
            PARTS[part]()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
