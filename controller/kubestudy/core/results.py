"""What a Study has found so far, as its status tells it: the best trial and the Pareto front."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from kubestudy.api.objectives import Direction, MetricConstraint
from kubestudy.api.study import StudySpec
from kubestudy.api.study_status import MAX_FRONT, BestTrial, Hypervolume, MetricValue, StudyStatus
from kubestudy.api.trial import SUCCEEDED
from kubestudy.core.confirming import confirmed, number_of_seeds, searching
from kubestudy.core.pareto import Point, hypervolume, spread
from kubestudy.core.plan import Event
from kubestudy.core.ranking import contenders, costs, leaders, nearest, reference_point, violations
from kubestudy.core.trials import Progress

FRONT_BYTES = 48 * 1024
"""How long the Pareto front in a status may be, as JSON: the Study stays below 100 KiB."""

MOST_NAMED = 3
"""How many trials an event names."""


@dataclass(frozen=True)
class Results:
    """What was found.

    Attributes:
        best: The best trial that is feasible.
        front: With several objectives, the trials that stand for the Pareto front.
        hypervolume: With several objectives, what the whole front dominates.
        text: The same for a person, in one phrase; empty before there is anything to tell.
    """

    best: BestTrial | None = None
    front: list[BestTrial] | None = None
    hypervolume: Hypervolume | None = None
    text: str = ""


def results_of(trials: Sequence[Progress], spec: StudySpec, over: bool) -> Results:
    """Sums up what the trials have found.

    Args:
        trials: All trials.
        spec: The Study's spec.
        over: Whether there will be no more; only then what confirms the best trials counts.
    """
    every, trials = trials, searching(trials)
    found = leaders(confirmed(every, spec) if over else trials, spec)
    if not found:
        return Results(text=_nothing_feasible(trials, spec))
    best = _entry(found[0])
    value = best.objectives[0]
    text = f"best {value.metric} {value.value:g} in {best.trial}"
    if over and spec.confirm is not None:
        seeds = number_of_seeds(found[0], every)
        if seeds:
            best = best.model_copy(update={"seeds": seeds + 1})
        text += _confirmed_text(seeds, spec.confirm.seeds)
    if spec.constraints:
        feasible, _ = contenders(trials, spec)
        succeeded = sum(t.state == SUCCEEDED for t in trials)
        text += f"; {len(feasible)} of {succeeded} feasible"
    if len(spec.objectives) == 1:
        return Results(best, text=text)
    points = [p for t in found if (p := costs(t.status, spec)) is not None]
    return Results(
        best,
        _bounded(found, points),
        _volume(trials, points, spec),
        f"{text}; {len(found)} on the Pareto front",
    )


def new_best(before: StudyStatus, now: StudyStatus) -> Event | None:
    """The event that tells of a new best trial or, with several objectives, of a new front."""
    if now.pareto_front is not None:
        known = {b.trial for b in before.pareto_front or ()}
        new = [b for b in now.pareto_front if b.trial not in known]
        if not new:
            return None
        more = f" and {len(new) - MOST_NAMED} more" if len(new) > MOST_NAMED else ""
        told = ", ".join(f"{b.trial} ({_values(b)})" for b in new[:MOST_NAMED])
        return Event("ParetoFrontChanged", f"new on the Pareto front: {told}{more}")
    if now.best and (before.best is None or before.best.trial != now.best.trial):
        return Event("NewBest", f"{now.best.trial} has {_values(now.best)}")
    return None


def _values(found: BestTrial) -> str:
    return ", ".join(f"{v.metric} = {v.value:g}" for v in found.objectives)


def _entry(t: Progress) -> BestTrial:
    return BestTrial(
        trial=t.trial.metadata.name,
        objectives=t.status.objectives or [],
        parameters=t.trial.spec.parameters,
    )


def _confirmed_text(seeds: int, wanted: int) -> str:
    if seeds == 0:
        return ", not confirmed"
    some = f"{seeds} of {wanted}" if seeds < wanted else f"{seeds}"
    return f", confirmed with {some} other seed{'s' if wanted > 1 else ''}"


def _bounded(found: Sequence[Progress], points: Sequence[Point]) -> list[BestTrial]:
    """As much of a front as a status can hold, chosen so that it stands for all of it."""
    entries: dict[int, BestTrial] = {}
    room = FRONT_BYTES
    for place in spread(points, MAX_FRONT):
        entry = _entry(found[place])
        room -= len(json.dumps(entry.to_json(), ensure_ascii=False).encode())
        if room < 0 and entries:
            break
        entries[place] = entry
    return [entry for _, entry in sorted(entries.items())]


def _volume(trials: Sequence[Progress], points: Sequence[Point], spec: StudySpec) -> Hypervolume:
    _, all_points = contenders(trials, spec)
    reference = reference_point(all_points)
    return Hypervolume(
        value=hypervolume(points, reference),
        reference=[
            MetricValue(metric=o.metric, value=-r if o.direction == Direction.MAXIMIZE else r)
            for o, r in zip(spec.objectives, reference, strict=True)
        ],
    )


def _nothing_feasible(trials: Sequence[Progress], spec: StudySpec) -> str:
    closest = nearest(trials, spec)
    if closest is None:
        return ""
    measured = {m.metric: m.value for m in closest.status.constraints or ()}
    broken = [
        f"{c.metric} = {measured[c.metric]:g} ({_bounds(c)})"
        for c, beyond in zip(spec.constraints or (), violations(closest.status, spec), strict=True)
        if beyond > 0
    ]
    name = closest.trial.metadata.name
    return f"no trial is feasible: the nearest, {name}, has {', '.join(broken)}"


def _bounds(constraint: MetricConstraint) -> str:
    ends = (("min", constraint.min), ("max", constraint.max))
    return ", ".join(f"{word} {value:g}" for word, value in ends if value is not None)
