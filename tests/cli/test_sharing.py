"""Trials that would write one over the other are warned of, and input files are not."""

from __future__ import annotations

import pytest

from kubestudy.local.sharing import shared_outputs
from tests.cli.conftest import Shell
from tests.unit.build import study

EACH = "--output_dir=out/$(KUBESTUDY_TRIAL)"


@pytest.mark.parametrize(
    "args",
    [
        ["--output_dir=out"],
        ["--output_dir", "out"],
        ["--output-dir=/tmp/out/"],
        ["--save_dir=s"],
        ["--logging_dir=logs"],
        ["-o", "model.pt"],
        ["--output=model.pt"],
        ["--checkpoint-path=c"],
    ],
)
def test_a_fixed_place_to_write_to_is_warned_of(args: list[str]) -> None:
    (warning,) = shared_outputs(study(trial={"command": ["train"], "args": args}).spec)
    assert warning.field == "trial.args[0]"
    assert "one over the other" in warning.message
    assert "/$(KUBESTUDY_TRIAL)" in warning.message


@pytest.mark.parametrize(
    "args",
    [
        [EACH],
        ["--output_dir=out/${parameters.lr}-${parameters.size}"],
        ["--output_dir", "$(KUBESTUDY_OUTPUT_DIR)"],
        ["--train_file=data.csv", "--model_dir=m", "--data-path=d", "--log=info"],
        ["--output=-", "--log-file=/dev/stderr"],
        ["--output_hidden_states", "--logging_steps=5", "--save_steps=10"],
    ],
)
def test_what_is_its_own_or_is_read_is_not(args: list[str]) -> None:
    assert shared_outputs(study(trial={"command": ["train"], "args": args}).spec) == []


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
