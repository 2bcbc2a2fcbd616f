"""A container's command, environment and share of the machine, as its process gets them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from kubestudy.api.manifests import load
from kubestudy.api.validation import parse_study
from kubestudy.local.container import CannotRunHere, check, command, differences, expand
from kubestudy.local.machine import Machine, this_machine
from tests.cli.conftest import GRID


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(NONE)", "$(NONE)"),
        ("$(HOME)", "$(HOME)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(", "$("),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$(A$(B))", "$(A$(B))"),
        ("$(LOOP)", "$(A)"),
        ("$\n$(A)", "$\n1"),
    ],
)
def test_references_are_expanded_as_by_the_kubelet(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "LOOP": "$(A)"}) == expanded


def job(**container: Any) -> dict[str, Any]:
    container = {"name": "trial", "image": "kubestudy-trial:0.1.0", **container}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def test_variables_may_refer_to_those_before_them(tmp_path: Path) -> None:
    made = command(
        job(
            command=["train", "$(B)"],
            args=["$(OUTER)", "$(C)"],
            env=[
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)$(C)"},
                {"name": "C", "value": "$$(A)"},
            ],
        ),
        folder=tmp_path,
        inherited={"OUTER": "x", "PATH": "/bin", "KUBESTUDY_STUDY": "of another run"},
    )
    assert made.words == ["train", "1$(C)", "$(OUTER)", "$(A)"]
    assert made.environment == {
        "A": "1",
        "B": "1$(C)",
        "C": "$(A)",
        "OUTER": "x",
        "PATH": "/bin",
        "PYTHONUNBUFFERED": "1",
    }


def test_folders_lie_among_the_results(tmp_path: Path) -> None:
    made = command(
        job(
            command=["train"],
            args=["--output_dir=$(KUBESTUDY_OUTPUT_DIR)"],
            env=[
                {"name": "KUBESTUDY_CHECKPOINT_DIR", "value": "/kubestudy/checkpoints/u/t/fold-0"},
                {"name": "KUBESTUDY_OUTPUT_DIR", "value": "/kubestudy/outputs/u/t"},
            ],
        ),
        folder=tmp_path,
        inherited={},
    )
    assert made.environment["KUBESTUDY_CHECKPOINT_DIR"] == f"{tmp_path}/checkpoints/u/t/fold-0"
    assert made.words == ["train", f"--output_dir={tmp_path}/outputs/u/t"]


def test_the_trial_image_is_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubestudy-trial"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for image in (
        "kubestudy-trial:0.1.0",
        "ghcr.io/x/kubestudy-trial",
        "r:5000/kubestudy-trial@sha256:0",
    ):
        made = command(job(image=image, args=["--a=1"]), folder=tmp_path, inherited={})
        assert made.words == [str(program), "--a=1"]
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    made = command(job(args=["--a=1"]), folder=tmp_path, inherited={})
    assert made.words == [sys.executable, "-m", "kubestudy_trial", "--a=1"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotRunHere, match="install kubestudy's trial_image/"):
        command(job(), folder=tmp_path, inherited={})
    given = command(job(args=["x"]), folder=tmp_path, inherited={}, trial_command=["my", "trial"])
    assert given.words == ["my", "trial", "x"]


def test_another_image_needs_a_command(tmp_path: Path) -> None:
    with pytest.raises(CannotRunHere, match="image me/mine and its entry point") as raised:
        command(job(image="me/mine"), folder=tmp_path, inherited={})
    assert raised.value.field == "spec.trial.command"


def study(trial: str) -> Any:
    head = GRID[: GRID.index("  trial:")]
    return parse_study(load(f"{head}  trial: {trial}\n"))


def test_what_cannot_run_here_is_told_before_anything_starts() -> None:
    none, two = Machine((), 2), Machine(("0", "1"), 8)
    for trial, machine, field, message in (
        ("{image: me/mine}", none, "spec.trial.command", "needed on this machine"),
        ("{command: [no-such-program]}", none, "spec.trial.command[0]", "is not found"),
        ("{command: [sh], gpus: 4}", two, "spec.trial.gpus", "asks for 4 GPUs, and there are 2"),
        (
            "{command: [sh], env: [{name: T, valueFrom: {secretKeyRef: {name: a, key: b}}}]}",
            none,
            "spec.trial.env[0].valueFrom",
            "export T in your shell",
        ),
        (
            "{template: {spec: {containers: [{name: t, image: i, command: [no-such]}]}}}",
            none,
            "spec.trial.template.spec.containers[0].command[0]",
            "not found",
        ),
    ):
        with pytest.raises(CannotRunHere, match=message.replace("[", r"\[")) as raised:
            check(study(trial), machine, {}, None)
        assert raised.value.field == field
    check(study("{command: [sh], gpus: 4}"), none, {}, None)
    check(study('{command: ["${parameters.lr}"]}'), none, {}, None)


def test_differences_from_the_cluster_are_told() -> None:
    assert differences(study("{command: [sh], gpus: 1}"), Machine((), 2)) == [
        "this machine has no GPU: runs use the CPU"
    ]
    assert differences(study("{command: [sh], gpus: 1}"), Machine(("0",), 2)) == []
    template = (
        "{template: {spec: {volumes: [{name: v}], containers:"
        " [{name: t, image: i, command: [sh], envFrom: [{}]}, {name: u, image: i}]}}}"
    )
    assert differences(study(template), Machine((), 2)) == [
        "the image i is not used: runs are processes of yours",
        "of the pod template, volumes, envFrom, further containers are left out here",
    ]


def test_gpus_are_shared_out() -> None:
    machine = Machine(("0", "1", "2"), 8)
    assert machine.share(1, []) == ("0",)
    assert machine.share(2, ["0"]) == ("1", "2")
    assert machine.share(2, ["0", "2"]) is None
    assert machine.share(0, ["0", "1", "2"]) == ()
    assert Machine((), 8).share(2, []) == ()
    assert machine.environment(("1", "2"), 3) == {
        "CUDA_VISIBLE_DEVICES": "1,2",
        "OMP_NUM_THREADS": "2",
    }
    assert machine.environment((), 100) == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def test_gpus_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert this_machine({"CUDA_VISIBLE_DEVICES": "2, 5"}).gpus == ("2", "5")
    assert this_machine({"CUDA_VISIBLE_DEVICES": ""}).gpus == ()
    assert this_machine({"CUDA_VISIBLE_DEVICES": "-1"}).gpus == ()
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 0\necho 1\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert this_machine({}).gpus == ("0", "1")
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert this_machine({}).gpus == ()
    assert this_machine({}).cpus >= 1
