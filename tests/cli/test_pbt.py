"""Population based training on one machine: the toy problem of the paper, trained for real.

Its figure 2 (Jaderberg et al., 2017): one surrogate of the objective sees one weight, one the
other, and none of them alone leads to the top; taking turns on inherited weights does.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests.cli.conftest import Shell

PROGRAM = """
import json, os, pathlib
given = json.loads(os.environ["KUBESTUDY_PARAMETERS"])
kept = pathlib.Path(os.environ["KUBESTUDY_CHECKPOINT_DIR"], "weights.json")
inherited = os.environ.get("KUBESTUDY_INHERIT_FROM")
begin = {"epoch": 0, "weights": [0.9, 0.9]}
if inherited:
    begin = json.loads(pathlib.Path(inherited, "weights.json").read_text())
epoch, weights = begin["epoch"], begin["weights"]
print("begins at", json.dumps(begin), flush=True)
while epoch < int(os.environ["KUBESTUDY_RESOURCE_UNTIL"]):
    epoch += 1
    weights = [w - 0.5 * given[h] * w for w, h in zip(weights, ("h0", "h1"))]
    print(json.dumps({"epoch": epoch, "q": 1.2 - sum(w * w for w in weights)}), flush=True)
kept.write_text(json.dumps({"epoch": epoch, "weights": weights}))
"""

STUDY = f"""
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {{name: toy}}
spec:
  objectives: [{{metric: q, direction: Maximize}}]
  parameters:
    - {{name: h0, min: 0, max: 1}}
    - {{name: h1, min: 0, max: 1}}
  initialTrials: [{{h0: 1, h1: 0}}, {{h0: 0, h1: 1}}]
  algorithm:
    type: PBT
    seed: 3
    settings: {{populationSize: 2, truncation: 0.5}}
    resource: {{name: epochs, min: 2, max: 16}}
  budget: {{parallelism: 2}}
  trial:
    command: [{sys.executable}, train.py]
    checkpoints: {{claimName: any}}
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("toy"))
    (shell.folder / "train.py").write_text(PROGRAM)
    done = shell("run", shell.write(STUDY))
    assert done.code == 0, done.err
    assert "16 of 16 trials finished" in done.out
    return shell


def test_inherited_weights_lead_where_no_parameters_lead_alone(toy: Shell) -> None:
    trials = [json.loads(line) for line in toy("export", "toy", "-o", "jsonl").out.splitlines()]
    assert {t["state"] for t in trials} == {"Succeeded"}
    assert [t["until"] for t in trials] == [2 * (i // 2 + 1) for i in range(16)]
    alone = 1.2 - 0.9**2
    assert all(t["objectives.q"] < alone for t in trials[:2])
    assert max(t["objectives.q"] for t in trials) > 1.1 > alone
    assert any(t["inherits"] != f"toy-{t['index'] - 2}" for t in trials[2:])


def test_a_trial_begins_with_exactly_what_it_inherits(toy: Shell) -> None:
    study = toy.folder / "results" / "toy"
    trials = [json.loads(line) for line in toy("export", "toy", "-o", "jsonl").out.splitlines()]
    assert trials[0]["inherits"] is None
    for trial in trials[2:]:
        log = (study / "logs" / f"{trial['trial']}-0-0-0.log").read_text().splitlines()
        begins = next(line for line in log if line.startswith("begins at "))
        (weights,) = study.glob(f"checkpoints/*/{trial['inherits']}/fold-0/weights.json")
        assert json.loads(begins.removeprefix("begins at ")) == json.loads(weights.read_text())


def test_a_person_sees_where_a_trial_comes_from(toy: Shell) -> None:
    told = toy("describe", "toy").out
    assert "epochs, up to 16, 2 in each generation" in told
    assert "GenerationsTrained" in told
    assert "all 16 trials of the generations were started" in told
    (row,) = (line for line in toy("get", "toy").out.splitlines() if "toy-15 " in line)
    assert "16/16" in row
    told = toy("describe", "toy-15").out
    assert "Inherits:" in told
    assert "epochs 16 of 16" in told
    _, lineage = told.split("Lineage:")
    reached = [line.split()[3] for line in lineage.splitlines()[2:10]]
    assert reached == [f"{2 * (g + 1)}/16" for g in range(8)], "one trial of each generation"
