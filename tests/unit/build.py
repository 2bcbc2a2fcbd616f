"""Small builders: each gives a valid object with what a test cares about put in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from kubestudy.api.meta import Condition
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.api.validation import parse_study
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.plan import Snapshot
from kubestudy.core.reports import MetricTrack, Observation, RunReport
from kubestudy.runtime.json_cutter import JsonCutter, Piece

T0 = datetime(2026, 1, 1, tzinfo=UTC)
STUDY_UID = "study-uid"

GRID = [{"name": "lr", "values": [0.1, 0.2, 0.3]}, {"name": "size", "choices": ["s", "l"]}]


def at(seconds: float) -> datetime:
    """A moment, in seconds after the tests' beginning of time."""
    return T0 + timedelta(seconds=seconds)


def piece(obj: dict[str, Any]) -> Piece:
    """An object as it comes from the API server."""
    raw = json.dumps(obj, separators=(",", ":")).encode()
    (found,) = JsonCutter().feed(raw)
    return found


def study_document(**spec: Any) -> dict[str, Any]:
    """A valid Study as JSON data; keyword arguments replace fields of its spec."""
    document: dict[str, Any] = {
        "apiVersion": "kubestudy.dev/v1alpha1",
        "kind": "Study",
        "metadata": {"name": "demo", "namespace": "team", "uid": STUDY_UID, "generation": 1},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": GRID,
            "algorithm": {"type": "Grid"},
            "trial": {"image": "registry/train:1"},
        }
        | spec,
    }
    document["spec"] = {k: v for k, v in document["spec"].items() if v is not None}
    return document


def study(status: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, **spec: Any):
    """A valid Study."""
    document = study_document(**spec)
    document["metadata"] |= meta or {}
    if status is not None:
        document["status"] = status
    return parse_study(document)


def trial(
    index: int = 0,
    parameters: dict[str, Any] | None = None,
    state: str | None = None,
    value: float | None = None,
    runs: list[dict[str, Any]] | None = None,
    reason: str = "Because",
    started: float | None = None,
    ended: float | None = None,
    of: str = "demo",
    curve: list[dict[str, float]] | None = None,
    confirms: str | None = None,
    seed: int | None = None,
    inherits: str | None = None,
    until: int | None = None,
) -> Trial:
    """A Trial of the Study ``demo``, in a state, with a value of ``accuracy``."""
    status: dict[str, Any] = {}
    if state:
        status["conditions"] = [
            Condition(type=state, status="True", reason=reason, last_transition_time=T0).to_json()
        ]
    if value is not None:
        status["objectives"] = [{"metric": "accuracy", "value": value}]
    if runs is not None:
        status["runs"] = runs
    if curve is not None:
        status["curve"] = curve
    if started is not None:
        status["startTime"] = at(started)
    if ended is not None:
        status["completionTime"] = at(ended)
    return Trial.model_validate(
        {
            "metadata": {"name": f"{of}-{index}", "namespace": "team", "uid": f"trial-uid-{index}"},
            "spec": {
                "study": of,
                "index": index,
                **({"confirms": confirms, "seed": seed} if confirms else {}),
                **({"inherits": inherits, "until": until} if until else {}),
                "parameters": parameters if parameters is not None else {"lr": 0.1, "size": "s"},
            },
            "status": status or None,
        }
    )


def run(index: int = 0, attempt: int = 0, outcome: str = "Running", **more: Any) -> dict[str, Any]:
    """A run as a Trial's status remembers it."""
    return {
        "job": f"demo-{index}-0-0-{attempt}",
        "attempt": attempt,
        "outcome": outcome,
    } | more


def facts(index: int = 0, state: RunState = RunState.PENDING, attempt: int = 0, **more: Any):
    """What is seen of a run of a trial of ``demo``: made at T0, with a pod."""
    key = RunKey(f"demo-{index}", attempt=attempt)
    pod = f"demo-{index}-0-0-{attempt}-pod"
    defaults: dict[str, Any] = {"created": T0, "pod": pod, "pod_uid": f"{pod}-uid"}
    if state != RunState.PENDING:
        defaults["started"] = at(1)
    if state in (RunState.SUCCEEDED, RunState.FAILED):
        defaults["ended"] = at(60)
        defaults["exit_code"] = 0 if state == RunState.SUCCEEDED else 1
    return RunFacts(key=key, job=f"demo-{index}-0-0-{attempt}", state=state, **defaults | more)


def report(
    complete: bool = True, folds: list[float] | None = None, **metrics: float | list[float]
) -> RunReport:
    """A report in which each metric was told once; or accuracy often, at the steps from 1 on.

    With ``folds``, the accuracy that the first of three folds in one pod came to.
    """
    if folds is not None:
        told = RunReport("accuracy", frozenset({"accuracy"}), complete=complete, fold_count=3)
        for fold, value in enumerate(folds):
            told.add(Observation({"accuracy": value}, 1, fold=fold))
        return told
    course = metrics.get("accuracy")
    if isinstance(course, list):
        told = RunReport.of(["accuracy"])
        for step, value in enumerate(course, 1):
            told.add(Observation({"accuracy": value}, step))
        told.complete = complete
        return told
    tracks = {name: MetricTrack(v, v, v, step=1.0) for name, v in metrics.items()}
    return RunReport(curve_metric="accuracy", metrics=tracks, complete=complete)


def snapshot(
    of: Study,
    trials: list[Trial] | None = None,
    runs: list[RunFacts] | None = None,
    reports: dict[str, RunReport] | None = None,
    now: float = 100,
) -> Snapshot:
    """What is seen of a Study, ``now`` seconds after the beginning of time."""
    return Snapshot(of, trials or [], runs or [], reports or {}, at(now))
