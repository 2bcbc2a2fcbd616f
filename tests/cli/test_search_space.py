"""``kubestudy run`` with parameters that depend on others, constraints and trials to begin with."""

from __future__ import annotations

from typing import Any

from kubestudy.api.manifests import dump, load
from kubestudy.api.trial import Trial
from kubestudy.local.store import Folder
from tests.cli.conftest import Shell

STUDY = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: space}
spec:
  objectives:
    - {metric: score, direction: Maximize}
  parameters:
    - {name: momentum, values: [1, 5, 9], when: {parameter: optim, choices: [sgd]}}
    - {name: optim, choices: [sgd, adam]}
    - {name: lr, values: [1, 2]}
  parameterConstraints:
    - {expression: "momentum * lr < 18"}
  initialTrials:
    - {optim: adam, lr: 2}
  algorithm: {type: Grid}
  budget: {parallelism: 4}
  trial:
    command: [sh, -c, 'echo "said $0 $*"; echo "score=$KUBESTUDY_ATTEMPT"']
    args: ["--optim=${parameters.optim}", "--m=${parameters.momentum}", "--lr=${parameters.lr}"]
"""


def ran(shell: Shell, **spec: Any) -> tuple[Folder, list[Trial]]:
    """Runs the Study, with parts of its spec replaced."""
    study = load(STUDY)
    name = spec.pop("name", "space")
    study["metadata"]["name"] = name
    study["spec"] = {k: v for k, v in (study["spec"] | spec).items() if v is not None}
    (shell.folder / "study.yaml").write_text(dump(study))
    done = shell("run", "study.yaml", "--quiet")
    assert done.code == 0, done.err
    folder = Folder(shell.folder / "results" / name)
    return folder, folder.trials()


def ending(folder: Folder) -> tuple[str, str]:
    """How the Study ended, and why."""
    status = folder.study().status
    assert status is not None
    found = {c.type: c.reason for c in status.conditions or () if c.status == "True"}
    (state,) = {"Complete", "Failed"} & set(found)
    return state, found[state]


def said(folder: Folder, trial: Trial) -> str:
    log = next((folder.path / "logs").glob(f"{trial.metadata.name}-0-*.log"))
    return next(line for line in log.read_text().splitlines() if line.startswith("said"))


def test_each_feasible_configuration_runs_once_with_its_active_parameters(shell: Shell) -> None:
    folder, trials = ran(shell)
    assert [dict(t.spec.parameters) for t in trials] == [
        {"optim": "adam", "lr": 2},
        {"momentum": 1, "optim": "sgd", "lr": 2},
        {"momentum": 5, "optim": "sgd", "lr": 1},
        {"momentum": 5, "optim": "sgd", "lr": 2},
        {"momentum": 9, "optim": "sgd", "lr": 1},
        {"optim": "adam", "lr": 1},
        {"momentum": 1, "optim": "sgd", "lr": 1},
    ]
    assert said(folder, trials[0]) == "said --optim=adam --lr=2"
    assert said(folder, trials[1]) == "said --optim=sgd --m=1 --lr=2"
    assert ending(folder) == ("Complete", "SearchSpaceExhausted")


def test_without_a_feasible_point_the_study_fails(shell: Shell) -> None:
    study = load(STUDY)
    study["spec"] |= {
        "parameters": [{"name": "x", "min": 0, "max": 1}],
        "parameterConstraints": [{"expression": "x > 2", "message": "never"}],
        "algorithm": {"type": "Random"},
        "budget": {"maxTrials": 3},
    }
    del study["spec"]["initialTrials"]
    study["spec"]["trial"]["args"] = ["${parameters.x}"]
    (shell.folder / "study.yaml").write_text(dump(study))
    done = shell("run", "study.yaml", "--quiet")
    assert done.code != 0
    assert ending(Folder(shell.folder / "results/space")) == ("Failed", "NoFeasiblePoint")


def test_a_study_starts_from_another(shell: Shell) -> None:
    ran(shell, name="first")
    folder, trials = ran(
        shell,
        name="second",
        algorithm={"type": "TPE", "seed": 1, "settings": {"startupTrials": 5}},
        warmStart={"studies": ["first"]},
        initialTrials=None,
        budget={"parallelism": 1, "maxTrials": 2},
    )
    assert len(trials) == 2
    told = [e["message"] for e in folder.events() if e["reason"] == "WarmStarted"]
    assert told == ["7 trials are known from the start"]


def test_a_study_to_start_from_must_be_there(shell: Shell) -> None:
    study = load(STUDY)
    study["spec"] |= {"algorithm": {"type": "TPE"}, "warmStart": {"studies": ["nowhere"]}}
    (shell.folder / "study.yaml").write_text(dump(study))
    done = shell("run", "study.yaml")
    assert done.code == 2
    assert "spec.warmStart.studies[0]: there is no Study 'nowhere'" in done.err
