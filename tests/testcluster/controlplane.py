"""etcd and the API server, with the controllers and the scheduler where they are wanted.

Alone they are enough for tests of the API: schemas, admission, RBAC, server-side apply, watches.
They run without root, on free ports, any number of them side by side.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import binaries, packages
from .api import Api
from .certs import Authority, KeyPair
from .lifetime import UpWhileEntered
from .mounts import remove_tree
from .network import API_SERVICE_ADDRESS, SERVICE_CIDR
from .processes import Daemon, end_marked
from .progress import ClusterError, run, step

ADMIN = "kubestudy-admin"
_ADMINS = ["system:masters"]
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


@dataclass(frozen=True)
class Access:
    """A cluster to work with, whoever runs it.

    Attributes:
        kubeconfig: The way in, with all rights.
    """

    kubeconfig: Path

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Runs kubectl and returns what it printed.

        Args:
            *words: Its arguments.
            stdin: What it reads, for `apply -f -`.

        Raises:
            ClusterError: It failed; the message has what it said.
        """
        return run(
            [binaries.kubectl(), "--kubeconfig", self.kubeconfig, *words],
            what=f"kubectl {' '.join(words)}",
            stdin=stdin,
        )


class ControlPlane(UpWhileEntered):
    """An API server with its etcd.

    As a context manager it starts on entry and is gone on exit. An object made for a folder where
    one already runs controls that one.

    Args:
        state: Its folder; one in the temporary folder by default, which goes with it.
        address: Where it serves.
        port: The API server's port; a free one by default.
        controllers: Whether the controller-manager runs too: garbage collection, namespaces,
            service accounts, Jobs.
        scheduler: Whether the scheduler runs too.
        audit_log: Whether the API server logs each request to `logs/audit.log`.
    """

    def __init__(
        self,
        state: Path | str | None = None,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        controllers: bool = False,
        scheduler: bool = False,
        audit_log: bool | None = None,
    ) -> None:
        self._temporary = state is None
        self.state = Path(state or tempfile.mkdtemp(prefix="kubestudy-")).absolute()
        self.authority = Authority(self.state / "certs")
        self._address = address
        self._port = port
        self._controllers = controllers
        self._scheduler = scheduler
        if audit_log is None:
            audit_log = os.environ.get("KUBESTUDY_AUDIT_LOG", "") not in ("", "0", "false")
        self._audit_log = audit_log
        self.etcd = Daemon("etcd", self.state)
        self.apiserver = Daemon("kube-apiserver", self.state)
        self.controller_manager = Daemon("kube-controller-manager", self.state)
        self.kube_scheduler = Daemon("kube-scheduler", self.state)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self._address}:{self._ports()['apiserver']}"

    @property
    def api(self) -> Api:
        """The API server, spoken to as the administrator."""
        client = KeyPair(self.authority.folder / "admin.crt", self.authority.folder / "admin.key")
        return Api(self.server, self.authority, client)

    @property
    def audit_log(self) -> Path:
        """Where the API server logs its requests, if it was asked to."""
        return self.state / "logs" / "audit.log"

    def start(self) -> None:
        """Starts everything afresh, unless it already runs and is well."""
        if self.healthy():
            return
        self.stop()
        packages.install({"openssl": "openssl"})
        programs = binaries.provide(self._programs())
        with step("etcd and the API server are up"):
            self.start_etcd(programs)
            self.start_apiserver(programs)
        self.start_controllers(programs)
        if self._controllers:
            self.wait_for_service_account()

    @property
    def daemons(self) -> list[Daemon]:
        """Its programs, in the order in which they start."""
        daemons = [self.etcd, self.apiserver]
        daemons += [self.controller_manager] if self._controllers else []
        daemons += [self.kube_scheduler] if self._scheduler else []
        return daemons

    def healthy(self) -> bool:
        """Whether all of it runs and the API server says that it is ready."""
        return all(daemon.pid for daemon in self.daemons) and self.api.ok("/readyz")

    def stop(self) -> None:
        """Ends it and removes its folder."""
        for daemon in reversed(self.daemons):
            daemon.stop(grace=2.0)
        end_marked(self.state)
        remove_tree(self.state)

    @property
    def etcd_port(self) -> int:
        """Where etcd serves, on the loopback address."""
        return self._ports()["etcd"]

    def restart_apiserver(self, downtime: float = 0.0, etcd_port: int | None = None) -> None:
        """Restarts the API server as it was started; etcd keeps the objects.

        Args:
            downtime: How many seconds it stays away.
            etcd_port: Where it reaches etcd; on etcd's own port by default.
        """
        # It would wait for its clients to hang up, which watches do not do.
        self.apiserver.stop(grace=2.0)
        time.sleep(downtime)
        self.apiserver.restart(_etcd_flag(etcd_port or self.etcd_port))
        self._wait_for_apiserver()

    def kubeconfig_for(
        self, user: str, groups: Sequence[str] = (), namespace: str = "default"
    ) -> Path:
        """Makes a kubeconfig for a user, who has only the rights that RBAC gives.

        Args:
            user: The name; it may be a service account's, `system:serviceaccount:NS:NAME`.
            groups: The groups; the API server adds `system:authenticated`.
            namespace: The namespace of its context.
        """
        name = "-".join([user, *groups]).replace("/", "-").replace(":", "-")
        path = self.state / "kubeconfigs" / f"{name}.yaml"
        return self.authority.kubeconfig(path, self.server, user, groups, namespace)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Runs kubectl as the administrator; see `Access.kubectl`."""
        return Access(self.kubeconfig).kubectl(*words, stdin=stdin)

    def start_etcd(self, programs: binaries.Programs) -> None:
        """Starts etcd, and meanwhile makes the certificates."""
        self.state.mkdir(parents=True, exist_ok=True)
        ports = self._choose_ports()
        client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
        self.etcd.start(
            [
                programs["etcd"],
                f"--data-dir={self.state / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                # Nothing here is meant to survive a power cut, and each fsync costs time.
                "--unsafe-no-fsync",
                "--log-level=warn",
            ]
        )
        self.authority.create()
        self.authority.signing_key("service-accounts")
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        hosts = [*names, "127.0.0.1", self._address, API_SERVICE_ADDRESS]
        self.authority.issue("apiserver", "kube-apiserver", hosts=hosts)
        self.authority.issue("kubelet-client", "kube-apiserver-kubelet-client", _ADMINS)
        self.authority.issue("admin", ADMIN, _ADMINS)
        self.authority.kubeconfig(self.kubeconfig, self.server, ADMIN, _ADMINS)

    def start_apiserver(self, programs: binaries.Programs) -> None:
        """Starts the API server and waits until it is ready."""
        ports = self._ports()
        certs = self.authority.folder
        argv: list[str | Path] = [
            programs["kube-apiserver"],
            _etcd_flag(ports["etcd"]),
            f"--bind-address={self._address}",
            f"--secure-port={ports['apiserver']}",
            f"--advertise-address={self._address}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--client-ca-file={certs / 'ca.crt'}",
            f"--tls-cert-file={certs / 'apiserver.crt'}",
            f"--tls-private-key-file={certs / 'apiserver.key'}",
            f"--kubelet-certificate-authority={certs / 'ca.crt'}",
            f"--kubelet-client-certificate={certs / 'kubelet-client.crt'}",
            f"--kubelet-client-key={certs / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={certs / 'service-accounts.key'}",
            f"--service-account-signing-key-file={certs / 'service-accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # Its default is a folder of root's.
            f"--cert-dir={certs}",
        ]
        if ipaddress.ip_address(self._address).is_loopback:
            # No pod could reach this address, and the API server refuses to publish it.
            argv.append("--endpoint-reconciler-type=none")
        if not self._controllers:
            # Nobody makes the default service account that pods would have to wait for.
            argv.append("--disable-admission-plugins=ServiceAccount")
        if self._audit_log:
            policy = self.state / "audit-policy.yaml"
            policy.write_text(_AUDIT_POLICY)
            argv += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        self.apiserver.start(argv)
        self._wait_for_apiserver()

    def start_controllers(self, programs: binaries.Programs) -> None:
        """Starts the controller-manager and the scheduler, as far as they are wanted."""
        certs = self.authority.folder
        if self._controllers:
            config = self._component_kubeconfig("kube-controller-manager")
            self.controller_manager.start(
                [
                    programs["kube-controller-manager"],
                    *self._component_flags("controller-manager", config),
                    f"--root-ca-file={certs / 'ca.crt'}",
                    f"--service-account-private-key-file={certs / 'service-accounts.key'}",
                    f"--cluster-signing-cert-file={certs / 'ca.crt'}",
                    f"--cluster-signing-key-file={certs / 'ca.key'}",
                    "--use-service-account-credentials=true",
                ]
            )
        if self._scheduler:
            config = self._component_kubeconfig("kube-scheduler")
            self.kube_scheduler.start(
                [programs["kube-scheduler"], *self._component_flags("scheduler", config)]
            )

    def wait_for_service_account(self) -> None:
        """Waits until pods can be made in the default namespace."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        self.controller_manager.wait_until(lambda: self.api.get(path) is not None)

    def _wait_for_apiserver(self) -> None:
        api = self.api
        self.apiserver.wait_until(lambda: api.ok("/readyz"))
        # The readiness check does not cover the namespace that everybody starts with.
        self.apiserver.wait_until(lambda: api.get("/api/v1/namespaces/default") is not None)

    def _component_kubeconfig(self, name: str) -> Path:
        path = self.state / "kubeconfigs" / f"{name}.yaml"
        return self.authority.kubeconfig(path, self.server, f"system:{name}")

    def _component_flags(self, name: str, kubeconfig: Path) -> list[str]:
        return [
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={self._address}",
            f"--secure-port={self._ports()[name]}",
            f"--cert-dir={self.state / 'certs' / name}",
            # There is only one of each: an election would only cost a start and writes.
            "--leader-elect=false",
        ]

    def _programs(self) -> list[str]:
        wanted = list(binaries.CONTROL_PLANE)
        wanted += binaries.CONTROLLERS if self._controllers else ()
        return wanted + (["kube-scheduler"] if self._scheduler else [])

    def _choose_ports(self) -> dict[str, int]:
        names = ("apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        if self._port is not None:
            ports["apiserver"] = self._port
        (self.state / "ports.json").write_text(json.dumps(ports))
        return ports

    def _ports(self) -> dict[str, int]:
        try:
            ports: dict[str, int] = json.loads((self.state / "ports.json").read_text())
        except (OSError, ValueError) as error:
            raise ClusterError(f"no control plane was started in {self.state}") from error
        return ports


def _etcd_flag(port: int) -> str:
    return f"--etcd-servers=http://127.0.0.1:{port}"


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
