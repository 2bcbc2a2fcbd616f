"""The cluster that the end-to-end tests run on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The tests run from the repository, which pytest puts on the path only where it is told to.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.testcluster import Access, Cluster, ControlPlane, existing, reason_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster() -> Iterator[Access | ControlPlane]:
    """A real cluster.

    The one that `KUBESTUDY_TEST_KUBECONFIG` names, if it names one; else ours, which stays up if
    it was up before, or if `KUBESTUDY_KEEP_CLUSTER` is set. Both have `kubeconfig` and
    `kubectl()`; only a `Cluster` can have images built for it and faults put into it.
    """
    theirs = existing()
    if theirs is not None:
        yield theirs
        return
    reason = reason_unavailable()
    if reason:
        _give_up(f"no cluster can be brought up here: {reason}")
    ours = Cluster()
    was_up = ours.healthy()
    ours.start()
    yield ours
    if not was_up and not os.environ.get("KUBESTUDY_KEEP_CLUSTER"):
        ours.stop()


@pytest.fixture
def own_cluster(cluster: Access | ControlPlane) -> Cluster:
    """Our own cluster, for tests that look into its node or disturb it."""
    if not isinstance(cluster, Cluster):
        pytest.skip("needs the cluster of tests/testcluster, not one that is given")
    return cluster


def _give_up(reason: str) -> None:
    # In CI a test that cannot run is a failure: skipped, it would look like a test that passed.
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
