"""What the controller counts of its own work. No label ever holds a name that users choose."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from kubestudy.api.trial import TrialStatus

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
_PUSHES = Counter("kubestudy_pushes_total", "Posts of metrics by trials.", ["code"])
_UNREADABLE = Counter(
    "kubestudy_unreadable_objects_total", "Objects that were seen and could not be read."
)
QUEUE = Gauge("kubestudy_queue_depth", "Studies that wait to be decided about.")
LEADER = Gauge("kubestudy_leader", "Whether this controller decides.")
_FINISHED = Counter("kubestudy_trials_finished_total", "Trials that have ended.", ["outcome"])
_DURATION = Histogram(
    "kubestudy_trial_duration_seconds",
    "Time that a trial's runs were at work, all together.",
    ["outcome"],
    # From ten seconds to two days.
    buckets=[10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600],
)


def trial_finished(status: TrialStatus) -> None:
    """Counts one trial that has ended."""
    _FINISHED.labels(status.state).inc()
    if (worked := status.worked()) is not None:
        _DURATION.labels(status.state).observe(worked.total_seconds())


def reconciled(outcome: str, seconds: float) -> None:
    """Counts one reconciliation."""
    _RECONCILES.labels(outcome).observe(seconds)


def requested(method: str, path: str, code: int) -> None:
    """Counts one request by its method, kind of object and status."""
    _REQUESTS.labels(method, _resource(path), str(code)).inc()


def unreadable() -> None:
    """Counts one object that cannot be read, each time that it is seen."""
    _UNREADABLE.inc()


def pushed(code: int) -> None:
    """Counts one post by the status that it was answered with."""
    _PUSHES.labels(str(code)).inc()


def _resource(path: str) -> str:
    """The kind of object (and its subresource) that a path is about."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return f"{rest[0]}/{rest[2]}" if len(rest) > 2 else (rest[0] if rest else "")
