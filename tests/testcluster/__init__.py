"""A real Kubernetes on this machine, for the tests and for whoever wants to try the operator.

    python3 -m tests.testcluster up       # a one-node cluster with 8 GPUs in name; about 20 s
    eval "$(python3 -m tests.testcluster env)"
    kubectl get nodes
    python3 -m tests.testcluster down

It needs Linux, root and Python's standard library, and gets the rest by itself: Debian packages,
and the programs of Kubernetes, built once from Go modules. The control plane alone (`up
--control-plane`, `ControlPlane`) needs no root. In Python:

    from tests.testcluster import Cluster, ControlPlane

    with ControlPlane() as api:
        api.kubectl("get", "namespaces")
"""

from __future__ import annotations

from .cluster import GPUS, Cluster, existing, reason_unavailable
from .controlplane import Access, ControlPlane
from .progress import ClusterError

__all__ = [
    "GPUS",
    "Access",
    "Cluster",
    "ClusterError",
    "ControlPlane",
    "existing",
    "reason_unavailable",
]
