"""What was pushed, when the Job is gone, the process ends, or there is too much of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from kubestudy.api.base import ANNOTATION_PUSHED, LABEL_RUN
from kubestudy.api.study import Study
from kubestudy.core.facts import RunKey, RunState
from kubestudy.core.failures import Remedy, judge
from kubestudy.core.pushed import Pushed
from kubestudy.runtime import push_inbox, pushed
from kubestudy.runtime.cache import Cache, Key
from kubestudy.runtime.client import ApiError, Object
from kubestudy.runtime.push_inbox import PushInbox, Sender
from kubestudy.runtime.pushed import PushedReports
from kubestudy.sources.push import read_post, take
from kubestudy.workloads.job import build as job_of
from kubestudy.workloads.pod_template import JobSettings
from kubestudy.workloads.pushing import PushSettings, token_of
from tests.unit import build

TOKEN = "t" * 43
FROM_POD = Sender(TOKEN, "10.0.0.1")
SETTINGS = JobSettings(push=PushSettings("http://kubestudy-push:8090"))
POST = b'{"trainerStatus": {"metrics": [{"name": "accuracy", "value": "0.5"}]}}'
GONE = ApiError(404, "NotFound", 'jobs "demo-0-0-0-0" not found')


def of_study() -> Study:
    return build.study(metrics=[{"type": "Push"}])


def job(index: int = 0) -> Object:
    name = f"demo-{index}"
    made = job_of(of_study(), build.trial(index), RunKey(name), SETTINGS, TOKEN)
    report = Pushed.nothing(of_study().spec)
    made["metadata"]["annotations"] |= {ANNOTATION_PUSHED: report.text()}
    made["metadata"] |= {"resourceVersion": "1", "uid": f"job-{index}"}
    return made


class Jobs:
    """An API server that has Jobs, answers slowly, or not at all."""

    def __init__(self, *jobs: Object, refuses: ApiError | None = None, takes: float = 0.0) -> None:
        self.jobs = {j["metadata"]["name"]: j for j in jobs}
        self.refuses, self.takes, self.stored = refuses, takes, 0

    def get(self, _: object, __: str, name: str) -> Object:
        if name not in self.jobs:
            raise GONE
        return self.jobs[name]

    def patch(self, _: object, __: str, name: str, body: Object) -> Object:
        time.sleep(self.takes)
        if self.refuses is not None:
            raise self.refuses
        self.stored += 1
        return self.jobs[name]

    def hasty(self, _: float) -> Jobs:
        return self


def posted(inbox: PushInbox, index: int) -> HTTPStatus:
    return inbox.take(("team", f"demo-{index}-0-0-0"), "pod", FROM_POD, POST)


def test_the_token_is_the_one_of_the_job() -> None:
    assert token_of(job()) == TOKEN


@pytest.fixture
def reader() -> tuple[PushedReports, Cache[Object], Cache[Object], Jobs]:
    def key(obj: Object) -> Key:
        return obj["metadata"]["namespace"], "demo"

    jobs: Cache[Object] = Cache(lambda o: o, key)
    pods: Cache[Object] = Cache(lambda o: o, key)
    client: Any = Jobs()
    return PushedReports(client, jobs, pods, lambda _: True, lambda *_: None), jobs, pods, client


def pod(ended: bool, version: int) -> Object:
    state = {"terminated": {"exitCode": 143}} if ended else {"running": {}}
    return {
        "metadata": {
            "name": "pod",
            "namespace": "team",
            "uid": "pod",
            "resourceVersion": str(version),
            "labels": {LABEL_RUN: "demo-0-0-0-0"},
        },
        "spec": {"containers": [{"name": "trial"}]},
        "status": {
            "phase": "Failed" if ended else "Running",
            "containerStatuses": [{"name": "trial", "state": state}],
        },
    }


def test_what_was_pushed_outlives_a_job_that_was_deleted(
    reader: tuple[PushedReports, Cache[Object], Cache[Object], Jobs],
) -> None:
    reports, jobs, pods, _ = reader
    told = Pushed.nothing(of_study().spec).by("pod")
    post = read_post(POST)
    assert post is not None and take(told, post)
    kept = job()
    kept["metadata"]["annotations"][ANNOTATION_PUSHED] = told.text()
    jobs.put(kept)
    pods.put(pod(ended=False, version=1))
    reports.pod_changed(pod(ended=False, version=1))
    running = reports.report("pod")
    assert running is not None and running.metrics["accuracy"].latest == 0.5
    jobs.remove(kept)
    pods.put(pod(ended=True, version=2))
    ended = reports.report("pod")  # the API server says that there is no such Job
    assert ended is not None and ended.complete
    assert ended.metrics["accuracy"].latest == 0.5


def test_where_a_deleted_job_took_all_with_it_that_is_no_fault_of_the_trial(
    reader: tuple[PushedReports, Cache[Object], Cache[Object], Jobs],
) -> None:
    reports, _, pods, _ = reader
    pods.put(pod(ended=True, version=1))
    reports.pod_changed(pod(ended=True, version=1))
    ended = reports.report("pod")
    assert ended is not None and ended.complete
    facts = build.facts(state=RunState.SUCCEEDED)
    assert judge(facts, ended, ["accuracy"]).remedy == Remedy.RETRY


def test_a_pod_that_is_gone_is_not_remembered(
    reader: tuple[PushedReports, Cache[Object], Cache[Object], Jobs],
) -> None:
    reports, _, _, _ = reader
    reports.pod_changed(pod(ended=True, version=1))
    assert not reports._keys


def test_the_end_is_waited_for_longer_than_a_post_is_held() -> None:
    assert pushed.LATE > push_inbox.STORE_EVERY


def test_an_api_server_that_does_not_answer_holds_nobody_up_at_the_end() -> None:
    jobs = [job(i) for i in range(4)]
    client: Any = Jobs(*jobs)
    inbox = PushInbox(client)
    for i in range(4):
        assert posted(inbox, i) == HTTPStatus.OK
        assert posted(inbox, i) == HTTPStatus.ACCEPTED
    asked: list[str] = []

    def silent(_: object, __: str, name: str, ___: Object) -> Object:
        asked.append(name)
        raise ApiError(0, "Unreachable", "no answer")

    client.patch = silent
    more: Callable[[bytes], bytes] = lambda v: POST.replace(b"0.5", v)  # noqa: E731
    for i in range(4):
        inbox.take(("team", f"demo-{i}-0-0-0"), "pod", FROM_POD, more(b"0.75"))
    inbox.stop()
    assert len(asked) == 1


def test_a_run_whose_post_is_held_is_not_forgotten_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push_inbox, "KNOWN", 2)
    client: Any = Jobs(*[job(i) for i in range(4)], refuses=ApiError(503, "Unavailable", "later"))
    inbox = PushInbox(client)
    assert posted(inbox, 0) == posted(inbox, 1) == HTTPStatus.SERVICE_UNAVAILABLE  # both are held
    assert posted(inbox, 2) == HTTPStatus.SERVICE_UNAVAILABLE
    held = {name for (_, name), run in inbox._runs.items() if run.posts}
    assert held == {"demo-0-0-0-0", "demo-1-0-0-0"} == {name for _, name in inbox._runs}


def test_late_posts_of_a_pod_do_not_undo_those_of_its_successor() -> None:
    told = Pushed.nothing(of_study().spec)
    for uid, value in (("old", b"0.5"), ("new", b"0.9")):
        told = told.by(uid)
        post = read_post(POST.replace(b"0.5", value))
        assert post is not None and take(told, post)
    kept = job()
    kept["metadata"]["annotations"][ANNOTATION_PUSHED] = told.text()
    client: Any = Jobs(kept)
    late = PushInbox(client)
    key = ("team", "demo-0-0-0-0")
    assert late.take(key, "old", FROM_POD, POST.replace(b"0.5", b"0.6")) == HTTPStatus.OK
    assert client.stored == 0
    assert not late._runs[key].posts
    assert late.take(key, "new", FROM_POD, POST.replace(b"0.5", b"0.95")) == HTTPStatus.OK
    assert client.stored == 1
