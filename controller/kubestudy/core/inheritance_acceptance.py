"""Whether a Study can be run whose trials go on from each other's checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from kubestudy.algorithms.generations import Generations
from kubestudy.api.budget import MAX_TRIALS
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError, did_you_mean


def inheritance_problems(spec: StudySpec, algorithm: Generations) -> Iterator[FieldError]:
    """Lists what is wrong, with fields relative to the Study's spec."""
    name = algorithm.name
    if spec.trial.checkpoints is None:
        yield FieldError(
            "trial.checkpoints",
            f"{name} needs it, since trials go on from each other's checkpoints; name a volume"
            " that all pods can write to, such as {claimName: checkpoints}",
        )
    if spec.cross_validation is not None:
        yield FieldError(
            "crossValidation",
            f"cannot be combined with {name}, whose trials are parts of one training; leave it out",
        )
    if spec.confirm is not None:
        yield FieldError(
            "confirm",
            f"cannot be combined with {name}: no single trial repeats what the best one has"
            " inherited; leave it out",
        )
    if spec.warm_start is not None:
        yield FieldError(
            "warmStart", f"{name} learns nothing from other Studies; use TPE, or leave it out"
        )
    if len(spec.initial_trials or ()) > algorithm.population:
        yield FieldError(
            f"initialTrials[{algorithm.population}]",
            f"is one more than the population of {name} has members; leave it out, or raise"
            " algorithm.settings.populationSize",
        )
    for i, fixed in enumerate(algorithm.fixed):
        if fixed not in spec.parameter:
            yield FieldError(
                f"algorithm.settings.fixed[{i}]",
                f"there is no parameter {fixed!r}{did_you_mean(fixed, spec.parameter)}; there are"
                f" {', '.join(spec.parameter)}",
            )
    if algorithm.trials is not None and algorithm.trials > MAX_TRIALS:
        yield FieldError(
            "algorithm.resource",
            f"its generations hold {algorithm.trials} trials, and a Study has at most {MAX_TRIALS};"
            " raise min",
        )
