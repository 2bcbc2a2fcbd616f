"""What the controller tells Prometheus of itself. No label ever holds a name that users choose."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_RECONCILES = Histogram(
    "kubestudy_reconcile_duration_seconds",
    "Time to decide about a Study and to carry the plan out.",
    ["outcome"],
)
_REQUESTS = Counter(
    "kubestudy_api_requests_total",
    "Requests to the API server.",
    ["method", "resource", "code"],
)
QUEUE = Gauge("kubestudy_queue_depth", "Studies that wait to be decided about.")
LEADER = Gauge("kubestudy_leader", "Whether this controller decides.")
STUDIES = Gauge("kubestudy_studies", "Studies that are known.")


def reconciled(outcome: str, seconds: float) -> None:
    """Counts one reconciliation."""
    _RECONCILES.labels(outcome).observe(seconds)


def requested(method: str, path: str, code: int) -> None:
    """Counts one request by its method, kind of object and status."""
    _REQUESTS.labels(method, _resource(path), str(code)).inc()


def _resource(path: str) -> str:
    """The kind of object (and its subresource) that a path is about."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return f"{rest[0]}/{rest[2]}" if len(rest) > 2 else (rest[0] if rest else "")
