"""Hyperband on one machine: trials wait at rungs, and go on from their checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, pathlib, time
given = json.loads(os.environ["KUBESTUDY_PARAMETERS"])
folder = os.environ.get("KUBESTUDY_CHECKPOINT_DIR")
kept = pathlib.Path(folder, "epoch") if folder else None
if kept:
    kept.parent.mkdir(parents=True, exist_ok=True)
epoch = int(kept.read_text()) if kept and kept.exists() else 0
while epoch < given["epochs"]:
    time.sleep(0.15)
    epoch += 1
    if kept:
        kept.write_text(str(epoch))
    print(json.dumps({"epoch": epoch, "accuracy": given["x"] * (1 - 0.5**epoch)}), flush=True)
"""

STUDY = """
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {{name: rungs}}
spec:
  objectives: [{{metric: accuracy, direction: Maximize}}]
  parameters: [{{name: x, min: 0, max: 1}}]
  initialTrials: [{{x: 0.99}}, {{x: 0.98}}, {{x: 0.97}}, {{x: 0.96}}, {{x: 0.95}}, {{x: 0.94}}]
  algorithm:
    type: Hyperband
    seed: 3
    resource: {{name: epochs, max: 9}}
    synchronous: {synchronous}
  budget: {{parallelism: 2}}
  trial:
    command: [{python}, train.py]
    checkpoints: {{claimName: any}}
"""


@pytest.mark.parametrize("synchronous", ["false", "true"])
def test_trials_stop_at_rungs_and_go_on_from_checkpoints(tmp_path: Path, synchronous: str) -> None:
    def kubestudy(*args: str) -> str:
        command = [sys.executable, "-m", "kubestudy.cli.main", *args, "--results", "results"]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "study.yaml").write_text(
        STUDY.format(python=sys.executable, synchronous=synchronous)
    )
    shown = kubestudy("run", "study.yaml")
    assert "17 of 17 trials finished" in shown
    trials = [json.loads(line) for line in kubestudy("export", "rungs", "-o", "jsonl").splitlines()]
    assert len(trials) == 17
    succeeded = [t for t in trials if t["state"] == "Succeeded"]
    assert {t["state"] for t in trials} == {"Succeeded", "Stopped"}
    assert max(t["parameters.x"] for t in succeeded) == 0.99
    resumed = sorted((tmp_path / "results" / "rungs" / "logs").glob("rungs-*-[12]-0-0.log"))
    assert resumed, "a trial that was paused is gone on with as another run"
    for log in resumed:
        first = json.loads(log.read_text().splitlines()[0])
        assert first["epoch"] > 1, "it goes on from its checkpoint"
    (name,) = {log.name.rsplit("-", 3)[0] for log in resumed[:1]}
    told = kubestudy("describe", name)
    assert "Rungs:" in told
    assert "Paused" in told
