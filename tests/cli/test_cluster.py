"""The same commands against a cluster; the API server is played by a dictionary."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import ConfigException

from kubestudy.api.manifests import load
from kubestudy.cli.cluster import ClusterSource
from kubestudy.runtime.client import EVENTS, PODS, STUDIES, TRIALS, ApiError, Resource
from kubestudy.runtime.json_cutter import JsonCutter
from tests.cli.conftest import GRID, Invoke

WHEN = "2026-01-01T00:00:00Z"


def condition(type_: str, reason: str) -> dict[str, str]:
    return {
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": "",
        "lastTransitionTime": WHEN,
    }


def study(done: bool) -> dict[str, Any]:
    best = {
        "trial": "grid-1",
        "objectives": [{"metric": "accuracy", "value": 0.9}],
        # Sorted by name, as an API server gives them.
        "parameters": {"batch": 32, "epochs": 3, "lr": 1e-05},
    }
    data: dict[str, Any] = load(GRID)
    data["metadata"] |= {"namespace": "lab", "uid": "u", "creationTimestamp": WHEN}
    data["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    data["status"] = {
        "conditions": [condition("Complete" if done else "Progressing", "Running")],
        "trials": {"created": 2, "succeeded": 2 if done else 1, "running": 0 if done else 1},
        "progress": "2/2" if done else "1/2",
        "best": best,
        "startTime": WHEN,
    }
    return data


def trial(index: int, value: float | None) -> dict[str, Any]:
    status: dict[str, Any] = {
        "conditions": [condition("Running" if value is None else "Succeeded", "Running")],
        "startTime": WHEN,
        "runs": [{"job": f"grid-{index}-0-0-0", "outcome": "Running"}],
    }
    if value is not None:
        status |= {
            "objectives": [{"metric": "accuracy", "value": value}],
            "completionTime": WHEN,
        }
    return {
        "apiVersion": "kubestudy.dev/v1alpha1",
        "kind": "Trial",
        "metadata": {"name": f"grid-{index}", "namespace": "lab"},
        "spec": {"study": "grid", "index": index, "parameters": {"batch": 32, "lr": 1e-05}},
        "status": status,
    }


class FakeClient:
    """What the commands need of an API server."""

    namespace = "lab"

    def __init__(self) -> None:
        self.objects: dict[Resource, list[dict[str, Any]]] = {
            STUDIES: [study(done=False)],
            TRIALS: [trial(1, 0.9), trial(0, None)],
            PODS: [
                {
                    "metadata": {"name": "p", "namespace": "lab", "creationTimestamp": WHEN},
                    "spec": {"containers": [{"name": "trial"}]},
                }
            ],
            EVENTS: [{"metadata": {"creationTimestamp": WHEN}, "reason": "NewBest", "note": "x"}],
        }
        self.asked: list[Any] = []
        self.failures: list[ApiError] = []

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        for item in self.objects[resource]:
            if item["metadata"]["name"] == name and item["metadata"]["namespace"] == namespace:
                return item
        raise ApiError(404, "NotFound", f'studies.kubestudy.dev "{name}" not found')

    def list(
        self, resource: Resource, namespace: str | None = None, **query: Any
    ) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop()
        self.asked.append((resource, namespace, query))
        items = self.objects[resource]
        if query.get("limit") and not query.get("continue") and len(items) > 1:  # Two pages.
            return {"items": items[:1], "metadata": {"continue": "more"}}
        items = items[1:] if query.get("continue") else items
        return {"items": items, "metadata": {"resourceVersion": "1"}}

    def listing(self, resource: Resource, namespace: str | None, page: int, **query: Any) -> Any:
        token: str | None = None
        while True:
            found = self.list(resource, namespace, **query, limit=page, **{"continue": token})
            cutter = JsonCutter()
            for item in found["items"]:
                yield from cutter.feed(json.dumps(item).encode())
            if (token := found["metadata"].get("continue")) is None:
                return

    def watch(self, resource: Resource, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        if resource is TRIALS:
            yield {"type": "MODIFIED", "object": trial(0, 0.8)}
        else:
            yield {"type": "BOOKMARK", "object": {}}
            yield {"type": "MODIFIED", "object": study(done=True)}
        threading.Event().wait()

    def logs(self, namespace: str, pod: str, **options: Any) -> Iterator[bytes]:
        self.asked.append((namespace, pod, options))
        yield b"accuracy=0.9"

    def patch(self, *arguments: Any) -> None:
        self.asked.append(arguments)

    def delete(self, *arguments: Any, **options: Any) -> None:
        self.asked.append((*arguments, options))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr("kubestudy.cli.cluster.KubeClient.connect", lambda *_: fake)
    return fake


def test_studies_are_listed(client: FakeClient, invoke: Invoke) -> None:
    heading, row = invoke("get").stdout.splitlines()
    assert row.split()[:2] == ["grid", "Running"]
    assert client.asked[-1][1] == "lab"
    everywhere = invoke("get", "-A").stdout
    assert everywhere.startswith("NAMESPACE   NAME")
    assert client.asked[-1][1] is None
    invoke("get", "-n", "other")
    assert client.asked[-1][1] == "other"
    assert heading.startswith("NAME")


def test_trials_come_in_pages_and_parameters_in_their_order(
    client: FakeClient, invoke: Invoke
) -> None:
    lines = invoke("top", "grid").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["TRIAL", "grid-1", "grid-0"]
    (selector,) = {q["labelSelector"] for r, _, q in client.asked if r is TRIALS}
    assert selector == "kubestudy.dev/study=grid"
    assert invoke("best", "grid", "-o", "args").stdout == "--lr=1.0e-05 --batch=32 --epochs=3\n"


def test_changes_go_to_the_api_server(client: FakeClient, invoke: Invoke) -> None:
    assert invoke("suspend", "grid").exit_code == 0
    assert client.asked[-1] == (STUDIES, "lab", "grid", {"spec": {"suspend": True}})
    refused = invoke("delete", "grid")
    assert refused.exit_code == 2
    assert "the Study grid in namespace lab with its 2 trials (1 at work)" in refused.stderr
    assert invoke("delete", "grid", "-y").exit_code == 0
    assert client.asked[-1] == (STUDIES, "lab", "grid", {"uid": "u"})


def test_logs_and_events(client: FakeClient, invoke: Invoke) -> None:
    assert invoke("logs", "grid-1").stdout == "accuracy=0.9\n"
    assert client.asked[-1] == (
        "lab",
        "p",
        {"follow": False, "read_timeout": 30, "container": "trial"},
    )
    assert "NewBest" in invoke("describe", "grid").stdout


def test_a_study_is_followed_to_its_end(client: FakeClient, invoke: Invoke) -> None:
    result = invoke("watch", "grid", "-n", "lab")
    assert result.exit_code == 0
    assert "Best: grid-1 with accuracy 0.9" in result.stdout
    assert "Next:    kubestudy best grid -o args -n lab" in result.stdout


def test_following_outlasts_an_api_server_that_restarts(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubestudy.cli.cluster._PAUSE", 0.01)
    source = ClusterSource(client, "lab")  # type: ignore[arg-type]
    found = source.study("grid")
    client.failures = [ApiError(0, "Unreachable", "x"), ApiError(503, "X", "starting")]
    *_, last = source.follow(found)
    assert last.study.ended
    assert [t.spec.index for t in last.trials] == [0, 1]


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [
        (ApiError(0, "Unreachable", "refused"), 1, "the cluster does not answer: refused"),
        (ApiError(403, "Forbidden", "may not list"), 1, "the cluster refused: may not list; ask"),
        (ApiError(401, "Unauthorized", "Unauthorized"), 1, "Unauthorized; it does not know you"),
        (ApiError(503, "", "starting"), 1, "starting; it has a trouble of its own (status 503)"),
        (ApiError(404, "NotFound", "404 page"), 1, "this cluster does not know Studies"),
    ],
)
def test_refusals_are_worded(
    failure: ApiError, code: int, told: str, client: FakeClient, invoke: Invoke
) -> None:
    client.failures = [failure]
    result = invoke("get")
    assert result.exit_code == code
    assert told in result.stderr


def test_a_missing_study_and_a_missing_cluster(
    client: FakeClient, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = invoke("top", "gird")
    assert missing.exit_code == 3
    assert "there is no 'gird' in namespace lab; did you mean grid?" in missing.stderr

    def nothing(*_: Any) -> None:
        raise ConfigException("no configuration")

    monkeypatch.setattr("kubestudy.cli.cluster.KubeClient.connect", nothing)
    assert "no cluster to talk to" in invoke("top", "grid").stderr


@pytest.mark.usefixtures("client")
def test_a_mistyped_name_is_looked_for_in_both_places(invoke: Invoke) -> None:
    for name in ("local", "other"):
        folder = Path("results") / name
        folder.mkdir(parents=True)
        (folder / "study.yaml").write_text(GRID)
    told = "there is no 'lcoal' in namespace lab or results/; did you mean local?"
    assert told in invoke("top", "lcoal").stderr
    assert "did you mean grid-1?" in invoke("logs", "gird-1").stderr


def test_a_name_like_one_of_the_folder_is_meant_where_the_cluster_does_not_answer(
    client: FakeClient, invoke: Invoke
) -> None:
    folder = Path("results/local")
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(GRID)
    down = ApiError(0, "Unreachable", "connection refused")

    def refused(*_: Any) -> None:
        raise down

    client.get = refused  # type: ignore[method-assign,assignment]
    meant = invoke("best", "lcoal")
    assert (meant.exit_code, "did you mean local?" in meant.stderr) == (3, True)
    other = invoke("best", "mrpc")
    assert other.exit_code == 1
    assert "the cluster does not answer: connection refused; is it the right one" in other.stderr


@pytest.mark.parametrize("text", ["just text", "[1, 2]", "a: [", "\udcff"])
def test_a_kubeconfig_that_is_none_is_told(text: str, invoke: Invoke) -> None:
    Path("config").write_bytes(text.encode(errors="surrogateescape"))
    result = invoke("get", "--kubeconfig", "config")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr or "no cluster to talk to" in result.stderr
    controller = invoke("controller", "--kubeconfig", "config")
    assert (controller.exit_code, controller.stderr) == (1, result.stderr)
    missing = invoke("get", "--kubeconfig", "none")
    assert "none: there is no such kubeconfig file" in missing.stderr


def test_one_odd_study_hides_none_of_the_others(client: FakeClient, invoke: Invoke) -> None:
    odd, deep = study(done=False), study(done=False)
    odd["status"]["fancy"] = 1
    odd["metadata"]["name"] = "odd"
    deep["metadata"]["name"] = "deep"
    deep["spec"]["x"] = json.loads("[" * 100 + "]" * 100)
    client.objects[STUDIES] += [odd, deep]
    result = invoke("get")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "grid"]
    assert "lab/odd is left out" in result.stderr
    assert "lab/deep is left out" in result.stderr


def test_an_object_of_another_version_is_told(client: FakeClient, invoke: Invoke) -> None:
    client.objects[STUDIES][0]["status"]["fancy"] = 1
    result = invoke("get")
    assert result.exit_code == 1
    assert "another version of kubestudy" in result.stderr
