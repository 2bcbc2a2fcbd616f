"""The kinds Study and Trial as a real API server serves them, without a controller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubestudy.api import manifests
from kubestudy.api.pod_template import POD_TEMPLATE
from kubestudy.api.validation import parse_study
from kubestudy.runtime.client import Object
from tests.support.controller_process import ROOT
from tests.support.kubectl import Namespace, Refused
from tests.support.studies import study
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(60)

EXACT = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: exact}
spec:
  objectives: [{metric: loss, direction: Minimize}]
  parameters:
    - {name: lr, values: [1e-5, 5.0e-5, 0.1, 1e-300, 16, 9007199254740991, -3, 2.0]}
    - {name: choice, choices: ["no", "1e-4", "", "ünï", "a\\nb"]}
    - {name: range, min: 1e-6, max: 1e-3, scale: Log}
  algorithm: {type: Random, seed: 9007199254740991}
  budget: {maxTrials: 3}
  initialTrials: [{lr: 1e-300, choice: "no"}, {range: 0.001, lr: 2.0}]
  trial: {image: none}
"""


def test_the_crds_are_taken_by_either_kind_of_apply(control_plane: ControlPlane) -> None:
    for words in (["apply"], ["apply", "--server-side", "--force-conflicts"]):
        said = control_plane.kubectl(*words, "-f", str(ROOT / "manifests/crds"))
        assert said.count("customresourcedefinition") == 2
    crds = json.loads(control_plane.kubectl("get", "crd", "-o", "json"))["items"]
    assert len(crds) == 2
    for crd in crds:
        conditions = {c["type"]: c for c in crd["status"]["conditions"]}
        assert conditions["Established"]["status"] == "True"
        assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("field", ["study.spec.parameters", "study.status.best", "trial.spec"])
def test_explain_tells_every_field(control_plane: ControlPlane, field: str) -> None:
    told = control_plane.kubectl("explain", field)
    fields = told.partition("FIELDS:")[2].strip().splitlines()
    descriptions = [line for line in fields if line.startswith("    ")]
    assert descriptions
    assert all(line.strip() for line in descriptions)


def test_a_pod_template_may_have_all_fields_that_kubernetes_has(
    control_plane: ControlPlane,
) -> None:
    schemas = json.loads(control_plane.kubectl("get", "--raw", "/openapi/v3/api/v1"))["components"]
    kubernetes = {
        kind: set(schemas["schemas"][f"io.k8s.api.core.v1.{kind}"]["properties"])
        for kind in ("PodSpec", "Container")
    }
    pod: Any = POD_TEMPLATE["properties"]["spec"]["properties"]  # type: ignore[index,call-overload]
    assert kubernetes["PodSpec"] <= set(pod)
    for containers in ("containers", "initContainers"):
        assert kubernetes["Container"] <= set(pod[containers]["items"]["properties"])


def test_a_field_that_pods_do_not_have_is_refused(namespace: Namespace) -> None:
    container = {"name": "t", "image": "i", "argz": []}
    template = {"spec": {"contaners": [], "containers": [container]}}
    with pytest.raises(Refused) as error:
        namespace.apply(study("odd", trial={"template": template}))
    assert 'unknown field "spec.trial.template.spec.contaners"' in str(error.value)
    assert 'unknown field "spec.trial.template.spec.containers[0].argz"' in str(error.value)


def test_numbers_and_strings_come_back_exactly(namespace: Namespace) -> None:
    namespace.apply(EXACT)
    stored = namespace.study("exact")["spec"]
    numbers, choices, range_ = stored["parameters"]
    assert numbers["values"] == [1e-5, 5e-5, 0.1, 1e-300, 16, 9007199254740991, -3, 2]
    assert choices["choices"] == ["no", "1e-4", "", "ünï", "a\nb"]
    assert (range_["min"], range_["max"]) == (1e-6, 1e-3)
    assert stored["initialTrials"] == [{"lr": 1e-300, "choice": "no"}, {"range": 0.001, "lr": 2}]
    assert stored["algorithm"]["seed"] == 2**53 - 1
    offline = parse_study(manifests.load(EXACT)).spec.to_json()["parameters"]
    assert offline == stored["parameters"]


def test_a_study_applied_again_is_unchanged(namespace: Namespace) -> None:
    for _ in range(2):
        namespace.apply(EXACT)
        assert namespace.study("exact")["metadata"]["generation"] == 1


def test_the_defaults_are_those_of_the_models(namespace: Namespace) -> None:
    short = study("short")
    namespace.apply(short)
    stored = namespace.study("short")["spec"]
    assert stored["suspend"] is False
    assert stored["trial"]["gpuResource"] == "nvidia.com/gpu"
    offline = parse_study(short).spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert stored == offline


@pytest.fixture
def begun(namespace: Namespace) -> Namespace:
    """A Study that has trials."""
    namespace.apply(study("begun"))
    status = {"status": {"trials": {"created": 1}}}
    patch = ("patch", "study", "begun", "--subresource=status", "--type=merge", "-p")
    namespace.kubectl(*patch, json.dumps(status))
    return namespace


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("parameters", [{"name": "x", "values": [1, 2]}]),
        ("objectives", [{"metric": "loss", "direction": "Minimize"}]),
        ("constraints", [{"metric": "latency", "max": 10}]),
        ("algorithm", {"type": "Random"}),
        ("algorithm", {"seed": 3}),
        ("crossValidation", {"folds": 3}),
        ("confirm", {"seeds": 3}),
        ("parameterConstraints", [{"expression": "x < 2"}]),
        ("warmStart", {"studies": ["other"]}),
        ("initialTrials", [{"learning_rate": 1e-5}]),
        ("parameters", list(reversed(study("begun")["spec"]["parameters"]))),
    ],
)
def test_what_makes_results_comparable_is_immutable(
    begun: Namespace, field: str, change: Any
) -> None:
    with pytest.raises(Refused, match=rf"spec\.{field}.*cannot be changed once trials exist"):
        begun.edit("begun", {field: change})


def test_before_there_are_trials_all_may_be_changed(namespace: Namespace) -> None:
    namespace.apply(study("new"))
    namespace.edit("new", {"parameters": [{"name": "x", "values": [1, 2]}]})


@pytest.mark.parametrize(
    "change",
    [
        {"budget": {"parallelism": 7, "maxTrials": 9, "maxFailedTrials": 1, "timeout": "2h"}},
        {"budget": {"maxGPUHours": 0.5}},
        {"suspend": True},
    ],
)
def test_the_budget_and_suspend_may_be_edited(begun: Namespace, change: Object) -> None:
    begun.edit("begun", change)
    stored = begun.study("begun")["spec"]
    for field, value in change.items():
        assert stored[field] == value or value.items() <= stored[field].items()


def test_a_suggestion_is_never_changed(namespace: Namespace) -> None:
    namespace.apply(
        {
            "apiVersion": "kubestudy.dev/v1alpha1",
            "kind": "Trial",
            "metadata": {"name": "kept"},
            "spec": {"study": "any", "index": 0, "parameters": {"x": 1e-5, "y": "no"}},
        }
    )
    with pytest.raises(Refused, match="of a Trial cannot be changed"):
        namespace.kubectl(
            "patch", "trial", "kept", "--type=merge", '-p={"spec": {"parameters": {"x": 2}}}'
        )
    (trial,) = namespace.trials("any")
    assert trial["spec"]["parameters"] == {"x": 1e-5, "y": "no"}


def test_a_study_is_found_by_its_short_words(namespace: Namespace) -> None:
    namespace.apply(study("short"))
    for word in ("study", "studies", "kubestudy"):
        assert "short" in namespace.kubectl("get", word, "-o", "name")
