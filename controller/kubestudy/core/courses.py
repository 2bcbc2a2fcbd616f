"""The course of a trial's first objective, as it is stored: bounded, and whole after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from kubestudy.api.objectives import Direction
from kubestudy.api.study import StudySpec
from kubestudy.api.trial import MAX_CURVE, MAX_POINTS, CurvePoint
from kubestudy.core.reports import Reported, RunReport

T = TypeVar("T")


def course(
    stored: Sequence[CurvePoint], report: RunReport, fold: int, spec: StudySpec
) -> list[CurvePoint]:
    """Makes the course of a trial from what is stored of it and what a pod of it reports.

    A pod that goes on from a checkpoint reports what comes after it: what an earlier pod of the
    fold reported before the first step of this one is kept, and counts on.

    Args:
        stored: The course as it is stored; it may hold some of the report already.
        report: What the pod of the fold has reported so far.
        fold: Which fold; 0 where there is no cross-validation.
        spec: The Study's spec.
    """
    if report.newest is None:
        return list(stored)
    room = min(MAX_POINTS, MAX_CURVE // spec.folds)
    begun = report.curve[0].step
    earlier = [p for p in stored if (p.fold or 0) == fold and p.step < begun]
    earlier = thinned(earlier, room // 2)
    seen = report.curve if report.curve[-1] == report.newest else [*report.curve, report.newest]
    before = earlier[-1] if earlier else None
    points = [_point(p, before, fold, spec) for p in thinned(seen, room - len(earlier))]
    others = [p for p in stored if (p.fold or 0) != fold]
    return sorted([*others, *earlier, *points], key=lambda p: p.fold or 0)


def thinned(points: Sequence[T], room: int) -> list[T]:
    """Keeps the first, every so many, and the last; every so many is a power of two."""
    stride = 1
    while len(points[::stride]) + 1 > room and len(points) > room:
        stride *= 2
    kept = list(points[::stride])
    return kept if (len(points) - 1) % stride == 0 or not points else [*kept, points[-1]]


def _point(seen: Reported, before: CurvePoint | None, fold: int, spec: StudySpec) -> CurvePoint:
    """One point, with what came before it in this pod and in earlier ones."""
    of_fold = fold if spec.cross_validation else None
    if spec.early_stopping is None:
        return CurvePoint(step=seen.step, value=seen.value, fold=of_fold)
    best = seen.max if spec.objective.direction == Direction.MAXIMIZE else seen.min
    mean, count = seen.mean, seen.count
    if before and before.best is not None and before.mean is not None and before.reports:
        if spec.objective.better(before.best, best):
            best = before.best
        count += before.reports
        mean += (before.mean - mean) * (before.reports / count)
    return CurvePoint(
        step=seen.step, value=seen.value, fold=of_fold, best=best, mean=mean, reports=count
    )
