"""What a trial's container is told, as in ``docs/trial-contract.md``."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kubestudy.algorithms.rungs import levels
from kubestudy.api.algorithm import Resource
from kubestudy.api.repeats import CrossValidation
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.facts import RunKey
from kubestudy.core.runs import folds_left

CHECKPOINTS = "/kubestudy/checkpoints"
OUTPUTS = "/kubestudy/outputs"


def environment(study: Study, trial: Trial, run: RunKey) -> dict[str, str]:
    """What a trial's container is told, as in ``docs/trial-contract.md``."""
    space = study.spec.passed
    given = study.spec.passed_values(trial.spec.parameters, trial.spec.seed)
    values = [
        f"{json.dumps(name)}: {p.json_text(given[name])}"
        for name, p in space.items()
        if name in given
    ]
    env = {
        "KUBESTUDY_PARAMETERS": f"{{{', '.join(values)}}}",
        "KUBESTUDY_STUDY": study.metadata.name,
        "KUBESTUDY_TRIAL": trial.metadata.name,
        "KUBESTUDY_OBJECTIVES": ",".join(study.spec.owed),
        "KUBESTUDY_ATTEMPT": str(run.attempt),
    }
    if trial.spec.seed is not None:
        env["KUBESTUDY_SEED"] = str(trial.spec.seed)
    if study.spec.algorithm.resource:
        env |= _resource(study.spec.algorithm.resource, trial.spec.until)
    if study.spec.cross_validation:
        env |= _fold(study.spec.cross_validation, _folds_of(study, trial, run))
    if study.spec.trial.checkpoints:
        env["KUBESTUDY_CHECKPOINT_DIR"] = _checkpoints(study, trial.metadata.name, run.fold)
        if trial.spec.inherits is not None:
            env["KUBESTUDY_INHERIT_FROM"] = _checkpoints(study, trial.spec.inherits, run.fold)
    if study.spec.trial.outputs:
        env["KUBESTUDY_OUTPUT_DIR"] = f"{OUTPUTS}/{study.metadata.uid}/{trial.metadata.name}"
    return env


def _checkpoints(study: Study, trial: str, fold: int) -> str:
    of_fold = "" if study.spec.one_pod else f"/fold-{fold}"
    return f"{CHECKPOINTS}/{study.metadata.uid}/{trial}{of_fold}"


def _resource(resource: Resource, until: int | None) -> dict[str, str]:
    told = {"KUBESTUDY_RESOURCE": resource.name, "KUBESTUDY_RESOURCE_MAX": str(resource.max)}
    if until is not None:
        return {**told, "KUBESTUDY_RESOURCE_UNTIL": str(until)}
    return {**told, "KUBESTUDY_RUNGS": ",".join(map(str, levels(resource)))}


def _folds_of(study: Study, trial: Trial, run: RunKey) -> list[int]:
    """The folds that a run trains."""
    if not study.spec.one_pod:
        return [run.fold]
    return folds_left((trial.status.runs if trial.status else None) or (), study.spec)


def _fold(cross_validation: CrossValidation, folds: Sequence[int]) -> dict[str, str]:
    return {
        "KUBESTUDY_FOLD": ",".join(map(str, folds)),
        "KUBESTUDY_FOLDS": str(cross_validation.folds),
        "KUBESTUDY_FOLD_SEED": str(cross_validation.seed),
        "KUBESTUDY_FOLD_STRATIFIED": str(cross_validation.stratified).lower(),
    }
