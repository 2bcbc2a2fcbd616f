"""Kueue, which holds Jobs back until its quota has room for them, as a process beside a cluster.

It has the account and the rights that its own manifests give it. Only its webhooks for Jobs and
for its own kinds are installed, as no other kind of workload is in its care here.
"""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from . import binaries
from .controlplane import ControlPlane, free_ports
from .lifetime import UpWhileEntered
from .processes import Daemon
from .progress import ClusterError, step

NAMESPACE = "kueue-system"
USER = f"system:serviceaccount:{NAMESPACE}:kueue-controller-manager"

_ADDRESS = "127.0.0.1"
_GROUPS = ("batch", "kueue.x-k8s.io")
# Where it looks for the certificate of its metrics; that it cannot be told.
_METRICS_CERTS = Path("/etc/kueue/metrics/certs")
_KINDS = ("workloads", "localqueues", "clusterqueues", "resourceflavors")


class Kueue(UpWhileEntered):
    """Runs from entry to exit, and leaves nothing of it in the cluster.

    Args:
        cluster: The cluster; it must be up.
    """

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._state = cluster.state / "kueue"
        self._daemon = Daemon("kueue", cluster.state)

    def start(self) -> None:
        """Installs it and starts it.

        Raises:
            ClusterError: It cannot be built, or does not get ready.
        """
        built = binaries.kueue()
        with step("Kueue is up"):
            crds, rights = built / "config/crd/bases", built / "config/rbac/role.yaml"
            self._kubectl("apply", "--server-side", "-f", str(crds))
            self._kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(crds))
            self._kubectl("apply", "-f", "-", stdin=json.dumps(_account(self._read(rights))))
            webhook, health = free_ports(2)
            self._daemon.start(
                [
                    built / "kueue",
                    f"--config={self._configured(webhook, health)}",
                    # Without an API of its own, and other clusters to run Jobs on.
                    "--feature-gates=VisibilityOnDemand=false,MultiKueue=false",
                    "--kubeconfig="
                    + str(self._cluster.kubeconfig_for(USER, ["system:serviceaccounts"])),
                ]
            )
            self._daemon.wait_until(lambda: _answers(f"http://{_ADDRESS}:{health}/readyz"))
            called = self._read(built / "config/webhook/manifests.yaml")
            called = [self._reached(each, webhook) for each in called]
            self._kubectl("apply", "-f", "-", stdin=json.dumps(_list(called)))

    def stop(self) -> None:
        """Ends it and removes what it brought; first what only it lets go of, by its finalizers."""
        webhooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
        self._delete(webhooks, f"--selector={_LABEL}")
        try:
            for kind in _KINDS:
                self._delete(f"{kind}.kueue.x-k8s.io", "--all", "-A")
        finally:
            self._daemon.stop()
        self._delete("clusterroles,clusterrolebindings,namespaces", f"--selector={_LABEL}")
        crds = self._kubectl("get", "crds", "-o", "name").split()
        if ours := [crd for crd in crds if crd.endswith(".kueue.x-k8s.io")]:
            self._delete(*ours)
        shutil.rmtree(self._state, ignore_errors=True)
        shutil.rmtree(_METRICS_CERTS.parents[1], ignore_errors=True)

    def _delete(self, *what: str) -> None:
        words = ("delete", *what, "--ignore-not-found", "--timeout=30s")
        try:
            self._kubectl(*words)
        except ClusterError as error:
            if "the server doesn't have a resource type" not in str(error):
                raise

    def _kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self._cluster.kubectl(*words, stdin=stdin)

    def _read(self, manifests: Path) -> list[Any]:
        """The objects of a file of YAML."""
        words = ("create", "--dry-run=client", "--validate=false", "-o", "json", "-f")
        rest, found = self._kubectl(*words, str(manifests)).strip(), []
        while rest:
            each, end = json.JSONDecoder().raw_decode(rest)
            found += each["items"] if each["kind"] == "List" else [each]
            rest = rest[end:].strip()
        return found

    def _configured(self, webhook: int, health: int) -> Path:
        certs = self._state / "certs"
        pair = self._cluster.authority.issue("kueue", "kueue", hosts=[_ADDRESS])
        for folder in (certs, _METRICS_CERTS):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(pair.certificate, folder / "tls.crt")
            shutil.copy(pair.key, folder / "tls.key")
        config = {
            "apiVersion": "config.kueue.x-k8s.io/v1beta2",
            "kind": "Configuration",
            "namespace": NAMESPACE,
            "health": {"healthProbeBindAddress": f"{_ADDRESS}:{health}"},
            "metrics": {"bindAddress": "0"},
            "webhook": {"host": _ADDRESS, "port": webhook, "certDir": str(certs)},
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "integrations": {"frameworks": ["batch/job"]},
        }
        path = self._state / "config.yaml"
        path.write_text(json.dumps(config, indent=1))
        return path

    def _reached(self, configuration: dict[str, Any], port: int) -> dict[str, Any]:
        """A webhook configuration with what is called here, at our address."""
        authority = base64.b64encode(self._cluster.authority.pair.certificate.read_bytes())
        webhooks = [
            webhook
            | {
                "clientConfig": {
                    "url": f"https://{_ADDRESS}:{port}{webhook['clientConfig']['service']['path']}",
                    "caBundle": authority.decode(),
                }
            }
            for webhook in configuration["webhooks"]
            if all(group in _GROUPS for rule in webhook["rules"] for group in rule["apiGroups"])
        ]
        name = f"kueue-{configuration['metadata']['name']}"
        return configuration | {"metadata": _metadata(name), "webhooks": webhooks}


_LABEL = "app.kubernetes.io/name=kueue"


def _metadata(name: str) -> dict[str, Any]:
    key, _, value = _LABEL.partition("=")
    return {"name": name, "labels": {key: value}}


def _account(rights: list[Any]) -> dict[str, Any]:
    """Its account with its own rights."""
    name = "kueue-manager-role"
    group = "rbac.authorization.k8s.io"
    roles = [
        role | {"metadata": _metadata(name)} for role in rights if role["kind"] == "ClusterRole"
    ]
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(name),
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": _metadata(NAMESPACE)}
    return _list([namespace, *roles, binding])


def _list(items: list[Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
