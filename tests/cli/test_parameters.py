"""Parameters reach a program as it reads them, or it is said before anything runs."""

from __future__ import annotations

import csv
import shlex
import sys
from io import StringIO
from typing import Any

import pytest
import yaml

from kubestudy.api import manifests
from tests.cli.conftest import Finished, Shell

# The program of dhruvdcoder/wandb-allennlp#23 and hiyouga/LlamaFactory#4014: configured by YAML.
READS_YAML = """\
import sys, yaml
text = sys.argv[1].partition("=")[2]
value = yaml.safe_load(f"learning_rate: {text}")["learning_rate"]
assert isinstance(value, float), f"{text} is {value!r}"
print("accuracy=0.5")
"""

# The program of wandb/wandb#1700: a flag, and an argument that is there or not.
READS_FLAGS = """\
import argparse
p = argparse.ArgumentParser()
p.add_argument("--amp", action="store_true")
p.add_argument("--pool", choices=["bar", "buzz"], default=None)
a = p.parse_args()
print(f"accuracy={0.5 + 0.2 * a.amp + 0.1 * (a.pool is None)}")
"""
PYTHON = shlex.quote(sys.executable)
AMP = [
    {"name": "amp", "choices": ["yes", "no"]},
    {"name": "flag", "choices": ["--amp"], "when": {"parameter": "amp", "choices": ["yes"]}},
]
POOL = [
    {"name": "pooled", "choices": ["yes", "no"]},
    {
        "name": "pool",
        "choices": ["bar", "buzz"],
        "when": {"parameter": "pooled", "choices": ["yes"]},
    },
]
TWO = [{"name": "lr", "values": [0.1, 0.2]}, {"name": "momentum", "values": [0.5, 0.9]}]


def study(parameters: list[dict[str, Any]], trial: dict[str, Any]) -> str:
    return manifests.dump(
        {
            "apiVersion": "kubestudy.dev/v1alpha1",
            "kind": "Study",
            "metadata": {"name": "demo"},
            "spec": {
                "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
                "parameters": parameters,
                "algorithm": {"type": "Grid"},
                "budget": {"parallelism": 4},
                "trial": trial,
            },
        }
    )


def run(shell: Shell, program: str, parameters: list[Any], trial: dict[str, Any]) -> Finished:
    shell.write(program, "train.py")
    return shell("run", shell.write(study(parameters, trial)))


def given(shell: Shell) -> list[str]:
    """What each trial's program wrote of what it was given."""
    logs = (shell.folder / "results/demo/logs").iterdir()
    return sorted(
        line.removeprefix("given ")
        for log in logs
        for line in log.read_text().splitlines()
        if line.startswith("given ")
    )


def test_numbers_are_numbers_to_a_program_that_is_configured_by_yaml(shell: Shell) -> None:
    rates = [0.00001, 2e-5, 3.5e-5, 0.001, 100, 1e16]
    space = [{"name": "learning_rate", "values": rates}]
    done = run(shell, READS_YAML, space, {"command": [sys.executable, "train.py"]})
    assert done.code == 0, done.err + done.out
    best = shell("best", "demo", "-o", "args").out.strip()
    assert best == "--learning_rate=1.0e-05"
    told = shell("describe", "demo-0").out
    assert "1.0e-05" in told
    assert yaml.safe_load(shell("best", "demo", "-o", "yaml").out)["parameters"] == {
        "learning_rate": 1e-05
    }
    rows = csv.DictReader(StringIO(shell("export", "demo").out))
    read = [yaml.safe_load(row["parameters.learning_rate"]) for row in rows]
    assert read == rates
    assert all(isinstance(value, float) for value in read)


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_script_that_would_lose_its_first_parameter_is_refused(
    shell: Shell, command: str
) -> None:
    script = 'set -e; cd .; python3 train.py "$@"'
    done = shell(command, shell.write(study(TWO, {"command": ["sh", "-c", script]})))
    assert done.code == 2
    assert "spec.trial.command[2]" in done.out + done.err
    assert "[sh, -c, 'train \"$@\"', sh]" in done.out + done.err
    assert not (shell.folder / "results").exists()


def test_what_the_refusal_says_to_do_helps(shell: Shell) -> None:
    script = 'echo "given $@"; echo accuracy=1'
    done = run(shell, "", TWO, {"command": ["sh", "-c", script, "sh"]})
    assert done.code == 0, done.err
    assert "warning" not in done.err
    assert given(shell) == [
        f"--lr={lr} --momentum={momentum}" for lr in (0.1, 0.2) for momentum in (0.5, 0.9)
    ]


def test_a_script_that_uses_no_argument_is_warned_about(shell: Shell) -> None:
    file = shell.write(study(TWO, {"command": ["sh", "-c", "set -e; echo accuracy=1"]}))
    for done in (shell("validate", file), shell("run", file)):
        assert done.code == 0
        assert f"warning: {file}: spec.trial.command[2]: the script uses none" in done.err
        assert "has lr, momentum only if it reads KUBESTUDY_PARAMETERS" in done.err
    told = shell("describe", "demo").out
    assert "SpecWarning" in told
    assert "the Study can be run; warning: spec.trial.command[2]" in told
    assert "warning" not in shell("validate", "--quiet", file).err


def test_a_flag_is_there_or_not(shell: Shell) -> None:
    args = ["${parameters.flag}", "--pool=${parameters.pool}"]
    trial = {"command": [sys.executable, "train.py"], "args": args}
    done = run(shell, READS_FLAGS, [*AMP, *POOL], trial)
    assert done.code == 0, done.err
    assert "warning" not in done.err
    rows = list(csv.DictReader(StringIO(shell("export", "demo").out)))
    values = sorted(float(row["objectives.accuracy"]) for row in rows)
    assert values == pytest.approx([0.5, 0.5, 0.6, 0.7, 0.7, 0.8])
    assert shell("best", "demo", "-o", "args").out.strip() == ("--amp=yes --flag=--amp --pooled=no")


def test_a_parameter_that_decides_nothing_and_is_nowhere_is_warned_about(shell: Shell) -> None:
    """Here pool was meant to depend on pooling, and does not."""
    space = [
        *AMP,
        {"name": "pooling", "choices": ["none", "bar", "buzz"]},
        {"name": "pool", "choices": ["bar", "buzz"]},
    ]
    args = ["${parameters.flag}", "--pool=${parameters.pool}"]
    trial = {"command": [sys.executable, "train.py"], "args": args}
    done = run(shell, READS_FLAGS, space, trial)
    assert done.code == 0, done.err
    assert "the program has pooling only if it reads KUBESTUDY_PARAMETERS" in done.err


def test_a_flag_is_there_or_not_by_a_variable(shell: Shell) -> None:
    script = f'exec {PYTHON} train.py ${{AMP:+"$AMP"}} "$@"'
    trial = {
        "command": ["sh", "-c", script, "sh"],
        "args": ["--pool=${parameters.pool}"],
        "env": [{"name": "AMP", "value": "${parameters.flag}"}],
    }
    done = run(shell, READS_FLAGS, [*AMP, *POOL], trial)
    assert done.code == 0, done.err
    assert "warning" not in done.err
    best = yaml.safe_load(shell("best", "demo", "-o", "yaml").out)
    assert best["parameters"] == {"amp": "yes", "flag": "--amp", "pooled": "no"}


def test_a_literal_placeholder_reaches_the_program(shell: Shell) -> None:
    script = 'echo "given $1"; echo accuracy=1'
    args = ["$${dim} $$(x) ${parameters.lr} ${parameters.momentum}"]
    done = run(
        shell,
        "",
        [*TWO[:1], {"name": "momentum", "values": [0.5]}],
        {"command": ["sh", "-c", script, "sh"], "args": args},
    )
    assert done.code == 0, done.err
    assert given(shell) == ["${dim} $(x) 0.1 0.5", "${dim} $(x) 0.2 0.5"]
