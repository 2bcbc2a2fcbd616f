"""The cluster's own certificate authority, by the openssl command.

The API server takes a client certificate's common name as the user and its organizations as the
groups, so that a kubeconfig for any user is one certificate away.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .progress import run

# Ours in full: what a distribution's openssl.cnf adds by default differs.
_CONFIG = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth, serverAuth
"""
_DAYS = "3650"


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder.

    Args:
        folder: Where its files are; `create` fills it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pair = KeyPair(folder / "ca.crt", folder / "ca.key")
        self._config = folder / "openssl.cnf"

    def create(self) -> None:
        """Makes the authority's own key and certificate."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._config.write_text(_CONFIG)
        _openssl(
            "req", "-x509", "-config", self._config, "-extensions", "authority",
            *_new_key(self.pair.key), "-out", self.pair.certificate,
            "-days", _DAYS, "-subj", "/CN=kubestudy-testcluster",
        )  # fmt: skip

    def signing_key(self, name: str) -> Path:
        """Makes a bare private key: the one that signs service-account tokens."""
        path = self.folder / f"{name}.key"
        # Not genpkey: the API server takes the public half only from this older form.
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        return path

    def issue(
        self, name: str, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> KeyPair:
        """Issues a certificate.

        Args:
            name: The name of its files.
            user: The common name: the user that a client is to the API server.
            groups: The organizations: the groups of that user.
            hosts: Addresses and names that it serves, for a server.
        """
        pair = KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.cnf"
        alternatives = ", ".join(f"{_kind(host)}:{host}" for host in hosts)
        extensions.write_text(
            _CONFIG + (f"subjectAltName = {alternatives}\n" if alternatives else "")
        )
        subject = "".join(f"/O={_escape(group)}" for group in groups) + f"/CN={_escape(user)}"
        _openssl(
            "req", "-new", "-config", self._config, *_new_key(pair.key),
            "-out", request, "-utf8", "-subj", subject,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-out", pair.certificate, "-days", _DAYS,
            "-CA", self.pair.certificate, "-CAkey", self.pair.key,
            "-set_serial", f"0x{secrets.token_hex(16)}",
            "-extfile", extensions, "-extensions", "leaf",
        )  # fmt: skip
        return pair

    def kubeconfig(
        self, path: Path, server: str, user: str, groups: Sequence[str] = (),
        namespace: str = "default",
    ) -> Path:  # fmt: skip
        """Writes a kubeconfig for a user, complete in one file.

        Args:
            path: The file.
            server: The API server's URL.
            user: The user's name.
            groups: The user's groups.
            namespace: The namespace of its context.
        """
        digest = hashlib.sha256(repr((user, list(groups))).encode()).hexdigest()[:8]
        pair = self.issue(f"user-{re.sub('[^a-z0-9]+', '-', user.lower())}-{digest}", user, groups)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"""\
apiVersion: v1
kind: Config
current-context: kubestudy
contexts:
- name: kubestudy
  context: {{cluster: kubestudy, user: user, namespace: {namespace}}}
clusters:
- name: kubestudy
  cluster:
    server: {server}
    certificate-authority-data: {_base64(self.pair.certificate)}
users:
- name: user
  user:
    client-certificate-data: {_base64(pair.certificate)}
    client-key-data: {_base64(pair.key)}
""")
        return path


def _openssl(*words: str | Path) -> None:
    run(["openssl", *words], what=f"openssl {words[0]}")


def _new_key(path: Path) -> list[str | Path]:
    # Elliptic curves: a key takes milliseconds, where RSA takes up to a second.
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]


def _kind(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "DNS"
    return "IP"


def _escape(text: str) -> str:
    return re.sub(r"([\\/+=,])", r"\\\1", text)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
