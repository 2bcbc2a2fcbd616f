"""What the API refuses, and the definitions that say so to the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from kubestudy.api.base import ApiModel, Rule, nested_model
from kubestudy.api.crd import custom_resource_definitions, structural_schema
from kubestudy.api.durations import parse_duration
from kubestudy.api.meta import ObjectMeta
from kubestudy.api.study import IMMUTABLE, Study, StudySpec
from kubestudy.api.trial import Trial
from kubestudy.api.validation import InvalidObject, parse_study
from kubestudy.core.acceptance import MAX_ERRORS, problems
from kubestudy.core.status import duration_text
from tests.unit.build import study, study_document, trial


def parameter(**fields: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "p"} | fields]}


def dependent(**when: Any) -> dict[str, Any]:
    return {
        "parameters": [{"name": "q", "values": [1]}, {"name": "p", "values": [1], "when": when}]
    }


def metrics(**fields: Any) -> dict[str, Any]:
    return {"metrics": [fields]}


RANGE = {"min": 1, "max": 9}
POD = {"template": {"spec": {}}}
ONE_POD = {"folds": 3, "execution": "OnePod"}

# For each rule, Specs that break it and no other: the field in the error, its beginning.
BROKEN: list[tuple[dict[str, Any], str, str]] = [
    (
        {
            "confirm": {"seeds": 2},
            "objectives": [{"metric": m, "direction": "Minimize"} for m in ("a", "b")],
        },
        "spec.confirm",
        "is for one objective",
    ),
    (
        {"confirm": {"seeds": 2}, "parameters": [{"name": "seed", "values": [1]}]},
        "spec.confirm",
        "gives trials their seed",
    ),
    (parameter(), "spec.parameters[0]", "must have exactly one of"),
    (parameter(values=[1], choices=["a"]), "spec.parameters[0]", "must have exactly one of"),
    (parameter(values=[1], **RANGE), "spec.parameters[0]", "must have exactly one of"),
    (parameter(max=1), "spec.parameters[0].max", "a range needs min as well"),
    (parameter(min=1), "spec.parameters[0].min", "a range needs max as well"),
    (parameter(min=2, max=2), "spec.parameters[0].min", "must be below max"),
    (parameter(min=0, max=2, scale="Log"), "spec.parameters[0].min", "must be above 0 on a Log"),
    (parameter(min=0.5, max=2, type="Int"), "spec.parameters[0].type", "Int needs whole"),
    (parameter(min=0, max=2.5, type="Int"), "spec.parameters[0].type", "Int needs whole"),
    (parameter(values=[1, 1.5], type="Int"), "spec.parameters[0].type", "Int needs whole"),
    (parameter(**RANGE, step=1.5, type="Int"), "spec.parameters[0].type", "Int needs whole"),
    (parameter(**RANGE, step=-1), "spec.parameters[0].step", "must be above 0"),
    (parameter(**RANGE, step=9), "spec.parameters[0].step", "needs min and max, and must not"),
    (parameter(values=[1], step=1), "spec.parameters[0].step", "needs min and max, and must not"),
    (parameter(**RANGE, step=1e-300), "spec.parameters[0].step", "is too small for this range"),
    (parameter(**RANGE, step=1, scale="Log"), "spec.parameters[0].step", "cannot be combined"),
    (parameter(values=[1], scale="Linear"), "spec.parameters[0].scale", "belongs to a range"),
    (parameter(choices=["a"], type="Int"), "spec.parameters[0].type", "belongs to numbers"),
    (parameter(values=[1, 2, 1]), "spec.parameters[0].values", "must not hold a number twice"),
    (
        parameter(values=[1], when={"parameter": "p", "values": [1]}),
        "spec.parameters[0].when",
        "a parameter cannot depend on itself",
    ),
    (dependent(parameter="q"), "spec.parameters[1].when", "must have either values"),
    (dependent(parameter="q", values=[1, 1]), "spec.parameters[1].when.values", "must not hold"),
    (dependent(parameter="r", values=[1]), "spec.parameters", "when.parameter must be the name"),
    (
        {"warmStart": {"studies": ["a", "demo"]}},
        "spec.warmStart.studies",
        "a Study cannot start from itself",
    ),
    ({"constraints": [{"metric": "m"}]}, "spec.constraints[0]", "needs min, max or both"),
    (
        {"constraints": [{"metric": "m", "min": 2, "max": 1}]},
        "spec.constraints[0].min",
        "must not be above max",
    ),
    (
        {"algorithm": {"type": "A", "resource": {"name": "r", "min": 3, "max": 3}}},
        "spec.algorithm.resource.max",
        "must be at least min * eta",
    ),
    ({"budget": {"maxGPUHours": 0}}, "spec.budget.maxGPUHours", "must be above 0"),
    (
        {"budget": {"maxTrialsWithoutImprovement": 3, "minImprovement": -1}},
        "spec.budget.minImprovement",
        "must not be below 0",
    ),
    (
        {"budget": {"minImprovement": 0.1}},
        "spec.budget.minImprovement",
        "goes together with maxTrialsWithoutImprovement",
    ),
    (
        {"trial": {"env": [{"name": "A", "value": "", "valueFrom": {}}]}},
        "spec.trial.env[0].value",
        "cannot be combined with valueFrom",
    ),
    (
        {"trial": {"env": [{"name": "KUBESTUDY_X", "value": ""}]}},
        "spec.trial.env[0].name",
        "names that begin with KUBESTUDY_",
    ),
    ({"trial": {"timeout": "0m0s"}}, "spec.trial.timeout", "must be at least 1s"),
    ({"trial": POD | {"manifest": {}}}, "spec.trial.template", "cannot be combined with manifest"),
    *(
        ({"trial": POD | {field: value}}, "spec.trial", "template or manifest replaces")
        for field, value in {
            "image": "i",
            "imagePullPolicy": "Always",
            "command": ["c"],
            "args": ["a"],
            "env": [{"name": "A"}],
            "resources": {},
        }.items()
    ),
    (metrics(type="Prometheus", formats=["Json"]), "spec.metrics[0].type", "formats and regex"),
    (metrics(type="Logs", query="q"), "spec.metrics[0].type", "query and lingerSeconds"),
    (metrics(type="Logs", lingerSeconds=1), "spec.metrics[0].type", "query and lingerSeconds"),
    (metrics(type="Logs", regex="r"), "spec.metrics[0].regex", "goes together"),
    (metrics(type="Logs", formats=["Regex"]), "spec.metrics[0].regex", "goes together"),
    (
        {
            "crossValidation": ONE_POD,
            "algorithm": {"type": "Hyperband", "resource": {"name": "epochs", "max": 9}},
        },
        "spec.crossValidation.execution",
        "OnePod cannot be combined with algorithm.resource",
    ),
    (
        {"crossValidation": ONE_POD} | metrics(type="Prometheus"),
        "spec.metrics",
        "only Logs can be combined with crossValidation.execution OnePod",
    ),
    *(
        (
            {"crossValidation": ONE_POD} | metrics(type="Logs", **formats),
            "spec.metrics",
            "must tell the fold of each report",
        )
        for formats in (
            {"formats": ["TrainerLog"]},
            {"formats": ["Regex"], "regex": "acc (?P<value>.*)"},
        )
    ),
]


def errors_of(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidObject) as caught:
        parse_study(document)
    return [(e.field, e.message) for e in caught.value.errors]


@pytest.mark.parametrize(("spec", "field", "message"), BROKEN)
def test_a_rule_names_the_field_that_breaks_it(
    spec: dict[str, Any], field: str, message: str
) -> None:
    ((found_field, found_message),) = errors_of(study_document(**spec))
    assert found_field == field
    assert found_message.startswith(message)


def models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield root
    for field in root.model_fields.values():
        if nested := nested_model(field.annotation):
            yield from models(nested)


def all_rules() -> set[Rule]:
    found = {m for root in (Study, Trial) for m in models(root)}
    return {r for m in found if issubclass(m, ApiModel) for r in m.rules}


def broken_in(model: Any) -> Iterator[Rule]:
    if isinstance(model, ApiModel):
        yield from (r for r in model.rules if not r.holds(model))
        for name in type(model).model_fields:
            yield from broken_in(getattr(model, name))
    elif isinstance(model, list):
        for item in model:
            yield from broken_in(item)


def test_every_rule_of_every_model_is_broken_by_a_case() -> None:
    documents = [study_document(**spec) for spec, _, _ in BROKEN]
    documents.append(study_document())
    documents[-1]["metadata"]["name"] = "n" * 201
    broken = {rule for d in documents for rule in broken_in(Study.model_validate(d))}
    assert not [rule.message for rule in all_rules() - broken]
    assert len(all_rules()) >= 25


def test_a_long_name_is_refused() -> None:
    document = study_document()
    document["metadata"]["name"] = "n" * 201
    ((field, message),) = errors_of(document)
    assert field == "metadata.name"
    assert message.startswith("must be at most 200 characters")


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (parameter(values=["1e-4"]), "spec.parameters[0].values[0]", "'1e-4'"),
    (parameter(values=[True]), "spec.parameters[0].values[0]", "true"),
    (parameter(choices=[False]), "spec.parameters[0].choices[0]", "false"),
    (parameter(choices=[1]), "spec.parameters[0].choices[0]", "1"),
    (parameter(min="0", max=1), "spec.parameters[0].min", "'0'"),
    (parameter(min=float("nan"), max=1), "spec.parameters[0].min", "nan"),
    (parameter(values=[]), "spec.parameters[0].values", "at least 1"),
    (parameter(values=[1], colour="red"), "spec.parameters[0].colour", "unknown field"),
    (parameter(values=[1], type="Float"), "spec.parameters[0].type", "'Float'"),
    ({"parameters": [{"values": [1]}]}, "spec.parameters[0].name", "is required"),
    ({"parameters": [{"name": "a b", "values": [1]}]}, "spec.parameters[0].name", "'a b'"),
    ({"budget": {"parallelism": 0}}, "spec.budget.parallelism", "0"),
    ({"budget": {"parallelism": "4"}}, "spec.budget.parallelism", "'4'"),
    ({"budget": {"timeout": "2 h"}}, "spec.budget.timeout", "'2 h'"),
    ({"budget": {"timeout": 90}}, "spec.budget.timeout", "90"),
    ({"suspend": "yes"}, "spec.suspend", "'yes'"),
    ({"objectives": []}, "spec.objectives", "at least 1"),
    ({"objectives": [{"metric": "m"}]}, "spec.objectives[0].direction", "is required"),
    ({"trial": {"args": [1]}}, "spec.trial.args[0]", "1"),
    ({"trial": {"template": "yaml"}}, "spec.trial.template", "'yaml'"),
]


@pytest.mark.parametrize(("spec", "field", "says"), REFUSED)
def test_an_error_names_the_field_and_the_value(
    spec: dict[str, Any], field: str, says: str
) -> None:
    ((found, message),) = errors_of(study_document(**spec))
    assert found == field
    assert says in message
    assert "input should" not in message.lower()


DUPLICATES: list[tuple[dict[str, Any], str, str]] = [
    (parameter(choices=["a", "b", "a"]), "spec.parameters[0].choices[2]", "'a'"),
    ({"parameters": [{"name": "p", "values": [1]}] * 2}, "spec.parameters[1].name", "'p'"),
    (
        {"objectives": [{"metric": "m", "direction": "Maximize"}] * 2},
        "spec.objectives[1].metric",
        "'m'",
    ),
    ({"trial": {"env": [{"name": "A"}, {"name": "A"}]}}, "spec.trial.env[1].name", "'A'"),
    (metrics(type="Logs", formats=["Json", "Json"]), "spec.metrics[0].formats[1]", "'Json'"),
    ({"metrics": [{"type": "Logs"}] * 2}, "spec.metrics[1].type", "'Logs'"),
    ({"constraints": [{"metric": "m", "min": 1}] * 2}, "spec.constraints[1].metric", "'m'"),
]


@pytest.mark.parametrize(("spec", "field", "value"), DUPLICATES)
def test_a_duplicate_is_named(spec: dict[str, Any], field: str, value: str) -> None:
    found = dict(errors_of(study_document(**spec)))
    assert found == {field: f"duplicate value: {value}; it may stand once, so remove one"}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "kind: Study",
        {},
        {"apiVersion": "v1", "kind": "Study"},
        {"apiVersion": "kubestudy.dev/v1alpha1", "kind": "Trial"},
        {"apiVersion": "kubestudy.dev/v1alpha1", "kind": "Study"},
        {"apiVersion": "kubestudy.dev/v1alpha1", "kind": "Study", "metadata": None, "spec": 3},
        study_document() | {"metadata": {}},
        study_document() | {"spec": []},
        study_document(objectives=[None]),
        study_document(parameters={"name": "p"}),
        study_document(budget="large"),
    ],
)
def test_what_is_no_study_is_refused_in_words(document: Any) -> None:
    for _, message in errors_of(document):
        assert message


def test_all_errors_are_told_at_once() -> None:
    document = study_document(parameters=[{"name": "p", "vals": 1}], budget={"parallelism": 0})
    assert {f for f, _ in errors_of(document)} == {
        "spec.parameters[0].vals",
        "spec.budget.parallelism",
    }


def test_a_study_comes_back_from_json_as_it_was() -> None:
    one = study(budget={"maxGPUHours": 1.5, "timeout": "1d"}, parameters=[{"name": "p", **RANGE}])
    assert Study.model_validate(json.loads(json.dumps(one.to_json()))) == one
    assert "maxGPUHours" in one.to_json()["spec"]["budget"]


@pytest.mark.parametrize("state", ["Succeeded", "Failed", "Stopped", "Running", "Pending", None])
def test_a_trials_state_is_its_true_condition(state: str | None) -> None:
    one = trial(state=state)
    assert one.state == (state or "Pending")
    assert one.finished == (state in ("Succeeded", "Failed", "Stopped"))


# Durations.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2h30m", 9000), ("1d", 86400), ("1d1h1m1s", 90061), ("5m5m", 600), ("0s", 0)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_an_enormous_duration_is_bounded() -> None:
    longest = parse_duration("9" * 31 + "d")
    assert longest == parse_duration("40000d")
    assert longest > timedelta(days=24_000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (12, "12s"),
        (60, "1m"),
        (185, "3m5s"),
        (3600, "1h"),
        (4800, "1h20m"),
        (3605, "1h"),
        (100_800, "1d4h"),
        (86_400, "1d"),
        (86_399.9, "1d"),
    ],
)
def test_a_duration_is_written_in_two_units(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


@given(st.integers(0, 10**9))
def test_a_written_duration_is_read_as_nearly_the_same(seconds: int) -> None:
    text = duration_text(timedelta(seconds=seconds))
    again = parse_duration(text).total_seconds()
    assert again <= seconds
    assert seconds - again <= max(0, seconds * 0.05)


# The custom resource definitions.


def schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from schemas(child, f"{path}.{name}")
    if "items" in schema:
        yield from schemas(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from schemas(schema["additionalProperties"], f"{path}{{}}")


ALL_SCHEMAS = [
    pytest.param(schema, id=f"{root.__name__}{path}")
    for root in (Study, Trial)
    for path, schema in schemas(structural_schema(root))
]


@pytest.mark.parametrize("schema", ALL_SCHEMAS)
def test_a_schema_is_structural(schema: dict[str, Any]) -> None:
    assert not {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title"} & set(schema)
    assert "default" not in schema or schema["default"] is not None
    assert "type" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("type") == "array":
        assert schema["x-kubernetes-list-type"] in ("atomic", "set", "map")
        assert "maxItems" in schema or "metadata" in schema
        assert "items" in schema
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        assert key in schema["items"]["required"]


def test_every_rule_and_transition_stands_in_the_definitions() -> None:
    text = json.dumps(custom_resource_definitions())
    for rule in all_rules():
        assert json.dumps(rule.cel)[1:-1] in text
    for root in (Study, Trial):
        for model in set(models(root)):
            for transition in getattr(model, "transitions", ()):
                assert json.dumps(transition.cel)[1:-1] in text


def test_a_field_path_leads_to_a_field_of_its_schema() -> None:
    for root in (Study, Trial):
        for path, schema in schemas(structural_schema(root)):
            for rule in schema.get("x-kubernetes-validations", ()):
                at = schema
                for part in filter(None, rule.get("fieldPath", "").split(".")):
                    assert part in at["properties"], f"{path}: {rule['fieldPath']}"
                    at = at["properties"][part]


def test_printer_columns_lead_to_fields() -> None:
    for definition in custom_resource_definitions().values():
        version = definition["spec"]["versions"][0]
        for column in version["additionalPrinterColumns"]:
            first, second = column["jsonPath"].split(".")[1:3]
            if first != "metadata":
                properties = version["schema"]["openAPIV3Schema"]["properties"]
                assert second.split("[")[0] in properties[first]["properties"]


class Anything(ApiModel):
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)


def of_spec(annotation: Any, **field: Any) -> type[ApiModel]:
    class Holder(ApiModel):
        f: annotation = Field(**field)

    class Kind(Anything):
        spec: Holder

    return Kind


@pytest.mark.parametrize(
    ("annotation", "field", "says"),
    [
        (int | str, {}, "union"),
        (list[int], {}, "list-type"),
        (Any, {}, "needs a type"),
        (tuple[int, str], {}, "prefixItems"),
        (int, {"lt": 5}, "exclusiveMaximum"),
        (int, {"multiple_of": 5}, "multipleOf"),
    ],
)
def test_what_a_structural_schema_cannot_say_is_an_error(
    annotation: Any, field: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        structural_schema(of_spec(annotation, **field))
    assert "Kind.spec.f" in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "field", "schema"),
    [
        (int | None, {"default": None}, {"type": "integer"}),
        (int | float, {"default": 1}, {"type": "number", "default": 1}),
        (Literal["a"], {}, {"enum": ["a"], "type": "string"}),
        (int, {"gt": 0}, {"type": "integer", "minimum": 0, "exclusiveMinimum": True}),
    ],
)
def test_what_a_structural_schema_can_say_is_said(
    annotation: Any, field: dict[str, Any], schema: dict[str, Any]
) -> None:
    made = structural_schema(of_spec(annotation, **field))
    assert made["properties"]["spec"]["properties"]["f"] == schema


def test_a_study_with_much_to_mend_names_the_first_twenty() -> None:
    wrong = [{"metric": "accuracy", "direction": "Maximize"}]
    args = [f"--a{i}=${{parameters.unknown{i}}}" for i in range(200)]
    of = study(objectives=wrong, trial={"args": args})
    assert len(problems(of)) == MAX_ERRORS


def test_a_field_that_pods_do_not_have_is_named() -> None:
    container = {"name": "t", "image": "i", "argz": [], "env": [{"anything": 1}]}
    template = {
        "metadata": {"labls": {}},
        "spec": {"contaners": [], "containers": [container], "affinity": {"anything": 1}},
    }
    with pytest.raises(InvalidObject) as error:
        parse_study(study_document(trial={"template": template}))
    assert {str(e) for e in error.value.errors} == {
        "spec.trial.template.metadata.labls: unknown field (did you mean labels?)",
        "spec.trial.template.spec.contaners: unknown field (did you mean containers?)",
        "spec.trial.template.spec.containers[0].argz: unknown field (did you mean args?)",
    }


def test_of_many_unknown_fields_some_are_named() -> None:
    spec = {f"x{i}" * 1000: 1 for i in range(5000)}
    with pytest.raises(InvalidObject) as error:
        parse_study(study_document(trial={"template": {"spec": spec}}))
    assert len(error.value.errors) == 20
    assert len(str(error.value)) < 5000


EDITABLE = {"budget", "trial", "metrics", "earlyStopping", "suspend"}


def test_each_field_of_a_study_may_be_edited_or_not_on_a_cluster_and_here_alike() -> None:
    fields = {f.alias or name for name, f in StudySpec.model_fields.items()}
    assert fields == {*IMMUTABLE, *EDITABLE}
    assert [t.field for t in Study.transitions] == [f"spec.{field}" for field in IMMUTABLE]
