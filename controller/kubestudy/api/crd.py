"""Generates the custom resource definitions from the models.

A structural schema is narrower than the JSON schema that pydantic writes: no references, no
unions, no null, no titles. What can be said in it is rewritten here; what cannot is an error,
so that a field never loses its validation in silence.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from kubestudy.api.base import GROUP, VERSION, ApiModel, Rule, Transition, nested_model
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial

Schema = dict[str, Any]

_KEPT = {
    "type",
    "format",
    "description",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "required",
}
_DROPPED = {"title", "additionalProperties", "discriminator"}

PRINTER_COLUMNS: dict[str, list[Schema]] = {
    "Study": [
        {
            "name": "State",
            "type": "string",
            "jsonPath": '.status.conditions[?(@.type=="Progressing")].reason',
            "description": "What the Study does now, or why it ended.",
        },
        {
            "name": "Trials",
            "type": "string",
            "jsonPath": ".status.progress",
            "description": "Finished trials out of all.",
        },
        {"name": "Running", "type": "integer", "jsonPath": ".status.trials.running"},
        {"name": "Failed", "type": "integer", "jsonPath": ".status.trials.failed"},
        {
            "name": "Objective",
            "type": "string",
            "jsonPath": ".spec.objectives[0].metric",
        },
        {
            "name": "Best",
            "type": "number",
            "jsonPath": ".status.best.objectives[0].value",
            "description": "The best value so far.",
        },
        {"name": "Best-Trial", "type": "string", "jsonPath": ".status.best.trial"},
        {
            "name": "Left",
            "type": "string",
            "jsonPath": ".status.timeLeft",
            "description": "Estimated time to the end.",
        },
        {"name": "Algorithm", "type": "string", "jsonPath": ".spec.algorithm.type", "priority": 1},
        {
            "name": "Message",
            "type": "string",
            "jsonPath": '.status.conditions[?(@.type=="Progressing")].message',
            "priority": 1,
        },
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
    "Trial": [
        {
            "name": "State",
            "type": "string",
            "jsonPath": '.status.conditions[?(@.status=="True")].type',
        },
        {
            "name": "Reason",
            "type": "string",
            "jsonPath": '.status.conditions[?(@.status=="True")].reason',
        },
        {"name": "Objective", "type": "number", "jsonPath": ".status.objectives[0].value"},
        {"name": "Latest", "type": "number", "jsonPath": ".status.metrics[0].latest"},
        {"name": "Step", "type": "number", "jsonPath": ".status.metrics[0].step"},
        {"name": "Parameters", "type": "string", "jsonPath": ".spec.parameters"},
        {"name": "Study", "type": "string", "jsonPath": ".spec.study", "priority": 1},
        {"name": "Node", "type": "string", "jsonPath": ".status.runs[-1:].node", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
}


def custom_resource_definitions() -> dict[str, Schema]:
    """Returns each kind's definition, by the name of its file in ``manifests/crds``."""
    return {
        "studies.yaml": _definition(Study, plural="studies", short=["hps"]),
        "trials.yaml": _definition(Trial, plural="trials", short=[]),
    }


def _definition(model: type[ApiModel], plural: str, short: list[str]) -> Schema:
    kind = model.__name__
    names: Schema = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "categories": ["kubestudy"],
    }
    if short:
        names["shortNames"] = short
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "kubestudy", "app.kubernetes.io/part-of": GROUP},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": PRINTER_COLUMNS[kind],
                    "schema": {"openAPIV3Schema": structural_schema(model)},
                }
            ],
        },
    }


def structural_schema(model: type[ApiModel]) -> Schema:
    """Rewrites a model's JSON schema as a structural schema.

    Raises:
        ValueError: A field has a type that a structural schema cannot say.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    definitions = document.get("$defs", {})
    del document["properties"]["metadata"]  # the API server knows it better
    schema = _rewrite(document, definitions, model.__name__)
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    schema["required"] = ["spec"]
    _attach_rules(schema, model)
    return schema


def _rewrite(schema: Schema, definitions: Schema, where: str) -> Schema:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        beside = {k: v for k, v in schema.items() if k != "$ref"}
        return _rewrite({**definitions[name], **beside}, definitions, where)
    if "anyOf" in schema:
        return _rewrite(_without_union(schema, where), definitions, where)
    if "const" in schema:
        schema = {k: v for k, v in schema.items() if k != "const"} | {"enum": [schema["const"]]}
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {k: v for k, v in schema.items() if k not in _DROPPED}

    out: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            out["properties"] = {
                name: _rewrite(field, definitions, f"{where}.{name}")
                for name, field in value.items()
            }
        elif key == "items":
            out["items"] = _rewrite(value, definitions, f"{where}[]")
        elif key == "exclusiveMinimum":
            out |= {"minimum": value, "exclusiveMinimum": True}
        elif key == "additionalProperties" and isinstance(value, dict):
            open_ended = value.get("x-kubernetes-preserve-unknown-fields")
            out[key] = value if open_ended else _rewrite(value, definitions, f"{where}{{}}")
        elif key in _KEPT or key.startswith("x-kubernetes-"):
            if not (key == "default" and value is None):
                out[key] = value
        elif key not in _DROPPED and key != "$defs":
            raise ValueError(f"{where}: a structural schema has no {key!r}")
    if "type" not in out:
        raise ValueError(f"{where}: a structural schema needs a type")
    if out["type"] == "array" and "x-kubernetes-list-type" not in out:
        raise ValueError(f"{where}: a list needs x-kubernetes-list-type")
    return out


def _without_union(schema: Schema, where: str) -> Schema:
    """An optional field is one that may be left out; a number is one type, whole or not."""
    variants = [v for v in schema["anyOf"] if v.get("type") != "null"]
    beside = {k: v for k, v in schema.items() if k != "anyOf"}
    if beside.get("default", "") is None:
        del beside["default"]
    if {v.get("type") for v in variants} == {"integer", "number"}:
        variants = [{"type": "number"}]
    if len(variants) != 1:
        raise ValueError(f"{where}: a structural schema has no union of {variants}")
    return {**variants[0], **beside}


def _attach_rules(schema: Schema, model: type[BaseModel]) -> None:
    """Puts each model's CEL rules where its object stands in the schema, depth first."""
    if issubclass(model, ApiModel):
        said: tuple[Rule | Transition, ...] = (*model.rules, *model.transitions)
        rules: list[Schema] = [
            {"rule": r.cel, "message": r.message}
            # Of metadata the schema says nothing, so that no path leads into it.
            | ({"fieldPath": f".{r.field}"} if r.field and "metadata" not in r.field else {})
            for r in said
        ]
        if rules:
            schema["x-kubernetes-validations"] = rules
    for name, field in model.model_fields.items():
        child = schema["properties"].get(field.alias or name)
        nested = nested_model(field.annotation)
        if child is None or nested is None:
            continue
        if child.get("type") == "array":
            child = child["items"]
        if "properties" in child:
            _attach_rules(child, nested)
