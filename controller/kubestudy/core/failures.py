"""Why runs end badly, and what is done about it: one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kubestudy.core.facts import RunFacts, RunReport, RunState

# Exit codes of the trial contract (docs/trial-contract.md).
EXIT_REASONS = {
    64: "InvalidArgument",
    65: "Diverged",
    69: "DataUnavailable",
    71: "OutOfMemory",
    75: "Interrupted",
    137: "Killed",
    143: "Interrupted",
}


_SAYS_NOTHING = ("Error", "Completed", "BackoffLimitExceeded", "PodFailurePolicy")
"""Reasons that leave open why a pod failed; Completed is of a container beside one that failed."""


class Remedy(Enum):
    """What is done about a run that ended badly."""

    FAIL = "fail"
    RETRY = "retry"


REMEDIES = {
    "Interrupted": Remedy.RETRY,
    "Deleted": Remedy.RETRY,
    "Evicted": Remedy.RETRY,
    "Preempted": Remedy.RETRY,
    "NodeLost": Remedy.RETRY,
}
"""By reason; a reason that is not here fails the trial."""


@dataclass(frozen=True)
class Verdict:
    """What became of a run.

    Attributes:
        reason: In CamelCase; ``Completed`` where it gave what was asked of it.
        message: For a person.
        remedy: What to do; None where all is well.
    """

    reason: str
    message: str = ""
    remedy: Remedy | None = None


def judge(run: RunFacts, report: RunReport, wanted: list[str]) -> Verdict:
    """Says what became of a run that has ended and whose report is complete.

    Args:
        run: What is seen of it.
        report: All that it reported.
        wanted: The metrics that it owes.
    """
    if report.not_finite is not None:
        name, value, step = report.not_finite
        at = f" at step {step:g}" if step is not None else ""
        return _bad("Diverged", f"metric {name} was {value}{at}")
    if run.state == RunState.FAILED:
        reason = _reason(run, report)
        message = report.exit_message or run.message
        if not message and run.exit_code is not None:
            message = f"the container ended with exit code {run.exit_code}"
        return _bad(reason, message)
    missing = [m for m in wanted if m not in report.metrics]
    if missing:
        seen = ", ".join(sorted(report.metrics)) or "none"
        why = f"; {report.problem}" if report.problem else ""
        return _bad(
            "MetricMissing",
            f"the trial ended without reporting {', '.join(missing)} (metrics seen: {seen}){why}",
        )
    return Verdict("Completed")


def _reason(run: RunFacts, report: RunReport) -> str:
    # What the kubelet says of a container or pod outweighs what the container says of itself.
    if run.reason and run.reason not in _SAYS_NOTHING:
        return run.reason
    if report.exit_reason and report.exit_reason != "Completed":
        return report.exit_reason
    return EXIT_REASONS.get(run.exit_code or 0, "Failed")


def _bad(reason: str, message: str) -> Verdict:
    return Verdict(reason, message, REMEDIES.get(reason, Remedy.FAIL))
