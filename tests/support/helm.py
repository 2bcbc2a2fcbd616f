"""The chart, as helm renders and checks it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kubestudy.api.manifests import load_all
from kubestudy.runtime.client import Object
from tests.support.controller_process import ROOT
from tests.support.kubectl import Refused
from tests.testcluster import binaries

CHART = ROOT / "charts/kubestudy"
NAMESPACE = "kubestudy-system"
VALUE_SETS = sorted((CHART / "ci").glob("*-values.yaml"))


def helm(*words: str | Path, kubeconfig: Path | None = None) -> str:
    """Runs helm and returns what it printed.

    Raises:
        Refused: It failed; the text is what it said.
    """
    access = ["--kubeconfig", kubeconfig] if kubeconfig else []
    command = [str(w) for w in (binaries.helm(), *words, *access)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{done.stdout}{done.stderr}")
    return done.stdout


def rendered(*options: str | Path) -> list[Object]:
    """The objects of the chart, with options such as `--values=FILE`."""
    version = f"--kube-version={binaries.kubernetes_version()}"
    text = helm("template", "kubestudy", CHART, f"--namespace={NAMESPACE}", version, *options)
    return [document.data for document in load_all(text)]
