"""Whether the rule of early stopping that a Study asks for can be used in it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from kubestudy.api.field_errors import field_errors
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError, did_you_mean
from kubestudy.stopping import available


def stopping_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists what is wrong with early stopping, with fields relative to the Study's spec."""
    chosen = spec.early_stopping
    if chosen is None:
        return
    kind = available().get(chosen.type)
    if kind is None:
        yield FieldError(
            "earlyStopping.type",
            f"unknown rule {chosen.type!r}{did_you_mean(chosen.type, available())};"
            f" this version has {', '.join(available())}",
        )
        return
    try:
        settings = kind.settings_model.model_validate(chosen.settings or {})
    except ValidationError as error:
        yield from field_errors(
            error, kind.settings_model, "earlyStopping.settings", owner=chosen.type
        )
        return
    yield from kind.check(settings, spec)
    if kind.keeps_value and spec.one_pod:
        yield FieldError(
            "earlyStopping.type",
            f"{chosen.type} ends single folds, which crossValidation.execution OnePod trains in one"
            " pod; use PodPerFold, or another rule",
        )
    if spec.algorithm.resource is not None:
        yield FieldError(
            "earlyStopping",
            f"cannot be combined with {spec.algorithm.type}, which has its own way to spend less"
            " on bad trials; leave one of them out",
        )
    if len(spec.objectives) > 1:
        yield FieldError(
            "earlyStopping", "judges trials by one objective, and this Study has several"
        )
