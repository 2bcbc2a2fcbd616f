"""Trials that would write one over the other are warned of, and input files are not."""

from __future__ import annotations

from typing import Any

import pytest

from kubestudy.local.sharing import MOST, shared_outputs
from tests.cli.conftest import Shell
from tests.unit.build import study

EACH = "--output_dir=out/$(KUBESTUDY_TRIAL)"


def script(text: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", text, "sh"]}


def train(*args: str) -> dict[str, Any]:
    return {"command": ["train"], "args": list(args)}


OF_A_TEMPLATE = {"name": "m", "image": "i", "command": ["train", "--output_dir=o"]}


@pytest.mark.parametrize(
    ("trial", "field", "instead"),
    [
        (train("--output_dir=out"), "args[0]", "--output_dir=out/$(KUBESTUDY_TRIAL)"),
        (train("--output_dir", "out"), "args[0]", "--output_dir out/$(KUBESTUDY_TRIAL)"),
        (train("--output-dir=/tmp/out/"), "args[0]", "--output-dir=/tmp/out/$(KUBESTUDY_TRIAL)"),
        (train("--save_dir=s"), "args[0]", "--save_dir=s/$(KUBESTUDY_TRIAL)"),
        (train("--logging_dir=logs"), "args[0]", "--logging_dir=logs/$(KUBESTUDY_TRIAL)"),
        (train("-o", "model.pt"), "args[0]", "-o model-$(KUBESTUDY_TRIAL).pt"),
        (train("--output=model.pt"), "args[0]", "--output=model-$(KUBESTUDY_TRIAL).pt"),
        (train("--checkpoint-path=c"), "args[0]", "--checkpoint-path=c/$(KUBESTUDY_TRIAL)"),
        (train("hydra.run.dir=o"), "args[0]", "hydra.run.dir=o/$(KUBESTUDY_TRIAL)"),
        (
            {**train(), "env": [{"name": "A", "value": "b"}, {"name": "OUTPUT_DIR", "value": "o"}]},
            "env[1].value",
            "OUTPUT_DIR=o/$(KUBESTUDY_TRIAL)",
        ),
        (
            script('python train.py --save_path best.pt "$@"'),
            "command[2]",
            "--save_path best-${KUBESTUDY_TRIAL}.pt",
        ),
        (
            script('python train.py "$@" > train.log 2>&1; tail -1 train.log'),
            "command[2]",
            "> train-${KUBESTUDY_TRIAL}.log",
        ),
        (script('train "$@" | tee log/all'), "command[2]", "tee log/all/${KUBESTUDY_TRIAL}"),
        (
            script('cd "$(mktemp -d)"; train --output_dir=/data/out "$@"'),
            "command[2]",
            "--output_dir=/data/out/${KUBESTUDY_TRIAL}",
        ),
        (
            {"template": {"spec": {"containers": [OF_A_TEMPLATE]}}},
            "template.spec.containers[0].command[1]",
            "--output_dir=o/$(KUBESTUDY_TRIAL)",
        ),
    ],
)
def test_a_fixed_place_to_write_to_is_warned_of(
    trial: dict[str, Any], field: str, instead: str
) -> None:
    (warning,) = shared_outputs(study(trial=trial).spec)
    assert warning.field == f"trial.{field}"
    assert "one over the other" in warning.message
    assert warning.message.endswith(f"as in {instead}")


@pytest.mark.parametrize(
    "trial",
    [
        train(EACH),
        train("--output_dir=out/${parameters.lr}-${parameters.size}"),
        train("--output_dir", "$(KUBESTUDY_OUTPUT_DIR)"),
        train("--train_file=data.csv", "--model_dir=m", "--data-path=d", "--log=info"),
        train("--config_file=c.yaml", "--resume_from_checkpoint", "a/b", "--overwrite_output_dir"),
        train("--output=-", "--log-file=/dev/stderr", "--output", "json"),
        train("--output_hidden_states", "--logging_steps=5", "--save_steps=10"),
        train("--output_dir=s3://bucket/models"),
        {**train(), "env": [{"name": "LOG_LEVEL", "value": "a"}, {"name": "DIR", "value": "d"}]},
        script('cd "$(mktemp -d)" && train "$@" > log'),
        script('train "$@" > "$KUBESTUDY_TRIAL.log"'),
        script('train "$@" 2>/dev/null >&2 < data.csv'),
        script("echo 'not closed"),
        script('set -o pipefail; train "$@"'),
        {"command": ["bash", "-o", "pipefail", "-c", 'train "$@"', "bash"]},
        {"command": ["python", "-c", "import sys\nif 1 > 0: print(sys.argv)"]},
        # The program of our own image puts each trial's into a folder of its own.
        {"image": None, "args": ["--output_dir=out"]},
        {"command": ["kubestudy-trial"], "args": ["--output_dir=out"]},
        {"command": ["python", "-m", "kubestudy_trial", "--output_dir=out"]},
    ],
)
def test_what_is_its_own_or_is_read_is_not(trial: dict[str, Any]) -> None:
    given = {field: value for field, value in trial.items() if value is not None}
    assert shared_outputs(study(trial=given).spec) == []


def test_one_trial_shares_with_none_and_the_pods_of_its_folds_with_each_other() -> None:
    trial = train("--output_dir=out")
    assert shared_outputs(study(trial=trial, budget={"maxTrials": 1}).spec) == []
    (warning,) = shared_outputs(study(trial=trial, crossValidation={"folds": 3}).spec)
    assert warning.message.endswith("out/$(KUBESTUDY_TRIAL)-$(KUBESTUDY_FOLD)")


def test_a_few_are_listed_and_each_place_once() -> None:
    args = [f"--output_dir=out{i // 2}" for i in range(100)]
    assert len(shared_outputs(study(trial=train(*args)).spec)) == MOST


def test_validate_and_run_say_so(shell: Shell) -> None:
    text = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: shared}
spec:
  objectives: [{metric: accuracy, direction: Maximize}]
  parameters: [{name: lr, values: [0.1, 0.2]}]
  algorithm: {type: Grid}
  trial:
    command: [sh, -c, 'echo "$@"; echo accuracy=0.5', sh, --output_dir=out]
"""
    file = shell.write(text)
    for words in (("validate", file), ("run", file)):
        done = shell(*words)
        assert done.code == 0, done.err
        assert "spec.trial.command[4]: all trials write to 'out' on this machine" in done.err
