"""A mutating webhook of a service mesh: it puts a container in front of those of each new pod."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.kubectl import Namespace
from tests.testcluster.certs import Authority

_ADDRESS = "127.0.0.1"


@contextlib.contextmanager
def injected(place: Namespace, container: Mapping[str, Any], folder: Path) -> Iterator[None]:
    """Puts a container first into each pod that is made in a namespace meanwhile.

    Args:
        place: The namespace, in a cluster whose API server runs on this machine.
        container: What is put in.
        folder: For the webhook's certificates.
    """
    authority = Authority(folder)
    authority.create()
    pair = authority.issue("webhook", "webhook", hosts=[_ADDRESS])
    patch = [{"op": "add", "path": "/spec/containers/0", "value": dict(container)}]
    text = base64.b64encode(json.dumps(patch).encode()).decode()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            allowed = {"uid": review["request"]["uid"], "allowed": True}
            review["response"] = allowed | {"patchType": "JSONPatch", "patch": text}
            body = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer((_ADDRESS, 0), Webhook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    ca = base64.b64encode(authority.pair.certificate.read_bytes()).decode()
    url = f"https://{_ADDRESS}:{server.server_port}/"
    try:
        place.apply(_configuration(place.name, {"url": url, "caBundle": ca}))
        yield
    finally:
        place.kubectl("delete", "mutatingwebhookconfiguration", place.name)
        server.shutdown()
        serving.join()
        server.server_close()


def _configuration(namespace: str, client: dict[str, str]) -> dict[str, Any]:
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "injector.mesh.test",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "clientConfig": client,
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [{**pods, "operations": ["CREATE"]}],
            }
        ],
    }
