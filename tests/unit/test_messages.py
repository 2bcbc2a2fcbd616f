"""What people read when a Study is wrong: a golden file that was read, and no words of pydantic's.

After a change that is meant, ``pytest tests/unit/test_messages.py --update-golden`` writes
tests/wrong_manifests/messages.txt anew; read the difference as one who wrote such a manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kubestudy import algorithms, stopping
from kubestudy.api import other_tools
from kubestudy.api.base import nested_model
from kubestudy.api.field_errors import PATTERNS, did_you_mean, field_errors
from kubestudy.api.study import Study, StudySpec
from kubestudy.api.trial import Trial
from kubestudy.api.validation import InvalidObject, parse_study, read
from kubestudy.cli.files import check
from kubestudy.core.acceptance import problems
from tests.unit.build import study_document

ROOT = Path(__file__).parents[2]
WRONG = sorted((ROOT / "tests/wrong_manifests").glob("*.yaml"))
GOLDEN = ROOT / "tests/wrong_manifests/messages.txt"
HEAD = "What each wrong manifest of this folder is told; tests/unit/test_messages.py writes it.\n"

PYDANTICS = re.compile(
    r"(?i:input should|valid (dictionary|string|integer|number|list|boolean)|instance of"
    r"|extra inputs|not permitted|function-|after validation|unable to parse|value error)"
    r"|pattern '|\^\[|\b(True|False|None)\b|<[A-Z]"
)


def messages() -> str:
    """The messages of all wrong manifests, in the form of the golden file."""
    parts = [HEAD]
    for path in WRONG:
        told = [f"  {error}" for checked in check(str(path)) for error in checked.errors]
        parts.append("\n".join([path.stem, *told, ""]))
    return "\n".join(parts)


def test_the_message_of_each_wrong_manifest_is_one_that_somebody_has_read(
    request: pytest.FixtureRequest,
) -> None:
    now = messages()
    if request.config.getoption("--update-golden", default=False):
        GOLDEN.write_text(now)
    assert now == GOLDEN.read_text()


def models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield root
    for field in root.model_fields.values():
        if nested := nested_model(field.annotation):
            yield from models(nested)


MODELS = sorted(
    {
        *models(Study),
        *models(Trial),
        *(kind.settings_model for kind in algorithms.available().values()),
        *(kind.settings_model for kind in stopping.available().values()),
    },
    key=lambda model: model.__name__,
)
JUNK: list[Any] = [
    *({"a": "b" * 2_000_000}, ["c"] * 500_000, "d " * 1_000_000),
    *(None, True, 5, -(10**9), 10**12, 1.5, float("nan"), "", "x y", "1e-4", "true", "w" * 40_000),
    *([], [None], [True, 1, "a"], ["b"] * 300, [[1]], {}, {"zz": 1}, [{"zz": 1}]),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_whatever_a_field_holds_nobody_is_told_pydantics_words(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        for value in JUNK:
            try:
                model.model_validate({field.alias or name: value})
            except ValidationError as error:
                for e in field_errors(error, model):
                    assert e.message and len(e.message) < 1000
                    assert not PYDANTICS.search(re.sub(r"'\w+'|mean \w+", "", e.message)), (
                        e,
                        value,
                    )
                    assert not re.search(r"function|\bint\b|\bfloat\b|constrained", e.field), e


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from patterns(value)


def test_every_pattern_has_words() -> None:
    assert set(patterns(StudySpec.model_json_schema())) == PATTERNS.keys()


def told(field: str, **spec: Any) -> str:
    """What is said of a field of a Study with this spec."""
    document = study_document(**spec)
    try:
        found = {e.field: e.message for e in problems(parse_study(document))}
    except InvalidObject as error:
        found = {e.field: e.message for e in error.errors}
    return found[field]


ONE = {"name": "p", "values": [1, 2]}


@pytest.mark.parametrize(
    ("field", "spec", "says"),
    [
        ("spec.parameters[0].name", {"parameters": [ONE | {"name": True}]}, 'quote it: "y", "yes"'),
        ("spec.trial.args[0]", {"trial": {"args": [1]}}, 'must be a string, not 1: quote it: "1"'),
        (
            "spec.trial.env[0].value",
            {"trial": {"env": [{"name": "A", "value": False}]}},
            'quote it: "n", "no", "off" or "false"',
        ),
        (
            "spec.crossValidation.discard",
            {"crossValidation": {"folds": 2, "discard": False}},
            "must be 'Forgiving' or 'None', not false: YAML takes n, no",
        ),
        (
            "spec.parameters[0].choices[0]",
            {"parameters": [{"name": "p", "choices": [16]}]},
            'quote it: "16", or move the numbers to values',
        ),
        (
            "spec.parameters[0].min",
            {"parameters": [{"name": "p", "min": "1e-4", "max": 1}]},
            "must be a number, not '1e-4': remove the quotes",
        ),
        ("spec.budget.maxTrials", {"budget": {"maxTrials": "9"}}, "remove the quotes"),
        ("spec.budget.maxTrials", {"budget": {"maxTrials": 1.5}}, "must be an integer, not 1.5"),
        ("spec.suspend", {"suspend": "yes"}, "must be true or false, not 'yes': remove the quotes"),
        ("spec.budget.timeout", {"budget": {"timeout": 90}}, "such as 90s, 30m or 1d12h, not 90"),
        ("spec.algorithm", {"algorithm": "TPE"}, "not 'TPE': write {type: TPE}; it has type, seed"),
        (
            "spec.trial.command",
            {"trial": {"command": "python a.py"}},
            'write ["python", "a.py"]',
        ),
        (
            "spec.parameters",
            {"parameters": {"lr": {"min": 0, "max": 1}}},
            "write each as - {name: lr, ...}",
        ),
        (
            "spec.budget.paralelism",
            {"budget": {"paralelism": 4}},
            "unknown field (did you mean parallelism?); budget takes parallelism, maxTrials",
        ),
        (
            "spec.budget.max_trials",
            {"budget": {"max_trials": 4}},
            "unknown field (did you mean maxTrials?)",
        ),
        ("spec.maxTrials", {"maxTrials": 4}, "unknown field: it belongs to spec.budget"),
        (
            "spec.parallelTrialCount",
            {"parallelTrialCount": 4},
            "for Katib's parallelTrialCount write budget.parallelism; spec takes objectives",
        ),
        (
            "spec.parameters[0].feasibleSpace",
            {"parameters": [ONE | {"feasibleSpace": {"min": "1"}}]},
            "for Katib's feasibleSpace write min, max, step and scale",
        ),
        ("spec.resumePolicy", {"resumePolicy": "Never"}, "Katib's resumePolicy is not needed"),
        ("spec.method", {"method": "bayes"}, "for W&B's method write algorithm: {type: TPE}"),
        (
            "spec.algorithm.settings.startup",
            {"algorithm": {"type": "TPE", "settings": {"startup": 1}}},
            "unknown field (did you mean startupTrials?); TPE takes startupTrials",
        ),
        (
            "spec.initialTrials[0].p",
            {"parameters": [ONE], "initialTrials": [{"p": "1"}]},
            "never has the value '1'; it has 1, 2: remove the quotes",
        ),
        (
            "spec.initialTrials[0].p",
            {"parameters": [{"name": "p", "choices": ["1", "2"]}], "initialTrials": [{"p": 1}]},
            "never has the value 1; it has '1', '2': quote it: \"1\"",
        ),
        (
            "spec.initialTrials[0].true",
            {"parameters": [ONE | {"name": "y"}], "initialTrials": [{"true": 1}]},
            "no parameter is named 'true': YAML takes y, yes, on and true without quotes for true",
        ),
    ],
)
def test_a_message_says_what_to_write(field: str, spec: dict[str, Any], says: str) -> None:
    assert says in told(field, **spec)


def test_a_study_full_of_mistakes_is_refused_in_a_bounded_number_of_words() -> None:
    with pytest.raises(InvalidObject) as refused:
        parse_study(study_document(objectives=[{"metric": [1]}, *range(100_000)], suspend="yes"))
    assert 0 < len(refused.value.errors) <= 100


def test_a_trial_is_refused_in_the_same_words() -> None:
    trial = {
        "apiVersion": "kubestudy.dev/v1alpha1",
        "kind": "Trial",
        "metadata": {"name": "demo-0"},
        "spec": {"study": "demo", "index": 0, "parameters": {"p": True}},
        "status": {"colour": "red"},
    }
    with pytest.raises(InvalidObject) as refused:
        read(Trial, trial)
    assert str(refused.value).startswith(
        "spec.parameters.p: must be a number or a string, not true"
    )
    assert "status.colour: unknown field" in str(refused.value)


def test_a_katib_experiment_is_named_as_what_it_is() -> None:
    with pytest.raises(InvalidObject, match="a Katib Experiment is no Study: write one"):
        parse_study({"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "spec": {}})


def test_words_of_other_tools_are_none_of_ours_and_stand_in_the_docs() -> None:
    ours = {f.alias for f in StudySpec.model_fields.values()}
    page = (ROOT / "docs/other-tools.md").read_text()
    for word, (tool, _) in other_tools.FIELDS.items():
        assert word not in ours
        assert f"`{word.rpartition('.')[2]}`" in page, word
        assert tool in page


@pytest.mark.parametrize(
    ("given", "known", "word"),
    [
        ("maximise", ["Maximize", "Minimize"], "Maximize"),
        ("max", ["Maximize", "Minimize"], "Maximize"),
        ("Logarithmic", ["Linear", "Log"], "Log"),
        ("float", ["Double", "Int"], "Double"),
        ("Up", ["Maximize", "Minimize"], None),
        ("", ["Maximize"], None),
    ],
)
def test_the_closest_word_is_named(given: str, known: list[str], word: str | None) -> None:
    assert did_you_mean(given, known) == (f" (did you mean {word}?)" if word else "")
