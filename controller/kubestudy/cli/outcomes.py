"""What trials have come to, in words and cells: values, feasibility, ranks and fronts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubestudy.api.objectives import MetricConstraint
from kubestudy.api.repeats import Confirm
from kubestudy.api.study import Study
from kubestudy.api.study_status import BestTrial, MetricValue
from kubestudy.api.trial import Trial
from kubestudy.cli.tables import NONE, number, short
from kubestudy.core.ranking import ranks


def aims(study: Study) -> str:
    """What a Study optimises, and up to where."""
    return " and ".join(
        f"{o.direction.lower()} {o.metric}"
        + (f" to {number(o.target)}" if o.target is not None else "")
        for o in study.spec.objectives
    )


def bounded(constraint: MetricConstraint) -> str:
    """A constraint in a formula."""
    c = constraint
    below = f"{number(c.min)} <= " if c.min is not None else ""
    return f"{below}{c.metric}" + (f" <= {number(c.max)}" if c.max is not None else "")


def metrics_text(values: Iterable[MetricValue]) -> str:
    """The values of some metrics in one line."""
    return ", ".join(f"{v.metric} {with_deviation(v)}" for v in values)


def with_deviation(value: MetricValue) -> str:
    """A value in four significant digits, with its standard deviation over folds or seeds."""
    return number(value.value) + (f" ±{number(value.std)}" if value.std is not None else "")


def ranks_of(study: Study, trials: Sequence[Trial]) -> dict[str, int]:
    """The ranks of the trials that succeeded, by name; see :func:`kubestudy.core.ranking.ranks`.

    Trials that confirm another one have none.
    """
    search = [t for t in trials if t.spec.confirms is None]
    found = zip(search, ranks(search, study.spec), strict=True)
    return {t.metadata.name: rank for t, rank in found if rank is not None}


def front_rows(study: Study, front: Sequence[BestTrial]) -> list[list[str]]:
    """The table of a Pareto front."""
    space = study.spec.parameter
    rows = [["TRIAL", *(o.metric.upper() for o in study.spec.objectives), *map(str.upper, space)]]
    for b in front:
        cells = [short(p, b.parameters[n]) if n in b.parameters else NONE for n, p in space.items()]
        rows.append([b.trial, *map(with_deviation, b.objectives), *cells])
    return rows


def objective_text(trial: Trial, metric: str) -> str:
    """The value of an objective, with its standard deviation over folds."""
    values = (trial.status.objectives if trial.status else None) or ()
    return next((with_deviation(v) for v in values if v.metric == metric), NONE)


def folds_done(trial: Trial) -> int:
    """How many folds have given their values."""
    return len(trial.status.folds) if trial.status else 0


def confirm_text(confirm: Confirm) -> str:
    """What is run again once the search has ended."""
    return f"the best {confirm.top} with {confirm.seeds} other seeds"


def confirms_text(trial: Trial) -> str:
    """Which trial this one runs again, and with which seed; empty for a trial of the search."""
    spec = trial.spec
    return f"{spec.confirms} with seed {spec.seed}" if spec.confirms else ""


def over_seeds(best: BestTrial) -> str:
    """Of how many seeds the values of a best trial are the mean, where it was confirmed."""
    return f", the mean over {best.seeds} seeds" if best.seeds else ""


def feasibility(trial: Trial) -> str:
    """Whether a trial keeps to its Study's constraints: yes, no, or nothing to tell."""
    known = trial.status.feasible if trial.status else None
    return "" if known is None else "yes" if known else "no"
