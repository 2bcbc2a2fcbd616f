"""Whether a Study can be run: all that its schema could not check at ``kubectl apply``."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import chain, islice
from typing import Any

from pydantic import ValidationError

from kubestudy.algorithms import available, find
from kubestudy.algorithms.base import SearchAlgorithm
from kubestudy.algorithms.generations import Generations
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.algorithms.rungs import brackets
from kubestudy.api.budget import MAX_TRIALS
from kubestudy.api.field_errors import field_errors, shown
from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import Study, StudySpec
from kubestudy.api.validation import FieldError, did_you_mean
from kubestudy.core import placeholders
from kubestudy.core.gpu_acceptance import gpu_problems
from kubestudy.core.inheritance_acceptance import inheritance_problems
from kubestudy.core.metric_regex import MetricRegex, MetricRegexError
from kubestudy.core.passing import passing_problems, passing_warnings
from kubestudy.core.placeholder_acceptance import placeholder_problems
from kubestudy.core.pod_security import NOTHING, Allowed, pod_security_problems
from kubestudy.core.promql import PromQLError, bind
from kubestudy.core.shell_scripts import scripts
from kubestudy.core.space_acceptance import space_problems
from kubestudy.core.stopping_acceptance import stopping_problems
from kubestudy.core.suggesting import number_of_suggestions, search_space
from kubestudy.core.template_shape import shape_problems

MAX_ERRORS = 20
"""How many errors of one Study are reported at once, and how many warnings."""

# What the controller itself puts into a pod template or decides about it.
_RESERVED_POD_FIELDS = {
    "restartPolicy": "is always Never: kubestudy decides what is run again; leave it out",
    "nodeName": "would go past the scheduler; use nodeSelector or affinity",
}


def problems(
    study: Study,
    allowed: Allowed = NOTHING,
    sources: Set[SourceType] = frozenset(SourceType),
) -> list[FieldError]:
    """Lists everything that keeps a valid Study from being run.

    Args:
        study: The Study.
        allowed: What the administrator allows to pod templates.
        sources: Where reports can be read from, as far as that is known.

    Returns:
        Errors with the whole path of the field, the first ``MAX_ERRORS`` of them; empty if the
        Study is accepted.
    """
    spec = study.spec
    found = chain(
        _not_built_yet(spec),
        _search(spec),
        stopping_problems(spec),
        placeholder_problems(spec),
        passing_problems(spec),
        _metrics(spec, sources),
        _pod(spec),
        pod_security_problems(spec, allowed),
    )
    # Whoever has so many to mend has enough to do, and each takes time to word.
    return [FieldError(f"spec.{e.field}", e.message) for e in islice(found, MAX_ERRORS)]


def _search(spec: StudySpec) -> Iterator[FieldError]:
    """What is wrong with the search; no algorithm is asked about a space that makes no sense."""
    of_space = list(islice(space_problems(spec), MAX_ERRORS))
    yield from of_space
    if not of_space:
        yield from _algorithm(spec)


def warnings(study: Study) -> list[FieldError]:
    """Lists what is likely not meant in a Study that can be run, ``MAX_ERRORS`` at most."""
    found = islice(passing_warnings(study.spec), MAX_ERRORS)
    return [FieldError(f"spec.{e.field}", e.message) for e in found]


def algorithm_for(study: Study, seed: int) -> SearchAlgorithm:
    """Builds the algorithm of a Study that has been accepted."""
    kind = find(study.spec.algorithm.type)
    if kind is None:
        raise ValueError(_not_allowed(study.spec.algorithm.type))
    return _made(study.spec, kind, seed)


def _made(spec: StudySpec, kind: type[SearchAlgorithm], seed: int) -> SearchAlgorithm:
    return kind(
        search_space(spec),
        seed,
        kind.settings_model.model_validate(spec.algorithm.settings or {}),
        spec.objectives,
        spec.algorithm.resource,
        spec.algorithm.synchronous,
    )


def _not_allowed(sampler: str) -> str:
    return (
        f"the sampler {sampler} is not allowed here; whoever runs kubestudy allows it by"
        " --allow-sampler or KUBESTUDY_ALLOWED_SAMPLERS"
    )


def _not_built_yet(spec: StudySpec) -> Iterator[FieldError]:
    later = "is not supported by this version of kubestudy; leave it out"
    if spec.trial.manifest is not None:
        yield FieldError("trial.manifest", f"{later}, and use template")


def _metrics(spec: StudySpec, sources: Set[SourceType]) -> Iterator[FieldError]:
    resource = spec.algorithm.resource
    for i, source in enumerate(spec.metrics or ()):
        if source.type not in sources:
            yield FieldError(
                f"metrics[{i}].type",
                f"{source.type} is not set up here: a cluster's administrator says where it is by"
                f" the controller's option --{source.type.lower()}-url, and local runs have none;"
                " use Logs",
            )
        try:
            query = bind(source.query, "namespace", "pod") if source.query is not None else None
            if query is not None and query.single and resource is not None:
                names = f"{spec.objective.metric}|{resource.report}"
                yield FieldError(
                    f"metrics[{i}].query",
                    f"gives one number, and {spec.algorithm.type} needs to know {resource.report}"
                    f' beside it; give a query of both series, such as {{__name__=~"{names}"}}, or'
                    " none for what kubestudy-trial exports",
                )
            if source.regex is not None:
                MetricRegex(source.regex)
        except PromQLError as error:
            yield FieldError(f"metrics[{i}].query", str(error))
        except MetricRegexError as error:
            yield FieldError(f"metrics[{i}].regex", str(error))


def _algorithm(spec: StudySpec) -> Iterator[FieldError]:
    algorithm = spec.algorithm
    kind = find(algorithm.type)
    if kind is None and "." in algorithm.type:
        yield FieldError("algorithm.type", _not_allowed(algorithm.type))
        return
    if kind is None:
        yield FieldError(
            "algorithm.type",
            f"unknown algorithm {algorithm.type!r}{did_you_mean(algorithm.type, available())};"
            f" this version has {', '.join(available())}",
        )
        return
    invalid = False
    try:
        kind.settings_model.model_validate(algorithm.settings or {})
    except ValidationError as error:
        invalid = True
        yield from field_errors(
            error, kind.settings_model, "algorithm.settings", owner=algorithm.type
        )
    if kind.one_objective and len(spec.objectives) > 1:
        several = ", ".join(name for name, k in available().items() if not k.one_objective)
        yield FieldError(
            "objectives",
            f"{algorithm.type} is for one objective; for several, use one of {several}",
        )
    if spec.warm_start is not None and not kind.adaptive:
        yield FieldError(
            "warmStart", f"{algorithm.type} learns nothing from trials; use TPE, or leave it out"
        )
    space = search_space(spec)
    wrong = [*kind.check(space), *_resource(spec, kind)]
    yield from wrong
    if wrong or invalid:
        return
    made = _made(spec, kind, 0)
    if isinstance(made, Generations):
        yield from inheritance_problems(spec, made)
    budget = spec.budget
    size = number_of_suggestions(made, spec)
    endless = size is None or size > MAX_TRIALS
    limits = (
        budget.max_trials,
        budget.max_trials_without_improvement,
        budget.timeout,
        budget.max_gpu_hours,
    )
    if endless and all(limit is None for limit in limits):
        yield FieldError(
            "budget.maxTrials",
            f"{algorithm.type} never ends by itself on this search space; set maxTrials, timeout"
            " or maxGPUHours",
        )


def _resource(spec: StudySpec, kind: type[SearchAlgorithm]) -> Iterator[FieldError]:
    """What only an algorithm needs that gives its resource bit by bit, and what it cannot have."""
    algorithm, resource = spec.algorithm, spec.algorithm.resource
    if not kind.multi_fidelity:
        several = ", ".join(name for name, k in available().items() if k.multi_fidelity)
        for field, given in (("resource", resource), ("synchronous", algorithm.synchronous)):
            if given:
                yield FieldError(
                    f"algorithm.{field}",
                    f"{algorithm.type} runs every trial to its end; leave it out, or use one of"
                    f" {several}",
                )
        return
    if resource is None:
        yield FieldError(
            "algorithm.resource",
            f"{algorithm.type} needs to know what a trial spends bit by bit, such as"
            " {name: num_train_epochs, max: 27}",
        )
        return
    if resource.name in spec.parameter:
        yield FieldError(
            "algorithm.resource.name",
            f"{resource.name} is also one of the parameters; every trial is given"
            f" {resource.name} = {resource.max}, so take it out of the parameters",
        )
    trials = sum(bracket.sizes[0] for bracket in brackets(resource))
    if issubclass(kind, MultiFidelity) and trials > MAX_TRIALS:
        yield FieldError(
            "algorithm.resource",
            f"its brackets hold {trials} trials, and a Study has at most {MAX_TRIALS}; raise min"
            " or eta",
        )
    if len(spec.objectives) > 1:
        yield FieldError("objectives", f"{algorithm.type} judges trials by one objective; give one")
    if spec.budget.parallelism < spec.folds:
        yield FieldError(
            "budget.parallelism",
            f"must be at least {spec.folds} with {algorithm.type}, not {spec.budget.parallelism}:"
            " all folds of a trial run side by side",
        )


def _pod(spec: StudySpec) -> Iterator[FieldError]:
    """What is wrong with the container, or with the pod template."""
    trial = spec.trial
    if trial.manifest is not None:
        return
    if trial.template is None:
        yield from _shell_text("trial", trial.command or [], trial.args or [])
        misshapen = list(_resources("trial.resources", trial.resources))
        yield from misshapen or gpu_problems(spec)
        return
    pod = trial.template.get("spec")
    unknown = set(trial.template) - {"metadata", "spec"}
    if unknown:
        yield FieldError(
            f"trial.template.{min(unknown)}", "is no field of a pod template (metadata, spec)"
        )
    if not isinstance(pod, dict):
        yield FieldError("trial.template.spec", "is required: a pod's spec")
        return
    for field, why in _RESERVED_POD_FIELDS.items():
        if field in pod and (field, pod[field]) != ("restartPolicy", "Never"):
            yield FieldError(f"trial.template.spec.{field}", why)
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers:
        yield FieldError(
            "trial.template.spec.containers", "needs at least one container; the first one trains"
        )
        return
    wrong = [
        FieldError(f"trial.template.{e.field}", e.message) for e in shape_problems(trial.template)
    ]
    yield from wrong or gpu_problems(spec)
    for i, container in enumerate(containers if not wrong else ()):
        path = f"trial.template.spec.containers[{i}]"
        yield from _shell_text(path, container.get("command") or [], container.get("args") or [])


def _resources(path: str, resources: dict[str, Any] | None) -> Iterator[FieldError]:
    for field, quantities in (resources or {}).items():
        if field not in ("requests", "limits", "claims"):
            yield FieldError(f"{path}.{field}", "unknown field; resources has requests and limits")
        elif field != "claims" and not isinstance(quantities, dict):
            yield FieldError(
                f"{path}.{field}", f"must be an object such as {{cpu: 2}}, not {shown(quantities)}"
            )


def _shell_text(path: str, command: list[Any], args: list[Any]) -> Iterator[FieldError]:
    """A shell would read a value again that stands in its script, quotes and all."""
    words = [("command", i, w) for i, w in enumerate(command)]
    words += [("args", i, w) for i, w in enumerate(args)]
    texts = [str(w) for _, _, w in words]
    for script in scripts(texts):
        if not placeholders.parameter_names(texts[script]):
            continue
        field, i, _ = words[script]
        yield FieldError(
            f"{path}.{field}[{i}]",
            "a shell would read the parameter's value as code; pass it after the script and use"
            ' "$1" in it, as in [sh, -c, \'train --lr "$1"\', sh, "${parameters.lr}"]',
        )
