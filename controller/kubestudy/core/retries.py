"""When a run that was cut off is run again: an exponential back-off, from stored facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from kubestudy.api.trial import FAILED, Run
from kubestudy.core.failures import REMEDIES, Remedy, Verdict

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=6)

WORKED = timedelta(minutes=10)
"""A run that was at work for so long was no vain try: the back-off begins anew."""

MOST_IN_A_ROW = 30
"""What is taken away so often before it gets to work will not run here (after about 2.5 hours)."""


def runs_again(verdict: Verdict, ended: Sequence[Run], max_retries: int) -> bool:
    """Whether a run is run again.

    Args:
        verdict: On the run that has just ended.
        ended: The runs of its fold before it.
        max_retries: How often the Study lets an interrupted run be run again.
    """
    if verdict.remedy == Remedy.REPLACE:
        return len(_in_vain(ended)) < MOST_IN_A_ROW
    counted = sum(
        r.outcome == FAILED and REMEDIES.get(r.reason or "") == Remedy.RETRY for r in ended
    )
    return verdict.remedy == Remedy.RETRY and counted < max_retries


def back_off(ended: Sequence[Run]) -> timedelta:
    """How long the next run of a fold waits: the first not at all, then 10 s, 20 s, ... 6 min.

    Args:
        ended: The runs of the fold so far.
    """
    failed = _in_vain(ended)
    if len(failed) < 2:
        return timedelta()
    doublings = min(len(failed) - 2, 10)
    wait: timedelta = FIRST_WAIT * 2**doublings
    return min(LONGEST_WAIT, wait)


def not_before(ended: Sequence[Run]) -> datetime | None:
    """When the next run of a fold may start; None where it may at once.

    Args:
        ended: The runs of the fold so far.
    """
    wait = back_off(ended)
    since = ended[-1].completion_time if ended else None
    return since + wait if wait and since else None


def _in_vain(ended: Sequence[Run]) -> list[Run]:
    """The runs that were cut off one after the other before they had worked for a while."""
    found: list[Run] = []
    for run in reversed(ended):
        if run.outcome != FAILED:
            break
        found.insert(0, run)
        times = run.start_time, run.completion_time
        if times[0] and times[1] and times[1] - times[0] >= WORKED:
            break
    return found
