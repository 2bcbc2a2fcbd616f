"""Confirming: the best trials are run again with other seeds, and the best mean wins.

The best of many noisy values is in part luck (the "winner's curse"): its value is too good, and
another trial may be better. A confirming run is a Trial of its own with the parameters of the one
that it confirms, so that no finished Trial changes. Which ones there are to be follows from the
finished trials of the search alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from kubestudy.api.study import StudySpec
from kubestudy.api.trial import FAILED, SUCCEEDED
from kubestudy.core.ending import Ending
from kubestudy.core.ranking import contenders
from kubestudy.core.trials import Progress, over_folds

FIRST_SEED = 1001
"""The first of the other seeds: one that few programs have as their own, unlike 0, 1 or 42."""


@dataclass(frozen=True)
class Confirmation:
    """A trial to run again.

    Attributes:
        of: The trial of the search.
        seed: The seed to run it with.
    """

    of: Progress
    seed: int


def searching(trials: Sequence[Progress]) -> list[Progress]:
    """The trials of the search itself."""
    return [t for t in trials if t.trial.spec.confirms is None]


def confirming(trials: Sequence[Progress]) -> list[Progress]:
    """The trials that run another one again."""
    return [t for t in trials if t.trial.spec.confirms is not None]


def wanted(trials: Sequence[Progress], spec: StudySpec) -> list[Confirmation]:
    """What is to be run again once the search has ended: by rank, then by seed."""
    if spec.confirm is None:
        return []
    found, points = contenders(searching(trials), spec)
    places = sorted(range(len(found)), key=points.__getitem__)[: spec.confirm.top]
    seeds = range(FIRST_SEED, FIRST_SEED + spec.confirm.seeds)
    return [Confirmation(found[place], seed) for place in places for seed in seeds]


def missing(trials: Sequence[Progress], spec: StudySpec) -> list[Confirmation]:
    """What is to be run again and has no trial yet."""
    there = {(t.trial.spec.confirms, t.trial.spec.seed) for t in confirming(trials)}
    return [c for c in wanted(trials, spec) if (c.of.trial.metadata.name, c.seed) not in there]


def due(trials: Sequence[Progress], spec: StudySpec, end: Ending | None) -> list[Confirmation]:
    """What is to be run again now; nothing before the search has come to a good end."""
    if end is None or not end.good or end.spent or not all(t.finished for t in searching(trials)):
        return []
    return missing(trials, spec)


def unconfirmed(trials: Sequence[Progress], spec: StudySpec) -> bool:
    """Whether something that is to be run again has not come to its own end."""
    ended = (SUCCEEDED, FAILED)
    return bool(missing(trials, spec)) or any(t.state not in ended for t in confirming(trials))


def first_index(trials: Sequence[Progress]) -> int | None:
    """Where the indexes of the search end; None while nothing has been run again."""
    return min((t.trial.spec.index for t in confirming(trials)), default=None)


def free_indexes(trials: Sequence[Progress]) -> Iterator[int]:
    """The indexes for confirming trials, which follow those of the search."""
    taken = {t.trial.spec.index for t in trials}
    first = first_index(trials)
    beyond = max(taken, default=-1) + 1
    return (i for i in count(beyond if first is None else first) if i not in taken)


def number_of_seeds(t: Progress, trials: Sequence[Progress]) -> int:
    """With how many other seeds a trial has given a value."""
    return len(_repeats(trials).get(t.trial.metadata.name, ()))


def confirmed(trials: Sequence[Progress], spec: StudySpec) -> list[Progress]:
    """The trials that may win, with the mean over all seeds as their values.

    Those that gave a value with another seed; where none did, all trials of the search as they are.
    A constraint holds for the mean as well.
    """
    own = searching(trials)
    repeats = _repeats(trials) if spec.confirm is not None else {}
    if not repeats:
        return own
    return [_mean(t, repeats[n]) for t in own if (n := t.trial.metadata.name) in repeats]


def _repeats(trials: Sequence[Progress]) -> dict[str, list[Progress]]:
    """By the name of each trial of the search, those that gave a value with another seed."""
    found = defaultdict(list)
    for t in trials:
        if t.trial.spec.confirms is not None and t.state == SUCCEEDED:
            found[t.trial.spec.confirms].append(t)
    return found


def _mean(t: Progress, repeats: Sequence[Progress]) -> Progress:
    statuses = [t.status, *(r.status for r in repeats)]
    means = {
        "objectives": over_folds([s.objectives or [] for s in statuses]),
        "constraints": over_folds([s.constraints or [] for s in statuses]) or None,
    }
    return replace(t, status=t.status.model_copy(update=means))
