"""Studies and their trials as Optuna has them, for what shows Optuna's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kubestudy.api.meta import Condition, condition
from kubestudy.api.objectives import Direction
from kubestudy.api.parameters import Parameter, Scale, Value
from kubestudy.api.study import Study
from kubestudy.api.trial import FAILED, PENDING, STOPPED, SUCCEEDED, Trial, TrialStatus
from kubestudy.core.ranking import violations

log = logging.getLogger(__name__)

Reading = Sequence[tuple[Study, Sequence[Trial]]]
"""All Studies with their trials, as they are at one moment."""

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState


def add_study(storage: BaseStorage, name: str, study: Study, trials: Sequence[Trial]) -> None:
    """Writes a Study into an Optuna storage.

    Args:
        storage: The storage.
        name: What the study is called there.
        study: The Study.
        trials: Its trials, sorted by index; their numbers are their places.
    """
    import optuna

    objectives = study.spec.objectives
    frozen = [_frozen(study, trial) for trial in trials]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[
            "maximize" if o.direction == Direction.MAXIMIZE else "minimize" for o in objectives
        ],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made.set_metric_names([o.metric for o in objectives])
    for key, value in _attributes(study):
        made.set_user_attr(key, value)
    for trial in frozen:
        made.add_trial(trial)


def _attributes(study: Study) -> Iterator[tuple[str, str]]:
    """What is told of a Study besides its trials."""
    status = study.status
    if study.metadata.namespace is not None:
        yield "namespace", study.metadata.namespace
    yield "algorithm", study.spec.algorithm.type
    for type_ in ("Failed", "Complete", "Progressing", "Accepted"):
        said = condition(status.conditions if status else None, type_)
        if said is not None and (said.status == "True" or type_ == "Accepted"):
            yield "state", _worded(said)
            break
    if status is not None and status.best is not None:
        yield "best trial", status.best.trial
    if status is not None and status.gpu_seconds is not None:
        yield "GPU-seconds used", str(status.gpu_seconds.used)
        yield "GPU-seconds saved", str(status.gpu_seconds.saved)


def _frozen(study: Study, trial: Trial) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    status = trial.status or TrialStatus()
    given = {name: study.spec.parameter[name] for name in trial.spec.parameters}
    values = [status.value(o.metric) for o in study.spec.objectives]
    known = [v for v in values if v is not None]
    state = _state(status.state)
    made = create_trial(
        state=state,
        values=known if state == TrialState.COMPLETE and len(known) == len(values) else None,
        params={n: p.typed(trial.spec.parameters[n]) for n, p in given.items()},
        distributions={n: _distribution(p) for n, p in given.items()},
        intermediate_values=_course(status) if len(values) == 1 else {},
        user_attrs=dict(_details(trial, status)),
        constraints={
            c.metric: v
            for c, v in zip(
                study.spec.constraints or (), violations(status, study.spec), strict=False
            )
        },
    )
    # As it was, rather than the moment of being written down.
    began = status.start_time or trial.metadata.creation_timestamp or status.completion_time
    if state != TrialState.WAITING:
        made.datetime_start = began or made.datetime_start
    if state.is_finished():
        made.datetime_complete = status.completion_time or made.datetime_start
    return made


def _state(state: str) -> TrialState:
    from optuna.trial import TrialState

    return {
        PENDING: TrialState.WAITING,
        SUCCEEDED: TrialState.COMPLETE,
        STOPPED: TrialState.PRUNED,
        FAILED: TrialState.FAIL,
    }.get(state, TrialState.RUNNING)


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    if parameter.values is not None:
        return CategoricalDistribution([parameter.typed(v) for v in parameter.values])
    assert parameter.min is not None and parameter.max is not None
    log = parameter.scale == Scale.LOG
    if parameter.is_int:
        return IntDistribution(int(parameter.min), int(parameter.max), log=log)
    return FloatDistribution(float(parameter.min), float(parameter.max), log=log)


def _course(status: TrialStatus) -> dict[int, float]:
    """The values over the steps of training; with cross-validation, those of the first fold."""
    return {round(p.step): float(p.value) for p in status.curve or () if not p.fold}


def _details(trial: Trial, status: TrialStatus) -> Iterator[tuple[str, Value]]:
    """What is told of a trial besides its parameters and values."""
    yield "trial", trial.metadata.name
    said = condition(status.conditions, status.state)
    if said is not None and said.reason != status.state:
        yield "reason", _worded(said)
    for run in status.runs or ():
        yield f"run {run.job}", run.reason or run.outcome
    for value in status.objectives or ():
        if value.std is not None:
            yield f"std of {value.metric}", value.std
    for metric in status.metrics or ():
        yield metric.metric, float(metric.latest)
    yield "GPU-seconds", sum(r.gpu_seconds for r in status.runs or ())
    if trial.spec.confirms is not None:
        yield "confirms", trial.spec.confirms


def _worded(said: Condition) -> str:
    return f"{said.reason}: {said.message}" if said.message else said.reason


def names_of(studies: Sequence[Study]) -> list[str]:
    """What Studies are called: by their names, and their namespaces too where there are several."""
    namespaces = {s.metadata.namespace for s in studies}
    return [s.key if len(namespaces) > 1 else s.metadata.name for s in studies]


def storage_of(reading: Reading, known: list[str]) -> BaseStorage:
    """Makes an Optuna storage of Studies.

    Args:
        reading: The Studies.
        known: The UIDs of those that were ever shown. New ones are added; a study's id is its
            place here, so that it stays while others come and go.
    """
    from optuna.storages import InMemoryStorage
    from optuna.study import StudyDirection

    storage = InMemoryStorage()
    there = {study.metadata.uid or study.key: (study, trials) for study, trials in reading}
    known += [uid for uid in there if uid not in known]
    names = dict(zip(there, names_of([study for study, _ in there.values()]), strict=True))
    for uid in known:
        if uid in there:
            try:
                add_study(storage, names[uid], *there[uid])
                continue
            except Exception:  # one that Optuna cannot show hides none of the others
                log.exception("the study %s is not shown", names[uid])
        storage.delete_study(storage.create_new_study([StudyDirection.NOT_SET]))
    return storage
