"""Why runs end badly, and what is done about it: one table (docs/failures.md explains it)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kubestudy.core.facts import RunFacts, RunState
from kubestudy.core.reports import RunReport

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

_USAGE_EXIT = 2
"""What argparse and click end with after a wrong argument, and others for many a reason."""

_USAGE = re.compile(r"^usage: ", re.IGNORECASE | re.MULTILINE)
_ERROR = re.compile(r"(^|: )error: ", re.IGNORECASE)
_WRONG_ARGUMENT = re.compile(
    r"unrecognized arguments|arguments are required|argument \S+: |no such option|missing option"
    r"|missing argument|invalid value for|requires an argument|ambiguous option"
    r"|unexpected extra argument|could not consume arg",
    re.IGNORECASE,
)
"""Where the usage is too long to be among the last lines, these phrases tell as much."""

CONTRACT_REASONS = frozenset(
    {
        *("Completed", "InvalidArgument", "DataUnavailable", "OutOfMemory", "Diverged"),
        *("Interrupted", "Failed"),
    }
)
"""What a trial may say of itself; a reason of the cluster's, such as Preempted, it may not."""

SUSPENDED = "Suspended"
"""The reason of a run that is held back, or was ended, as its Study is suspended."""

_SAYS_NOTHING = ("Error", "Completed", "BackoffLimitExceeded", "StartError")
"""Reasons that leave open why a pod failed; Completed is of a container beside one that failed."""

USER_ERRORS = frozenset(
    {"InvalidArgument", "DataUnavailable", "ImagePullFailed", "ContainerNotStarted"}
)
"""Reasons that, once they hold for the first trials, will hold for all."""


class Remedy(Enum):
    """What is done about a run that ended badly.

    Attributes:
        FAIL: The trial has failed.
        RETRY: It is run again, as often as ``trial.maxRetries`` allows.
        REPLACE: It is run again and not counted: the cluster or a person took it away.
        LATER: It is run again and not counted, once its Study is no longer suspended.
    """

    FAIL = "fail"
    RETRY = "retry"
    REPLACE = "replace"
    LATER = "later"


REMEDIES = {
    "Interrupted": Remedy.RETRY,
    "LogLost": Remedy.RETRY,
    "Deleted": Remedy.REPLACE,
    "Disrupted": Remedy.REPLACE,
    "Evicted": Remedy.REPLACE,
    "Preempted": Remedy.REPLACE,
    "NodeLost": Remedy.REPLACE,
    "NodeShutdown": Remedy.REPLACE,
    "NotAdmitted": Remedy.REPLACE,
    SUSPENDED: Remedy.LATER,
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


def judge(
    run: RunFacts, report: RunReport, wanted: list[str], folds: Sequence[int] | None = None
) -> Verdict:
    """Says what became of a run that has ended and whose report is complete.

    Args:
        run: What is seen of it.
        report: All that it reported.
        wanted: The metrics that it owes.
        folds: The folds that it owes them of, where one pod trains all; else None.
    """
    if report.not_finite is not None:
        name, value, step = report.not_finite
        at = f" at step {step:g}" if step is not None else ""
        return bad("Diverged", f"metric {name} was {value}{at}")
    if run.state == RunState.FAILED:
        reason, message = _cause(run, report)
        if not message and run.exit_code is not None:
            message = f"the container ended with exit code {run.exit_code}"
        return bad(reason, message)
    missing = [m for m in wanted if m not in report.metrics]
    if folds is not None:
        missing = _missing_of_folds(report, wanted, folds)
    if missing and report.problem:
        return bad("LogLost", f"{', '.join(missing)} may have been reported, but {report.problem}")
    if missing:
        seen = ", ".join(sorted(report.metrics)) or "none"
        told = report.hint
        if folds and report.metrics and not report.folds and not told:
            told = f'no report names its fold, as {{"{wanted[0]}": 0.5, "fold": {folds[0]}}} does'
        hint = f"; {told}" if told else ""
        return bad(
            "MetricMissing",
            f"the trial ended without reporting {', '.join(missing)} (metrics seen: {seen}){hint}",
        )
    return Verdict("Completed")


def _missing_of_folds(report: RunReport, wanted: Sequence[str], folds: Sequence[int]) -> list[str]:
    """The metrics that are missing, each with the folds that it is missing of."""
    named = []
    for metric in wanted:
        without = [
            str(f) for f in folds if f not in report.folds or metric not in report.folds[f].metrics
        ]
        if without:
            named.append(f"{metric} of fold{'s' * (len(without) > 1)} {', '.join(without)}")
    return named


def _cause(run: RunFacts, report: RunReport) -> tuple[str, str]:
    """Why a run failed: in CamelCase, and for a person.

    What the cluster says of a container or pod outweighs what the container says of itself.
    """
    if run.reason == "PodFailurePolicy":
        return "Disrupted", run.message
    if run.reason and run.reason not in _SAYS_NOTHING:
        return run.reason, run.message or report.exit_message
    message = report.exit_message or run.message
    if report.exit_reason and report.exit_reason != "Completed":
        return report.exit_reason, message
    if run.exit_code is None and report.problem:
        return "LogLost", report.problem
    if run.exit_code == _USAGE_EXIT and refuses_arguments(run.tail):
        return "InvalidArgument", message
    return EXIT_REASONS.get(run.exit_code or 0, "Failed"), message


def refuses_arguments(tail: str) -> bool:
    """Whether a program's last lines say that it did not take its arguments.

    The exit code alone does not: `ls`, `grep` and shells end with 2 as well.
    """
    last = last_line(tail)
    if not _ERROR.search(last):
        return False
    return bool(_USAGE.search(tail) or _WRONG_ARGUMENT.search(last))


def last_line(tail: str) -> str:
    """The last line of a text that says anything, in bounded length."""
    lines = (line.strip() for line in reversed(tail.splitlines()))
    return next((line[:500] for line in lines if line), "")


def without_values(message: str) -> str:
    """A message without the values in it, by which failures of the same kind are known.

    An exit code stays: it is no value but the kind itself.
    """
    message = re.sub(r"(unrecognized arguments:).*", r"\1", message)
    return re.sub(r"'[^']*'|\"[^\"]*\"|=\S*|(?<!\S)(?<!exit code )\S*\d\S*", "", message)


def bad(reason: str, message: str) -> Verdict:
    """The verdict on a run that ended badly for this reason."""
    return Verdict(reason, message, REMEDIES.get(reason, Remedy.FAIL))
