"""What transformers' ``KubeflowCallback`` posts, and what is kept of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.core.facts import RunKey
from kubestudy.core.pushed import Pushed
from kubestudy.core.reports import Observation, RunReport
from kubestudy.sources.preference import preferred
from kubestudy.sources.push import Post, read_post, take
from kubestudy.workloads.job import build
from kubestudy.workloads.pod_template import JobSettings
from kubestudy.workloads.pushing import PushSettings, token_of
from tests.unit.build import study, trial

OBJECTIVES = [{"metric": "eval_accuracy", "direction": "Maximize"}]
SPEC = study(objectives=OBJECTIVES).spec
RUNGS = study(
    objectives=OBJECTIVES,
    algorithm={"type": "ASHA", "resource": {"name": "num_train_epochs", "min": 1, "max": 9}},
).spec
POD = "pod-uid"


def body(progress: Any = 40, **metrics: Any) -> bytes:
    listed = [{"name": k, "value": v if isinstance(v, str) else str(v)} for k, v in metrics.items()]
    status = {"lastUpdatedTime": "2026-01-01T00:00:00+00:00", "progressPercentage": progress}
    return json.dumps({"trainerStatus": status | {"metrics": listed}}).encode()


def post(progress: int = 40, **metrics: Any) -> Post:
    found = read_post(body(progress, **metrics))
    assert found is not None
    return found


def after(*posts: Post, spec: Any = SPEC) -> tuple[Pushed, list[bool]]:
    pushed = Pushed.nothing(spec).by(POD)
    return pushed, [take(pushed, p) for p in posts]


# Reading.


def test_numbers_are_read_exactly_and_the_last_post_is_known() -> None:
    accuracy = 0.8030999999999999
    assert post(eval_accuracy=accuracy, loss=1e-05, total_steps=12) == Post(
        {"eval_accuracy": accuracy, "loss": 1e-05, "total_steps": 12}, final=False
    )
    assert post(100).final


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"trainerStatus": []}',
        b'{"trainerStatus": {"metrics": {"accuracy": 1}}}',
        b'{"a":' * 20_000,
        b'{"trainerStatus": ' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_post_is_refused(garbage: bytes) -> None:
    assert read_post(garbage) is None


@pytest.mark.parametrize(
    "value", ["", "high", "True", "1_0", "9" * 65, None, True, [], {}, "0.5; rm"]
)
def test_what_is_no_number_is_passed_over(value: Any) -> None:
    metrics = [{"name": "a", "value": value}, {"name": "b", "value": "1"}, "c", {"value": "2"}]
    found = read_post(json.dumps({"trainerStatus": {"metrics": metrics}}).encode())
    assert found == Post({"b": 1.0}, final=False)


@given(st.binary() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_whatever_is_posted_reading_it_ends(text: bytes | str) -> None:
    read_post(text if isinstance(text, bytes) else text.encode())


# Taking.


def test_a_post_that_says_what_was_said_before_is_no_news() -> None:
    first = post(eval_accuracy=0.5, eval_runtime=1.25, epoch=1.0)
    again = post(eval_accuracy=0.5, eval_runtime=1.25, epoch=1.4, loss=0.3)
    pushed, news = after(first, again)
    assert news == [True, False]
    track = pushed.report.metrics["eval_accuracy"]
    assert (track.count, track.step) == (1, 1.0)


def test_the_same_value_of_another_evaluation_counts_again() -> None:
    pushed, news = after(
        post(eval_accuracy=0.5, eval_runtime=1.25, epoch=1.0),
        post(eval_accuracy=0.5, eval_runtime=1.31, epoch=2.0),
    )
    assert news == [True, True]
    assert pushed.report.metrics["eval_accuracy"].count == 2
    assert [p.step for p in pushed.report.curve] == [1.0, 2.0]


def test_steps_and_epochs_are_no_metrics() -> None:
    pushed, _ = after(post(eval_accuracy=0.5, epoch=1.5, current_epoch=1.52, current_step=30))
    assert set(pushed.report.metrics) == {"eval_accuracy"}
    (point,) = pushed.report.curve
    assert point.step == 1.5


def test_the_last_post_is_news_though_it_brings_no_value() -> None:
    values = {"eval_accuracy": 0.5, "eval_runtime": 1.25}
    pushed, news = after(post(**values), post(100, **values), post(100, **values))
    assert news == [True, True, False]
    assert pushed.final


def test_a_second_training_of_the_same_program_has_its_own_end() -> None:
    pushed, _ = after(post(100, eval_accuracy=0.5), post(0, total_steps=12))
    assert not pushed.final


def test_a_value_that_is_not_a_number_counts_where_it_means_that() -> None:
    pushed, news = after(post(grad_norm="nan", eval_accuracy=0.5), post(eval_accuracy="nan"))
    assert news == [True, True]
    assert pushed.report.not_finite is not None
    name, value, _ = pushed.report.not_finite
    assert name == "eval_accuracy"
    assert math.isnan(value)
    assert take(pushed, post(eval_accuracy="nan")) is False


def test_the_number_of_metrics_is_bounded() -> None:
    many = post(**{f"m{i}": 1 for i in range(2000)})
    assert len(many.numbers) == 256
    pushed, _ = after(many, post(eval_accuracy=0.5))
    assert len(pushed.report.metrics) == 65
    assert "eval_accuracy" in pushed.report.metrics


def test_rungs_are_reached_by_epoch() -> None:
    pushed, _ = after(
        post(eval_accuracy=0.5, epoch=1.0), post(eval_accuracy=0.7, epoch=3.0), spec=RUNGS
    )
    assert {level: t.latest for level, t in pushed.report.rungs.items()} == {1: 0.5, 3: 0.7}


# Storing.


def test_what_is_stored_is_all_that_is_known() -> None:
    posts = [post(eval_accuracy=i / 300, epoch=i / 10, loss=1 / (i + 1)) for i in range(300)]
    pushed, _ = after(*posts, post(eval_loss="inf"), spec=RUNGS)
    read = Pushed.read(pushed.text())
    assert read == pushed
    take(pushed, posts[7])
    assert read is not None
    take(read, posts[7])
    assert read == pushed
    assert len(pushed.text()) < 32_000


@given(st.lists(st.dictionaries(st.text(max_size=128), st.floats(), max_size=80), max_size=5))
def test_the_text_stays_far_below_what_an_object_can_hold(
    reports: list[dict[str, float]],
) -> None:
    pushed, _ = after(*[post(**{"eval_accuracy": 0.5, **r}) for r in reports])
    assert Pushed.read(pushed.text()) is not None
    assert len(pushed.text()) < 128 * 1024


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"report": 1}'])
def test_a_text_that_says_nothing_is_none(text: str | None) -> None:
    assert Pushed.read(text) is None


def test_another_pod_of_the_run_begins_anew() -> None:
    pushed, _ = after(post(100, eval_accuracy=0.5), spec=RUNGS)
    assert pushed.by(POD) is pushed
    new = Pushed(RunReport.empty(RUNGS), pushed.resource, "another", before=[POD])
    assert pushed.by("another") == new


# Preferring.


def reported(value: float | None, *, cut_off: bool = False, complete: bool = True) -> RunReport:
    report = RunReport.of(["eval_accuracy"])
    if value is not None:
        report.add(Observation({"eval_accuracy": value}))
    report.complete, report.cut_off = complete, cut_off
    return report


@pytest.mark.parametrize(
    ("push", "log", "value", "cut_off"),
    [
        (reported(0.81234), reported(0.8123), 0.81234, False),
        (reported(0.4, cut_off=True), reported(0.8123), 0.8123, False),
        (reported(0.4, cut_off=True), reported(None), 0.4, True),
        (reported(None, cut_off=True), reported(0.8123), 0.8123, False),
    ],
)
def test_a_push_whose_end_is_lost_gives_way_to_the_log(
    push: RunReport, log: RunReport, value: float, cut_off: bool
) -> None:
    merged = preferred([push, log], {"eval_accuracy"})
    assert merged is not None
    assert merged.metrics["eval_accuracy"].latest == value
    assert merged.cut_off is cut_off
    assert not log.cut_off


def test_the_log_is_waited_for_where_the_end_of_the_push_is_lost() -> None:
    reports = [reported(0.4, cut_off=True), reported(0.3, complete=False)]
    merged = preferred(reports, {"eval_accuracy"})
    assert merged is not None
    assert not merged.complete


# Building.

PUSH = JobSettings(push=PushSettings("https://push.example:8090/"))


def built(settings: JobSettings = PUSH, source: str = "Push") -> dict[str, Any]:
    asked = study(metrics=[{"type": source}])
    return build(asked, trial(), RunKey("demo-0"), settings, "secret")


def test_the_callbacks_variables_and_the_token_are_that_runs_alone() -> None:
    job = built()
    pod = job["spec"]["template"]["spec"]
    env = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
    url = "https://push.example:8090/v1/runs/team/demo-0-0-0-0/$(KUBESTUDY_POD_UID)"
    assert env["KUBEFLOW_TRAINER_SERVER_URL"] == url
    names = list(env)
    before, after = "KUBESTUDY_POD_UID", "KUBEFLOW_TRAINER_SERVER_URL"
    assert names.index(before) < names.index(after), "the kubelet expands what came before"
    assert "KUBEFLOW_TRAINER_SERVER_CA_CERT" not in env
    (mount,) = pod["containers"][0]["volumeMounts"]
    (volume,) = pod["volumes"]
    (item,) = volume["downwardAPI"]["items"]
    assert env["KUBEFLOW_TRAINER_SERVER_TOKEN"] == f"{mount['mountPath']}/{item['path']}"
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    (name,) = [k for k in annotations if f"'{k}'" in item["fieldRef"]["fieldPath"]]
    assert annotations[name] == token_of(job) == "secret"
    assert "secret" not in json.dumps(pod)
    pushed = job["metadata"]["annotations"]["kubestudy.dev/pushed"]
    assert Pushed.read(pushed) == Pushed.nothing(study().spec)


def test_the_certificates_to_trust_come_in_the_same_way() -> None:
    job = built(JobSettings(push=PushSettings("https://push.example", "PEM")))
    container = job["spec"]["template"]["spec"]["containers"][0]
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert env["KUBEFLOW_TRAINER_SERVER_CA_CERT"] == "/kubestudy/push/ca.crt"
    assert "PEM" in job["spec"]["template"]["metadata"]["annotations"].values()


@pytest.mark.parametrize(("settings", "source"), [(JobSettings(), "Push"), (PUSH, "Logs")])
def test_without_push_there_is_nothing_of_it(settings: JobSettings, source: str) -> None:
    text = json.dumps(built(settings, source))
    assert "KUBEFLOW" not in text
    assert "secret" not in text
    assert "pushed" not in text


@pytest.mark.parametrize("url", ["", "push:8090", "ftp://push", "http://", "http://push?x=1"])
def test_the_endpoints_address_is_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="no http or https URL"):
        PushSettings(url)
