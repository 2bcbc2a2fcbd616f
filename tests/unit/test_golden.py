"""Situations worth knowing, each a file: what is seen, and the plan that is made of it.

After a change that is meant, ``pytest tests/unit/test_golden.py --update-golden`` writes the plans
anew; read the difference.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubestudy.core.decide import decide
from kubestudy.core.facts import RunState
from kubestudy.core.names import job_name
from kubestudy.core.plan import (
    CreateTrial,
    Plan,
    Snapshot,
    StartRun,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from tests.unit import build

FILES = sorted((Path(__file__).parent / "golden").glob("*.yaml"))


def snapshot_of(seen: dict[str, Any]) -> Snapshot:
    """What a file says is seen: times are seconds since the Study began."""
    status = seen.get("status")
    if status is not None:
        begun = {"startTime": build.T0, "observedGeneration": 1, "seed": 7}
        conditions = [
            {"reason": "Given", "lastTransitionTime": build.T0} | c
            for c in status.get("conditions", [])
        ]
        status = begun | status | {"conditions": conditions}
    study = build.study(status, {"generation": seen.get("generation", 1)}, **seen["spec"])
    trials = [build.trial(**t) for t in seen.get("trials", [])]
    runs, reports = [], {}
    for given in seen.get("runs", []):
        given = dict(given)
        told, complete = given.pop("report", None), given.pop("complete", True)
        times = {k: build.at(given.pop(k)) for k in ("started", "ended") if k in given}
        facts = build.facts(state=RunState(given.pop("state", "Pending")), **given, **times)
        runs.append(facts)
        if told is not None:
            reports[facts.pod_uid or ""] = build.report(complete, **told)
    return build.snapshot(study, trials, runs, reports, now=seen["now"])


def readable(plan: Plan) -> dict[str, Any]:
    """A plan as a person reads it."""
    out: dict[str, Any] = {"actions": [action_text(a) for a in plan.actions]}
    if plan.status is not None:
        out["status"] = plan.status.to_json()
        for c in out["status"]["conditions"]:
            del c["lastTransitionTime"], c["observedGeneration"]
    out["events"] = [
        {k: v for k, v in asdict(e).items() if v not in (None, False)} for e in plan.events
    ]
    out["lookAgain"] = plan.look_again
    return out


def action_text(action: Any) -> Any:
    match action:
        case CreateTrial(trial):
            told = ("inherits", "until", "confirms", "seed")
            more = {name: getattr(trial.spec, name) for name in told}
            return {
                "createTrial": trial.metadata.name,
                **({k: v for k, v in more.items() if v is not None}),
                "parameters": trial.spec.parameters,
            }
        case StartRun(run):
            return {"startRun": job_name(run)}
        case StopRun(_, job):
            return {"stopRun": job}
        case SuspendRun(_, job, suspend):
            return {"suspendRun" if suspend else "resumeRun": job}
        case WriteTrialStatus(name, status):
            data = status.to_json()
            said = next(c for c in data["conditions"] if c["status"] == "True")
            return {
                "writeStatus": name,
                "is": f"{said['type']}/{said['reason']}",
                **({"says": said["message"]} if said["message"] else {}),
                **({"objectives": data["objectives"]} if "objectives" in data else {}),
                "runs": [
                    " ".join(str(r[k]) for k in ("job", "outcome", "reason") if k in r)
                    + "".join(f", fold {f['fold']}" for f in r.get("folds", ()))
                    for r in data.get("runs", [])
                ],
            }
    raise AssertionError(action)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_situation_leads_to_its_plan(path: Path, request: pytest.FixtureRequest) -> None:
    document = yaml.safe_load(path.read_text())
    plan = readable(decide(snapshot_of(document["seen"])))
    if request.config.getoption("--update-golden", default=False):
        document["plan"] = plan
        path.write_text(yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True))
    assert plan == document["plan"]


def test_there_is_a_file_for_each_situation() -> None:
    assert len(FILES) >= 16
