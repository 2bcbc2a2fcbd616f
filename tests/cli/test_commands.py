"""The commands that read and change a results folder."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from kubestudy.api.manifests import load
from kubestudy.api.trial import Trial
from kubestudy.api.validation import parse_study
from tests.cli.conftest import Invoke, invoke_here


@pytest.fixture
def here(finished_grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs commands in a copy of a folder with results of a Study named grid."""
    shutil.copytree(finished_grid / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return invoke_here


def test_get_lists_studies(here: Invoke) -> None:
    heading, row = here("get").stdout.splitlines()
    assert " ".join(heading.split()) == (
        "NAME STATE TRIALS RUNNING FAILED OBJECTIVE BEST BEST-TRIAL LEFT AGE"
    )
    assert " ".join(row.split()).startswith(
        "grid SearchSpaceExhausted 18/18 0 0 accuracy 0.325 grid-5 - "
    )
    assert heading.index("STATE") == row.index("SearchSpace")


def test_get_gives_objects_as_the_api_has_them(here: Invoke) -> None:
    study = parse_study(load(here("get", "grid", "-o", "yaml").stdout))
    assert study.status and study.status.progress == "18/18"
    trial = Trial.model_validate_json(here("get", "grid-7", "-o", "json").stdout)
    assert trial.spec.index == 7
    assert here("get", "-o", "name").stdout == "study/grid\n"
    assert json.loads(here("get", "-o", "json").stdout)["kind"] == "List"
    assert "grid-7" in here("get", "grid-7").stdout


def test_top_ranks_trials(here: Invoke) -> None:
    lines = here("top", "grid").stdout.splitlines()
    heading = ["TRIAL", "RANK", "STATE", "ACCURACY", "LR", "BATCH", "EPOCHS", "DURATION"]
    assert lines[0].split() == heading
    assert [line.split()[1] for line in lines[1:6]] == ["1", "1", "1", "4", "4"]
    assert [line.split()[0] for line in lines[1:4]] == ["grid-5", "grid-11", "grid-17"]
    assert len(lines) == 19
    limited = here("top", "grid", "--limit", "3")
    assert len(limited.stdout.splitlines()) == 4
    assert "15 more trials" in limited.stderr


def test_best_gives_what_one_pastes(here: Invoke) -> None:
    assert here("best", "grid", "-o", "args").stdout == "--lr=1.0e-05 --batch=32 --epochs=5\n"
    told = here("best", "grid").stdout
    assert "grid-5 is the best trial of grid" in told and "accuracy   0.325" in told
    data = json.loads(here("best", "grid", "-o", "json").stdout)
    assert data["parameters"] == {"lr": 1e-05, "batch": 32, "epochs": 5}
    assert load(here("best", "grid", "-o", "yaml").stdout) == data


def test_arguments_are_quoted_for_the_shell(here: Invoke) -> None:
    file = Path("results/grid/study.yaml")
    study = load(file.read_text())
    study["spec"]["parameters"][0] = {"name": "lr", "choices": ["it's $(HOME)\n; rm -rf /"]}
    study["status"]["best"]["parameters"]["lr"] = "it's $(HOME)\n; rm -rf /"
    file.write_text(json.dumps(study))
    words = shlex.split(here("best", "grid", "-o", "args").stdout)
    assert words == ["--lr=it's $(HOME)\n; rm -rf /", "--batch=32", "--epochs=5"]
    assert "\x1b" not in here("describe", "grid").stdout


def test_describe_tells_everything(here: Invoke) -> None:
    told = here("describe", "grid").stdout
    for part in (
        "Where:       results/grid",
        "Objective:   maximize accuracy",
        "Progress:    18/18: 18 succeeded",
        "  lr       1.0e-05, 2.0e-05, 5.0e-05",
        "Best:        grid-5 with accuracy 0.325",
        "Conditions:",
        "SearchSpaceExhausted",
        "Events:",
        "NewBest",
    ):
        assert part in told
    trial = here("describe", "grid-4").stdout
    for part in ("State:       Succeeded: Completed", "batch    32", "grid-4-0-0-0", "Metrics:"):
        assert part in trial


def test_logs_of_a_trial_and_of_a_study(here: Invoke) -> None:
    assert here("logs", "grid-5").stdout == "accuracy=0.325\n"
    assert re.fullmatch(r"accuracy=0\.\d+\n", here("logs", "grid").stdout)
    assert here("logs", "-f", "grid-5").stdout == "accuracy=0.325\n"


def test_export_writes_all_of_it(here: Invoke) -> None:
    rows = list(csv.DictReader(io.StringIO(here("export", "grid").stdout)))
    assert len(rows) == 18
    assert rows[5]["trial"] == "grid-5" and rows[5]["parameters.lr"] == "1.0e-05"
    assert rows[5]["objectives.accuracy"] == "0.325" and rows[5]["state"] == "Succeeded"
    records = [
        json.loads(line) for line in here("export", "grid", "-o", "jsonl").stdout.splitlines()
    ]
    assert [r["index"] for r in records] == list(range(18))
    assert records[0]["parameters.batch"] == 16


def test_watch_of_an_ended_study_tells_its_end(here: Invoke) -> None:
    result = here("watch", "grid")
    assert result.exit_code == 0
    assert "Best: grid-5 with accuracy 0.325" in result.stdout


def test_suspend_and_resume_change_the_spec(here: Invoke) -> None:
    assert here("suspend", "grid").stdout == "grid suspended\n"
    study = load(Path("results/grid/study.yaml").read_text())
    assert study["spec"]["suspend"] is True and study["metadata"]["generation"] == 2
    assert here("suspend", "grid").stdout == "grid is suspended already\n"
    assert here("resume", "grid").stdout == "grid resumed\n"


def test_delete_asks_or_wants_yes(here: Invoke) -> None:
    refused = here("delete", "grid")
    assert refused.exit_code == 2
    assert "the Study grid in results/grid with its 18 trials" in refused.stderr
    assert Path("results/grid").exists()
    assert here("delete", "grid", "--yes").stdout == "grid deleted\n"
    assert not Path("results/grid").exists()


@pytest.mark.parametrize("command", ["get", "top", "best", "describe", "logs", "watch", "export"])
def test_an_unknown_study_ends_with_3(command: str, here: Invoke) -> None:
    result = here(command, "gird", "--results", "results")
    assert result.exit_code == 3
    assert "did you mean grid?" in result.stderr
    assert here(command, "grid-99", "--results", "results").exit_code == 3


@pytest.mark.parametrize(
    ("command", "name", "meant"),
    [
        *((c, "gird", "grid") for c in ("get", "watch", "top", "best", "describe", "logs")),
        *((c, "gird", "grid") for c in ("export", "suspend", "resume", "delete", "dashboard")),
        *((c, "gird-3", "grid-3") for c in ("get", "describe", "logs")),
        *((c, "grid-3", "grid") for c in ("best", "top", "suspend")),
    ],
)
def test_a_mistyped_name_is_told_what_was_meant_without_a_cluster(
    command: str, name: str, meant: str, here: Invoke
) -> None:
    result = here(command, name)
    assert result.exit_code == 3
    assert result.stderr == (f"error: there is no {name!r} in results/; did you mean {meant}?\n")


def test_a_name_like_no_other_is_told_which_there_are(here: Invoke) -> None:
    assert "there is no 'bert' in results/; there is grid\n" in here("top", "bert").stderr
    nothing = here("top", "bert", "--results", "nowhere")
    assert nothing.exit_code == 3
    assert "in nowhere/ (there is no such folder), and no Study at all" in nothing.stderr


def change_status(**fields: object) -> None:
    """Edits the status of the Study in results/grid."""
    file = Path("results/grid/study.yaml")
    study = load(file.read_text())
    study["status"] = {k: v for k, v in (study["status"] | fields).items() if v is not None}
    file.write_text(json.dumps(study))


def test_best_says_why_there_is_none_and_what_to_type(here: Invoke) -> None:
    change_status(best=None, trials={"created": 18, "succeeded": 2, "failed": 16})
    none_feasible = here("best", "grid")
    assert none_feasible.exit_code == 3
    assert "none is feasible: of the 2 trials of grid that succeeded, none" in none_feasible.stderr
    assert none_feasible.stderr.endswith("Next:  kubestudy top grid\n")
    change_status(trials={"created": 3, "running": 3}, conditions=[])
    at_work = here("best", "grid")
    assert at_work.exit_code == 3
    assert "no trial of grid has succeeded yet; 3 are at work" in at_work.stderr
    assert at_work.stderr.endswith("Next:  kubestudy watch grid\n")
    shutil.rmtree("results/grid/trials")
    Path("results/grid/trials").mkdir()
    assert "grid has no trials yet" in here("best", "grid").stderr


def test_an_unknown_trial_is_told_its_neighbours(here: Invoke) -> None:
    result = here("describe", "grid-99")
    assert result.exit_code == 3
    assert "there is no 'grid-99' in results/grid; did you mean grid-9" in result.stderr


def test_no_cluster_and_no_results_is_told(invoke: Invoke) -> None:
    result = invoke("get")
    assert result.exit_code == 1
    assert "no cluster to talk to" in result.stderr


def test_broken_results_are_told(here: Invoke) -> None:
    Path("results/grid/trials/grid-3.yaml").write_text("spec: [1\n")
    result = here("top", "grid")
    assert result.exit_code == 1
    assert "cannot be read: results/grid/trials/grid-3.yaml: line 2" in result.stderr


def test_the_time_at_a_rung_is_no_part_of_a_trials_duration(here: Invoke, tmp_path: Path) -> None:
    """Two runs of 60 s with an hour between them: paused at a rung, then gone on with."""
    file = tmp_path / "results" / "grid" / "trials" / "grid-0.yaml"
    document = yaml.safe_load(file.read_text())
    times = [("10:00:00", "10:01:00"), ("11:01:00", "11:02:00")]
    document["status"] |= {
        "startTime": "2026-01-01T10:00:00Z",
        "completionTime": "2026-01-01T11:02:00Z",
        "runs": [
            {
                "job": f"grid-0-{rung}-0-0",
                "rung": rung,
                "outcome": "Succeeded",
                "startTime": f"2026-01-01T{start}Z",
                "completionTime": f"2026-01-01T{end}Z",
            }
            for rung, (start, end) in enumerate(times)
        ],
    }
    file.write_text(yaml.safe_dump(document))
    rows = list(csv.DictReader(io.StringIO(here("export", "grid").stdout)))
    assert rows[0]["durationSeconds"] == "120.0"
    assert "Duration:    2m" in here("describe", "grid-0").stdout
    document["status"]["runs"][0]["durationSeconds"] = 90  # another pod, before a suspension
    file.write_text(yaml.safe_dump(document))
    rows = list(csv.DictReader(io.StringIO(here("export", "grid").stdout)))
    assert rows[0]["durationSeconds"] == "150.0"
