"""The chart: what it makes of values, and which values it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubestudy.api.manifests import dump, load_all
from kubestudy.runtime.client import Object
from tests.support.controller_process import ROOT
from tests.support.helm import CHART, NAMESPACE, VALUE_SETS, helm, rendered
from tests.support.kubectl import Refused
from tests.testcluster import ControlPlane, binaries

pytestmark = pytest.mark.timeout(120)

OF_THE_PROMETHEUS_OPERATOR = "monitoring.coreos.com/v1"

values = pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)


def identity(obj: Object) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def without_helm(obj: Object) -> Object:
    metadata = obj["metadata"]
    helms = ("helm.sh/chart", "app.kubernetes.io/managed-by")
    labels = {k: v for k, v in metadata.get("labels", {}).items() if k not in helms}
    notes = {k: v for k, v in metadata.get("annotations", {}).items() if "helm.sh" not in k}
    kept = {k: v for k, v in metadata.items() if k not in ("labels", "annotations")}
    return obj | {"metadata": kept | {"labels": labels, "annotations": notes}}


def test_the_plain_manifests_are_the_chart_with_its_defaults() -> None:
    plain = load_all((ROOT / "manifests/install.yaml").read_text())
    expected = {identity(d.data): without_helm(d.data) for d in plain}
    namespace = expected.pop(("Namespace", "", NAMESPACE))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {identity(o): without_helm(o) for o in rendered("--skip-tests")} == expected


def test_there_are_six_sets_of_values() -> None:
    assert len(VALUE_SETS) >= 6


@values
def test_helm_finds_nothing_wrong(values: Path) -> None:
    version = f"--kube-version={binaries.kubernetes_version()}"
    helm("lint", "--strict", CHART, version, f"--values={values}")


@values
def test_a_real_api_server_takes_it(control_plane: ControlPlane, values: Path) -> None:
    # A dry run leaves no service account that the test's pod could have.
    objects = [
        o
        for o in rendered(f"--values={values}")
        if o["apiVersion"] != OF_THE_PROMETHEUS_OPERATOR and o["kind"] != "Pod"
    ]
    control_plane.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("-f", "-"),
        stdin="---\n".join(map(dump, objects)),
    )


@pytest.fixture(scope="module")
def schemas(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API server's own schemas, as kubeconform reads them."""
    folder = tmp_path_factory.mktemp("schemas")
    versions = {o["apiVersion"] for values in VALUE_SETS for o in rendered(f"--values={values}")}
    for version in versions - {OF_THE_PROMETHEUS_OPERATOR}:
        path = f"apis/{version}" if "/" in version else f"api/{version}"
        document = json.loads(control_plane.kubectl("get", "--raw", f"/openapi/v3/{path}"))
        components = document["components"]["schemas"]
        for schema in components.values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        for name, schema in components.items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                words = (kind["kind"], kind["group"].split(".")[0], kind["version"])
                content = {"$ref": f"#/components/schemas/{name}"}
                content |= {"components": {"schemas": components}}
                file = folder / f"{'-'.join(filter(None, words)).lower()}.json"
                file.write_text(json.dumps(content))
    yield f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"


@values
def test_kubeconform_finds_nothing_wrong(schemas: str, values: Path) -> None:
    done = subprocess.run(
        [
            *(str(binaries.kubeconform()), "-strict", "-summary", "-output=json"),
            f"-schema-location={schemas}",
            "-skip=ServiceMonitor,PodMonitor,PrometheusRule",
        ],
        input="---\n".join(map(dump, rendered(f"--values={values}"))),
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    summary = json.loads(done.stdout)["summary"]
    assert summary["valid"] > 10
    assert summary["errors"] == summary["invalid"] == 0


def test_kubeconform_would_find_what_is_wrong(schemas: str) -> None:
    (wrong,) = (o for o in rendered() if o["kind"] == "Deployment")
    wrong["spec"]["replica"] = 2
    done = subprocess.run(
        [str(binaries.kubeconform()), "-strict", f"-schema-location={schemas}"],
        input=dump(wrong),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "replica" in done.stdout


# What the best practices of others ask for, and why it is not done.
NOT_ASKED_FOR = {
    "container-image-pull-policy": "a tag of ours is never given to another image",
    "pod-networkpolicy": "where the API server is, the administrator knows: networkPolicy.enabled",
    "deployment-replicas": "one controller decides; a restart takes seconds",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints do it where there are two",
}


@values
def test_kube_score_finds_nothing_wrong(values: Path) -> None:
    done = subprocess.run(
        [
            *(str(binaries.kube_score()), "score", "-", "--output-format=ci"),
            "--ignore-container-cpu-limit",  # to slow a controller down helps nobody
            *(word for test in NOT_ASKED_FOR for word in ("--ignore-test", test)),
        ],
        input="---\n".join(map(dump, rendered(f"--values={values}"))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("[OK]") > 20
    assert "[CRITICAL]" not in done.stdout
    assert "[WARNING]" not in done.stdout
    assert done.returncode == 0, done.stderr


def test_kube_score_would_find_what_is_wrong() -> None:
    (wrong,) = (o for o in rendered() if o["kind"] == "Deployment")
    del wrong["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    done = subprocess.run(
        [str(binaries.kube_score()), "score", "-", "--output-format=ci"],
        input=dump(wrong),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Memory limit is not set" in done.stdout


def pods(objects: list[Object]) -> list[Object]:
    of = [o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment"]
    return of + [o["spec"] for o in objects if o["kind"] == "Pod"]


@values
def test_every_pod_is_confined_and_bounded(values: Path) -> None:
    found = pods(rendered(f"--values={values}"))
    assert len(found) >= 2
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(set(v) & {"configMap", "secret"} for v in pod.get("volumes", ()))
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")


@values
def test_no_role_has_a_wildcard_or_reaches_for_more(values: Path) -> None:
    for role in rendered(f"--values={values}"):
        for rule in role.get("rules", ()):
            said = {word for words in rule.values() for word in words}
            assert not said & {"*", "secrets", "escalate", "bind", "impersonate", "nodes"}
            assert "serviceaccounts/token" not in said


def test_a_list_of_namespaces_leaves_no_right_elsewhere() -> None:
    (controller,) = (
        o for o in rendered("--set=namespaces={team-a,team-b}") if o["kind"] == "Deployment"
    )
    args = controller["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--watch-namespace=team-a", "--watch-namespace=team-b"} <= set(args)
    objects = rendered("--set=namespaces={team-a,team-b}", "--skip-tests")
    kinds = {identity(o) for o in objects if o["kind"] in ("Role", "ClusterRoleBinding")}
    leases = ("Role", NAMESPACE, "kubestudy-leader-election")
    ours = {("Role", n, "kubestudy-controller") for n in ("team-a", "team-b")}
    assert kinds == {leases, *ours}


def of_dashboard(*options: str) -> list[Object]:
    named = "kubestudy-dashboard"
    objects = rendered("--set=dashboard.enabled=true", *options)
    return [o for o in objects if o["metadata"]["name"] == named]


@pytest.mark.parametrize("options", [[], ["--set=namespaces={team-a,team-b}"]])
def test_the_dashboard_may_read_studies_and_trials_alone(options: list[str]) -> None:
    objects = of_dashboard(*options)
    rules = [rule for o in objects for rule in o.get("rules", ())]
    assert rules
    for rule in rules:
        assert rule == {
            "apiGroups": ["kubestudy.dev"],
            "resources": ["studies", "trials"],
            "verbs": ["get", "list"],
        }
    cluster_wide = [o for o in objects if o["kind"].startswith("Cluster")]
    assert bool(cluster_wide) == (not options)
    (deployment,) = (o for o in objects if o["kind"] == "Deployment")
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert ("--all-namespaces" in args) == (not options)
    assert not of_dashboard("--set=dashboard.enabled=false")


def test_crds_stay_when_the_release_goes_unless_told_otherwise() -> None:
    def policies(*options: str) -> list[Any]:
        crds = [o for o in rendered(*options) if o["kind"] == "CustomResourceDefinition"]
        return [c["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for c in crds]

    assert policies() == ["keep", "keep"]
    assert policies("--set=crds.keep=false") == [None, None]
    assert policies("--set=crds.enabled=false") == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("--set=replica=2", "replica"),
        ("--set=replicas=-1", "replicas"),
        ("--set-string=replicas=2", "replicas"),
        ("--set=image.pullPolicy=Sometimes", "pullPolicy"),
        ("--set=image.digest=latest", "digest"),
        ("--set=log.level=loud", "level"),
        ("--set=namespaces=team-a", "namespaces"),
        ("--set=namespaces={Team_A}", "namespaces"),
        ("--set=crds.keep=perhaps", "keep"),
        ("--set=policies.allow.hostpath=true", "hostpath"),
        ("--set=policies.enabled=1", "enabled"),
        ("--set=resources.limit.memory=1Gi", "limit"),
        ("--set=metrics.serviceMonitor.interval=often", "interval"),
        ("--set=metrics.service.port=100000", "port"),
        ("--set=podDisruptionBudget.maxUnavailable=some", "maxUnavailable"),
        ("--set=prometheus.url=prometheus:9090", "url"),
        ("--set=extraObjects=text", "extraObjects"),
    ],
)
def test_wrong_values_are_refused(setting: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        rendered(setting)


def test_two_controllers_without_an_election_are_refused() -> None:
    with pytest.raises(Refused, match=r"leaderElection\.enabled: must be true"):
        rendered("--set=replicas=2", "--set=leaderElection.enabled=false")


def test_the_chart_and_the_package_have_one_version() -> None:
    from kubestudy import __version__

    (chart,) = load_all((CHART / "Chart.yaml").read_text())
    assert chart.data["version"] == chart.data["appVersion"] == __version__
