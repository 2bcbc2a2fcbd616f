"""Several sources of one run: of each metric, the first source that has it counts."""

from __future__ import annotations

import copy
from collections.abc import Sequence, Set

from kubestudy.core.reports import RunReport


def preferred(reports: Sequence[RunReport | None], owed: Set[str]) -> RunReport | None:
    """Makes one report out of those of several sources.

    Args:
        reports: In order of preference; None of a source that has not read anything yet.
        owed: The metrics that the run should report: a source that has them all is not added to.
    """
    merged: RunReport | None = None
    complete = True
    # One whose end is lost may have old values; it is asked after all others.
    for report in sorted(reports, key=lambda r: r is not None and r.cut_off):
        if merged is not None and merged.complete and owed <= merged.metrics.keys():
            return merged
        if report is None:
            complete = False
        elif merged is None:
            merged = copy.copy(report)
            merged.metrics = dict(report.metrics)
        else:
            _add(merged, report, owed)
        complete = complete and report is not None and report.complete
        if merged is not None:
            merged.complete = complete
    return merged


def _add(merged: RunReport, other: RunReport, owed: Set[str]) -> None:
    merged.cut_off |= other.cut_off and not owed & other.metrics.keys() <= merged.metrics.keys()
    merged.metrics = {**other.metrics, **merged.metrics}
    if not merged.curve:
        merged.curve, merged.newest, merged.rungs = other.curve, other.newest, other.rungs
    merged.not_finite = merged.not_finite or other.not_finite
    merged.problem = merged.problem or other.problem
    merged.hint = "; ".join(filter(None, (merged.hint, other.hint))) or None
