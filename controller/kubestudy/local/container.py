"""A pod's container as a command of this machine, as the kubelet would start it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubestudy.api.study import Study
from kubestudy.core.accounts import most_gpus
from kubestudy.local.machine import Machine
from kubestudy.local.sharing import shared_outputs
from kubestudy.workloads.pod import Manifest, main_spec
from kubestudy.workloads.pod_template import DEFAULT_TRIAL_IMAGE, trains
from kubestudy.workloads.told import CHECKPOINTS, OUTPUTS

TRIAL_PROGRAM = "kubestudy-trial"

_MOUNTS = {
    "KUBESTUDY_CHECKPOINT_DIR": CHECKPOINTS,
    "KUBESTUDY_INHERIT_FROM": CHECKPOINTS,
    "KUBESTUDY_OUTPUT_DIR": OUTPUTS,
}
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


class CannotRunHere(Exception):
    """A container that cannot be started without its image.

    Attributes:
        field: Path of the field to change.
    """

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Command:
    """What is executed.

    Attributes:
        words: The program and its arguments.
        environment: All of its environment variables.
        folder: Where it is started.
    """

    words: list[str]
    environment: dict[str, str]
    folder: Path


def command(
    job: Manifest,
    *,
    folder: Path,
    inherited: Mapping[str, str],
    trial_command: Sequence[str] | None = None,
) -> Command:
    """Says what the container of a Job that trains executes.

    Args:
        job: The Job's manifest.
        folder: Of the Study; the folders that its pods would mount lie in it.
        inherited: The environment that stands in for the image's own.
        trial_command: The entry point of kubestudy's own trial image; looked for where None.

    Raises:
        CannotRunHere: It needs something that only the cluster has.
    """
    container = main_spec(job["spec"]["template"])
    given = _environment(container, folder, inherited)
    entry = [*(container.get("command") or ())]
    if not entry:
        entry = entry_point(container["image"], trial_command)
    else:
        entry = [expand(word, given) for word in entry]
    arguments = [expand(word, given) for word in container.get("args") or ()]
    working = Path(container.get("workingDir") or ".")
    kept = {k: v for k, v in inherited.items() if not k.startswith("KUBESTUDY_")}
    # What a program prints should be seen at once; a pod's image would say so itself.
    environment = {"PYTHONUNBUFFERED": "1", **kept, **given}
    return Command(
        entry + arguments, environment, working.resolve() if working.is_dir() else Path.cwd()
    )


def entry_point(image: str, trial_command: Sequence[str] | None) -> list[str]:
    """What an image would start by itself, known of kubestudy's own trial image alone.

    Raises:
        CannotRunHere: It is another image, or the trial's program is not installed.
    """
    if trial_command:
        return list(trial_command)
    name = re.split(r"[:@]", image.rsplit("/", 1)[-1])[0]
    if name != DEFAULT_TRIAL_IMAGE.split(":")[0]:
        raise CannotRunHere(
            "spec.trial.command",
            f"is needed on this machine, where the image {image} and its entry point are not"
            " used; say what to run, or give --trial-command",
        )
    beside = Path(sys.executable).with_name(TRIAL_PROGRAM)
    for program in (shutil.which(TRIAL_PROGRAM), beside):
        if program and Path(program).exists():
            return [str(program)]
    if importlib.util.find_spec("kubestudy_trial"):
        return [sys.executable, "-m", "kubestudy_trial"]
    raise CannotRunHere(
        "spec.trial",
        f"runs {TRIAL_PROGRAM}, which is not installed here: install kubestudy's trial_image/, or"
        " say where it is by --trial-command",
    )


def check(
    study: Study,
    machine: Machine,
    inherited: Mapping[str, str],
    trial_command: Sequence[str] | None,
) -> None:
    """Says before anything is started that it cannot be.

    Raises:
        CannotRunHere: It cannot.
    """
    gpus = most_gpus(study.spec)
    if machine.gpus and gpus > len(machine.gpus):
        raise CannotRunHere(
            "spec.trial.gpus", f"each run asks for {gpus} GPUs, and there are {len(machine.gpus)}"
        )
    spec = study.spec.trial
    container: dict[str, Any] = {
        "command": spec.command,
        "image": spec.image,
        "env": [e.to_json() for e in spec.env or ()],
    }
    path = "spec.trial"
    if spec.template is not None:
        container = trains(spec.template)
        path = "spec.trial.template.spec.containers[0]"
    program = (container.get("command") or [None])[0]
    if program is None:
        entry_point(container.get("image") or DEFAULT_TRIAL_IMAGE, trial_command)
    elif "$" not in program and shutil.which(program) is None:
        raise CannotRunHere(f"{path}.command[0]", f"{program!r} is not found on this machine")
    for i, variable in enumerate(container.get("env") or ()):
        if "valueFrom" in variable and variable["name"] not in inherited:
            raise CannotRunHere(
                f"{path}.env[{i}].valueFrom",
                f"lives in the cluster; export {variable['name']} in your shell instead",
            )


def _environment(container: Manifest, folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container, each of which may refer to those before it."""
    result: dict[str, str] = {}
    for variable in container.get("env") or ():
        name = variable["name"]
        if "valueFrom" in variable:
            result[name] = inherited.get(name, "")
        else:
            value = expand(variable.get("value") or "", result)
            if name in _MOUNTS:
                mount = Path(_MOUNTS[name])
                value = str(folder.resolve() / mount.name / Path(value).relative_to(mount))
            result[name] = value
    return result


def differences(study: Study, machine: Machine) -> list[str]:
    """What a person should know of a run here that differs from one in the cluster."""
    notes = []
    spec = study.spec.trial
    gpus = most_gpus(study.spec)
    if gpus and not machine.gpus:
        notes.append("this machine has no GPU: runs use the CPU")
    pod = (spec.template or {}).get("spec", {})
    short = {"image": spec.image, "command": spec.command}
    container = trains(spec.template) if spec.template else short
    if container.get("image") and container.get("command"):
        notes.append(f"the image {container['image']} is not used: runs are processes of yours")
    unused = [f for f in ("initContainers", "volumes") if pod.get(f)]
    unused += [f for f in ("envFrom",) if container.get(f)]
    unused += ["further containers"] if len(pod.get("containers") or ()) > 1 else []
    if unused:
        notes.append(f"of the pod template, {', '.join(unused)} are left out here")
    notes += [f"spec.{shared}" for shared in shared_outputs(study.spec)]
    return notes


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Expands ``$(NAME)`` as the kubelet does: an unknown one stays, and ``$$`` is a ``$``."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return _REFERENCE.sub(value, text)
