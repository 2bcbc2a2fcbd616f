"""The API server's own record of who asked for what."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One request that was answered."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    time: datetime

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.verb not in ("get", "list", "watch")


def requests(log: Path) -> list[Request]:
    """Reads an audit log."""
    found = []
    for line in log.read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # it is being written
        about = event.get("objectRef") or {}
        resource = about.get("resource", "")
        if about.get("subresource"):
            resource += f"/{about['subresource']}"
        found.append(
            Request(
                user=event["user"]["username"],
                verb=event["verb"],
                resource=resource,
                namespace=about.get("namespace", ""),
                name=about.get("name", ""),
                code=(event.get("responseStatus") or {}).get("code", 0),
                time=datetime.fromisoformat(event["requestReceivedTimestamp"]),
            )
        )
    return found


def created(log: Path, namespace: str, resource: str) -> list[str]:
    """The names of all objects of a kind that were made in a namespace."""
    return [
        r.name
        for r in requests(log)
        if (r.namespace, r.resource, r.verb, r.code) == (namespace, resource, "create", 201)
    ]


def failed(log: Path, namespace: str, user: str) -> dict[str, list[float]]:
    """When a user's requests in a namespace failed, by what was asked for."""
    found = defaultdict(list)
    for r in requests(log):
        if (r.namespace, r.user) == (namespace, user) and r.code >= 400:
            found[f"{r.verb} {r.resource} {r.name}"].append(r.time.timestamp())
    return found


def retries_in_a_second(failures: Iterable[float]) -> int:
    """How often, at most, what had failed was tried again within any one second."""
    moments = sorted(failures)
    return max((sum(t <= m < t + 1 for m in moments) - 1 for t in moments), default=0)
