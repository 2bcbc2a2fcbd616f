"""The dashboard: Studies as Optuna has them, in a real browser; nothing can be changed there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.cli.folder import FolderSource
from kubestudy.dashboard.app import Dashboard, Unreadable
from kubestudy.dashboard.optuna_studies import storage_of
from tests.cli.conftest import Shell
from tests.support.surroundings import give_up
from tests.support.waiting import until
from tests.testcluster import ClusterError, packages
from tests.unit import build


def finished(folder: Path) -> tuple[Study, list[Trial]]:
    source = FolderSource(folder / "results")
    study = source.study("grid")
    return study, source.trials(study)


def named(name: str) -> Study:
    metadata = {"name": name, "namespace": "lab", "uid": f"uid-of-{name}"}
    return Study.model_validate(build.study().to_json() | {"metadata": metadata})


def ids(storage: Any) -> dict[str, int]:
    return {s.study_name: s._study_id for s in storage.get_all_studies()}


def test_a_study_is_the_same_in_optuna(finished_grid: Path) -> None:
    study, trials = finished(finished_grid)
    storage: Any = storage_of([(study, trials)], [])
    shown = storage.get_all_trials(ids(storage)["grid"])
    assert [t.user_attrs["trial"] for t in shown] == [t.metadata.name for t in trials]
    assert [t.params for t in shown] == [t.spec.parameters for t in trials]
    assert [t.value for t in shown] == [t.value("accuracy") for t in trials]
    assert {t.state.name for t in shown} == {"COMPLETE"}
    assert [t.datetime_complete for t in shown] == [
        t.status and t.status.completion_time for t in trials
    ]


def test_trials_in_every_state_can_be_shown() -> None:
    states = ["Pending", "Running", "Paused", "Succeeded", "Failed", "Stopped"]
    trials = [
        build.trial(i, state=state, value=0.5 if state in ("Succeeded", "Stopped") else None)
        for i, state in enumerate(states)
    ]
    storage: Any = storage_of([(build.study(), trials)], [])
    shown = storage.get_all_trials(0)
    expected = ["WAITING", "RUNNING", "RUNNING", "COMPLETE", "FAIL", "PRUNED"]
    assert [t.state.name for t in shown] == expected


def test_a_study_keeps_its_address_while_others_come_and_go() -> None:
    known: list[str] = []
    a, b, c = ((named(n), ()) for n in "abc")
    assert ids(storage_of([b, c], known)) == {"b": 0, "c": 1}
    assert ids(storage_of([a, b, c], known)) == {"b": 0, "c": 1, "a": 2}
    assert ids(storage_of([a, c], known)) == {"c": 1, "a": 2}
    assert ids(storage_of([a, b, c], known)) == {"b": 0, "c": 1, "a": 2}


def test_a_study_that_cannot_be_shown_hides_none_of_the_others() -> None:
    odd = build.trial(0, {"unknown": 0.1}, state="Running")
    a, b, c = (named(n) for n in "abc")
    assert ids(storage_of([(a, []), (b, [odd]), (c, [])], [])) == {"a": 0, "c": 2}


def answer(
    app: Dashboard, path: str = "/api/studies", method: str = "GET", host: str = "localhost:8081"
) -> tuple[str, str]:
    told: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_HOST": host,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    body = app(environ, lambda status, headers, *_: told.append(status))  # type: ignore[arg-type, return-value]
    return told[0], b"".join(body).decode()


@pytest.mark.parametrize(
    ("host", "status"),
    {
        "localhost": "200 OK",
        "LOCALHOST:9000": "200 OK",
        "127.0.0.1:8081": "200 OK",
        "[::1]:8081": "200 OK",
        "[::1]": "200 OK",
        "studies.example.com": "200 OK",
        "studies.example.com.:443": "200 OK",
        "evil.example.com:8081": "421 Misdirected Request",
        "localhost.evil.example.com": "421 Misdirected Request",
        "": "421 Misdirected Request",
    }.items(),
)
def test_a_page_elsewhere_cannot_read_it_by_a_name_of_its_own(host: str, status: str) -> None:
    app = Dashboard(list, hosts=["studies.example.com"])
    assert answer(app, host=host)[0] == status


def test_what_is_shown_is_read_anew_after_a_while() -> None:
    now, studies = [0.0], [(named("a"), ())]
    app = Dashboard(lambda: studies, fresh_for=5, clock=lambda: now[0])
    assert json.loads(answer(app)[1])["study_summaries"][0]["study_name"] == "a"
    studies.append((named("b"), ()))
    assert len(json.loads(answer(app)[1])["study_summaries"]) == 1
    now[0] = 5
    assert len(json.loads(answer(app)[1])["study_summaries"]) == 2


def test_what_cannot_be_read_is_told_and_tried_again() -> None:
    refusals = [Unreadable("the cluster does not answer")]

    def read() -> list[tuple[Study, tuple[()]]]:
        if refusals:
            raise refusals.pop()
        return [(named("a"), ())]

    app = Dashboard(read)
    assert answer(app) == ("503 Service Unavailable", "the cluster does not answer\n")
    assert answer(app)[0] == "200 OK"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    app = Dashboard(lambda: [(named("a"), ())])
    assert answer(app, "/api/studies/0", method)[0] == "405 Method Not Allowed"
    assert len(json.loads(answer(app)[1])["study_summaries"]) == 1


@pytest.fixture
def address(finished_grid: Path) -> Iterator[str]:
    """Where a dashboard of the finished Study answers."""
    shell = Shell.__new__(Shell)
    shell.folder, shell._children = finished_grid, []
    shell.environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = shell.start("dashboard", "--port=0")
    assert process.stdout
    yield process.stdout.readline().split()[0]
    process.terminate()
    process.communicate()


def test_it_is_served(address: str) -> None:
    with urllib.request.urlopen(f"{address.removesuffix('/dashboard')}/api/studies/0") as response:
        assert len(json.load(response)["trials"]) == 18
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(address, method="DELETE"))
    assert refused.value.code == 405


@pytest.mark.timeout(300)
def test_a_browser_shows_it(address: str, tmp_path: Path) -> None:
    if reason := packages.unavailable(packages.BROWSER):
        give_up(reason)
    try:
        packages.install(packages.BROWSER)
    except ClusterError as error:
        give_up(str(error))

    def page(path: str) -> str:
        return subprocess.run(
            [
                *(shutil.which("chromium") or "", "--headless", "--no-sandbox", "--disable-gpu"),
                *("--disable-quic", "--no-first-run", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync"),
                *(f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"),
                f"{address}{path}",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    until(lambda: page("/"), lambda dom: "0. grid<" in dom, what="the list of Studies", timeout=60)
    until(
        lambda: page("/studies/0/trials"),
        lambda dom: "18 Trials" in dom and "Complete" in dom,
        what="the list of trials",
        timeout=60,
    )


def test_what_is_wrong_is_told_before_anything_is_served(shell: Shell) -> None:
    done = shell("dashboard", "--results", "results", "nothing")
    assert done.code == 3
    assert "nothing" in done.err


def test_a_port_that_is_taken_is_told(address: str, shell: Shell) -> None:
    port = address.rsplit(":", 1)[1].split("/")[0]
    (shell.folder / "results").mkdir()
    done = shell("dashboard", "--results", "results", f"--port={port}")
    assert done.code == 1
    assert f"port {port}" in done.err and "--port" in done.err


def test_a_probe_reads_nothing() -> None:
    def read() -> list[tuple[Study, tuple[()]]]:
        raise AssertionError("nobody looks")

    assert answer(Dashboard(read), "/healthz") == ("200 OK", "ok\n")
