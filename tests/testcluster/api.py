"""As much of a Kubernetes client as bringing a cluster up takes, from the standard library."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .certs import Authority, KeyPair


class Api:
    """An API server, spoken to with a client certificate.

    Args:
        server: Its URL.
        authority: Who signed its certificate.
        client: Who we are.
    """

    def __init__(self, server: str, authority: Authority, client: KeyPair) -> None:
        self._server = server
        context = ssl.create_default_context(cafile=str(authority.pair.certificate))
        context.load_cert_chain(client.certificate, client.key)
        # No proxies: the server is on this machine, whatever the environment says.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def get(self, path: str) -> Any:
        """The object at a path, or None when there is none or the server does not answer."""
        try:
            return json.loads(self._request("GET", path))
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def ok(self, path: str) -> bool:
        """Whether a health endpoint says that all is well."""
        try:
            self._request("GET", path)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def try_out(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Asks what would come of creating an object; returns the status and what was said."""
        try:
            self._request("POST", f"{path}?dryRun=All", body, "application/json")
        except urllib.error.HTTPError as error:
            return error.code, str(json.loads(error.read()).get("message", ""))
        return 201, ""

    def patch(self, path: str, patch: dict[str, Any]) -> None:
        """Merges a patch into an object."""
        self._request("PATCH", path, patch, "application/merge-patch+json")

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, kind: str = ""
    ) -> bytes:
        request = urllib.request.Request(
            self._server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", **({"Content-Type": kind} if kind else {})},
        )
        with self._opener.open(request, timeout=10) as response:
            return bytes(response.read())
