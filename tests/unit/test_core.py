"""The decisions in tables: verdicts, endings, acceptance, status."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.api.metrics_source import SourceType
from kubestudy.api.trial import MAX_METRICS, Trial
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.ending import spent_budget
from kubestudy.core.facts import RunState
from kubestudy.core.failures import Remedy, judge
from kubestudy.core.plan import CreateTrial, StartRun, StopRun, WriteTrialStatus
from kubestudy.core.reports import LastWord, MetricTrack, Observation, RunReport
from kubestudy.core.trials import follow
from tests.unit.build import at, facts, report, run, snapshot, study, trial
from tests.unit.fake_cluster import stored

S, F = RunState.SUCCEEDED, RunState.FAILED
ACCEPTED = {
    "startTime": at(0),
    "observedGeneration": 1,
    "seed": 1,
    "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Valid", "lastTransitionTime": at(0)}
    ],
}


def told(exit_reason: str | None = None, exit_message: str = "", **metrics: float) -> RunReport:
    made = report(**metrics)
    made.exit_reason, made.exit_message = exit_reason, exit_message
    return made


NAN = RunReport(complete=True, not_finite=("loss", float("nan"), 7.0))
LOST = RunReport(complete=True, problem="its pod is gone")

# What is seen of the run, what it said, the verdict, what is done about it.
VERDICTS: list[tuple[Any, RunReport, str, Remedy | None]] = [
    (facts(state=S), told(accuracy=1), "Completed", None),
    (facts(state=S), told(loss=1), "MetricMissing", Remedy.FAIL),
    (facts(state=S), LOST, "LogLost", Remedy.RETRY),
    (facts(state=S), NAN, "Diverged", Remedy.FAIL),
    (facts(state=F, exit_code=1), NAN, "Diverged", Remedy.FAIL),
    (facts(state=F, exit_code=1), told(accuracy=1), "Failed", Remedy.FAIL),
    (facts(state=F, exit_code=64), told(), "InvalidArgument", Remedy.FAIL),
    (facts(state=F, exit_code=65), told(), "Diverged", Remedy.FAIL),
    (facts(state=F, exit_code=69), told(), "DataUnavailable", Remedy.FAIL),
    (facts(state=F, exit_code=71), told(), "OutOfMemory", Remedy.FAIL),
    (facts(state=F, exit_code=75), told(), "Interrupted", Remedy.RETRY),
    (facts(state=F, exit_code=137, reason="Error"), told(), "Killed", Remedy.FAIL),
    (facts(state=F, exit_code=143, reason="Error"), told(), "Interrupted", Remedy.RETRY),
    (facts(state=F, exit_code=137, reason="OutOfMemory"), told(), "OutOfMemory", Remedy.FAIL),
    (facts(state=F, exit_code=1), told("DataUnavailable"), "DataUnavailable", Remedy.FAIL),
    (facts(state=F, exit_code=1), told("Interrupted"), "Interrupted", Remedy.RETRY),
    (facts(state=F, exit_code=1), told("Completed"), "Failed", Remedy.FAIL),
    (facts(state=F, exit_code=0, reason="Completed"), told(accuracy=1), "Failed", Remedy.FAIL),
    (facts(state=F, exit_code=None, reason="Evicted"), told(), "Evicted", Remedy.REPLACE),
    (facts(state=F, exit_code=137, reason="Deleted"), told("Failed"), "Deleted", Remedy.REPLACE),
    (facts(state=F, reason="DeadlineExceeded"), told(), "DeadlineExceeded", Remedy.FAIL),
    (facts(state=F, exit_code=None, reason="BackoffLimitExceeded"), LOST, "LogLost", Remedy.RETRY),
    (facts(state=F, exit_code=None, reason="PodFailurePolicy"), LOST, "Disrupted", Remedy.REPLACE),
    (facts(state=F, exit_code=128, reason="StartError"), told(), "Failed", Remedy.FAIL),
]


@pytest.mark.parametrize(("seen", "said", "reason", "remedy"), VERDICTS)
def test_a_verdict(seen: Any, said: RunReport, reason: str, remedy: Remedy | None) -> None:
    verdict = judge(seen, said, ["accuracy"])
    assert (verdict.reason, verdict.remedy) == (reason, remedy)


def test_a_verdict_tells_what_a_person_needs() -> None:
    assert "loss was nan at step 7" in judge(facts(state=S), NAN, []).message
    missing = judge(facts(state=S), told(loss=1, f1=1), ["accuracy"]).message
    assert "accuracy" in missing
    assert "f1, loss" in missing
    assert judge(facts(state=F), told("Failed", "no such column"), []).message == "no such column"
    assert "exit code 3" in judge(facts(state=F, exit_code=3), told(), []).message
    evicted = facts(state=F, reason="Evicted", message="Eviction API: evicting")
    assert judge(evicted, told("Interrupted", "at step 9"), []).message == evicted.message
    gone = facts(state=F, exit_code=None, reason="BackoffLimitExceeded", message="limit reached")
    assert judge(gone, LOST, []).message == "its pod is gone"


# What trials say does not wedge a Study: the status can always be stored.

ODD_REPORTS = {
    "many metrics": [Observation({f"m{i}": 1.0 for i in range(90)} | {"accuracy": 1.0})],
    "no step": [Observation({"accuracy": 1.0})],
    "large": [Observation({"accuracy": 1e308}, step=1e308)],
}


@pytest.mark.parametrize("state", [RunState.RUNNING, S])
@pytest.mark.parametrize("name", ODD_REPORTS)
def test_a_status_can_be_stored_whatever_was_reported(name: str, state: RunState) -> None:
    said = RunReport.of(["accuracy"])
    for observation in ODD_REPORTS[name]:
        said.add(observation)
    many = {f"w{i}": MetricTrack(1, 1, 1, None) for i in range(200)}
    said.close(LastWord(many, seq=10**30, reason="A" * 63, message="x" * 9000))
    seen = facts(state=state)
    one = trial(runs=[run()])
    plan = decide(snapshot(study(), [one], [seen], {seen.pod_uid: said}))
    (status,) = [a.status for a in plan.actions if isinstance(a, WriteTrialStatus)]
    stored(one.model_copy(update={"status": status}))
    assert status.metrics[0].metric == "accuracy"
    assert len(status.metrics) == MAX_METRICS


@pytest.mark.parametrize(
    ("strategy", "direction", "value"),
    [
        ("Last", "Maximize", 3),
        ("Last", "Minimize", 3),
        ("Best", "Maximize", 5),
        ("Best", "Minimize", 1),
    ],
)
def test_the_strategy_says_which_value_counts(strategy: str, direction: str, value: int) -> None:
    said = RunReport.of(["accuracy"])
    for v in (1, 5, 3):
        said.add(Observation({"accuracy": v}))
    said.close(None)
    seen = facts(state=S)
    of = study(objectives=[{"metric": "accuracy", "direction": direction, "strategy": strategy}])
    plan = decide(snapshot(of, [trial(runs=[run()])], [seen], {seen.pod_uid: said}))
    (written,) = [a for a in plan.actions if isinstance(a, WriteTrialStatus)]
    assert written.status.objectives[0].value == value


# Endings.


def running_for(seconds: float, gpus: int, hours: float, number: int = 3) -> Any:
    of = study(
        status=ACCEPTED,
        budget={"parallelism": number, "maxGPUHours": hours},
        trial={"image": "i", "gpus": gpus},
    )
    trials = [trial(i, state="Running", runs=[run(i)]) for i in range(number)]
    runs = [facts(i, RunState.RUNNING, started=at(0)) for i in range(number)]
    return of, trials, runs, decide(snapshot(of, trials, runs, now=seconds))


@given(st.floats(1, 5000), st.integers(1, 8))
def test_gpu_hours_once_spent_stay_spent(seconds: float, gpus: int) -> None:
    hours = 3 * gpus * seconds / 3600 * (1 - 1e-9)
    of, trials, _, plan = running_for(seconds, gpus, hours)
    written = {a.trial: a.status for a in plan.actions if isinstance(a, WriteTrialStatus)}
    assert len(written) == 3
    after = [stored(t.model_copy(update={"status": written[t.metadata.name]})) for t in trials]
    later = decide(snapshot(of, after, [], now=seconds + 5))
    assert not [a for a in later.actions if isinstance(a, CreateTrial | StartRun)]
    assert "GPU-hours used" in later.status.conditions[1].message


def test_a_run_on_its_way_out_is_not_paid_for_twice() -> None:
    of, trials, runs, plan = running_for(3600, 1, 3)
    written = {a.trial: a.status for a in plan.actions if isinstance(a, WriteTrialStatus)}
    after = [t.model_copy(update={"status": written[t.metadata.name]}) for t in trials]
    plan = decide(snapshot(of, after, runs, now=3600))
    assert plan.status.gpu_seconds.used == 3 * 3600
    again = decide(snapshot(of, after, runs, now=3700))
    assert again.status.conditions[1].reason == "Stopping"

    followed = [follow(t, {r.key: r for r in runs}, {}, of.spec, at(3700)) for t in after]
    told_why = spent_budget(of, followed, at(0), at(3700))
    assert told_why.message.startswith("3.00 GPU-hours used")


@pytest.mark.parametrize("state", ["Succeeded", "Failed", "Stopped"])
@pytest.mark.parametrize(
    "seen",
    [
        facts(state=S),
        facts(state=F, exit_code=75),
        facts(state=S, pod=None, pod_uid=None),
        facts(state=RunState.RUNNING),
    ],
)
def test_a_finished_trial_is_never_written_again(state: str, seen: Any) -> None:
    one = trial(state=state, runs=[run(outcome=state)])
    plan = decide(snapshot(study(), [one], [seen], {seen.pod_uid: report(accuracy=9)}))
    assert not [a for a in plan.actions if isinstance(a, WriteTrialStatus)]


def test_a_study_that_is_stopping_does_not_look_again_in_haste() -> None:
    of = study(status=ACCEPTED, budget={"timeout": "60s"})
    seen = [facts(0, RunState.RUNNING, deleting=True)]
    plan = decide(snapshot(of, [trial(0, state="Stopped")], seen, now=90))
    assert plan.look_again is None


def test_a_timeout_is_looked_at_when_it_is_due() -> None:
    of = study(status=ACCEPTED, budget={"timeout": "60s"})
    seen = [facts(0, RunState.RUNNING)]
    plan = decide(snapshot(of, [trial(0, state="Running", runs=[run()])], seen, now=45))
    assert plan.look_again == 15


# Status.


def renumbered(of: Trial, index: int) -> Trial:
    name = {"name": f"demo-{index}"}
    parts = {
        "metadata": of.metadata.model_copy(update=name),
        "spec": of.spec.model_copy(update={"index": index}),
    }
    return of.model_copy(update=parts)


def test_the_status_of_ten_thousand_trials_stays_small() -> None:
    space = [
        {"name": f"parameter_{p}", "choices": ["c" * 200 + str(i) for i in range(100)]}
        for p in range(64)
    ]
    of = study(parameters=space, algorithm={"type": "Random"}, budget={"maxTrials": 10_000})
    point = {p["name"]: p["choices"][0] for p in space}
    kinds = [trial(i, point, "Succeeded", value=i) for i in range(97)]
    trials = [renumbered(kinds[i % 97], i) for i in range(10_000)]
    plan = decide(snapshot(of, trials))
    assert len(json.dumps(plan.status.to_json())) < 100 * 1024
    assert plan.status.best.trial == "demo-96"
    assert plan.status.progress == "10000/10000"


@pytest.mark.parametrize("more", [{}, {"confirm": {"seeds": 2, "top": 1}}])
def test_no_more_trials_have_finished_than_there_are_in_all(more: dict[str, Any]) -> None:
    space = [{"name": "x", "min": 0, "max": 1}]
    random = {"type": "Random"}
    of = study(parameters=space, algorithm=random, budget={"maxTrials": 3}, **more)
    done = [trial(i, {"x": i / 8}, state="Succeeded", value=0.5, ended=10) for i in range(8)]
    status = decide(snapshot(of, done)).status
    assert status is not None and status.progress == ("8/10" if more else "8/8")
    told = next(c for c in status.conditions or () if c.type == "Progressing")
    assert f"8 of {'10' if more else '8'} trials finished" in told.message


@pytest.mark.parametrize("budget", [{"timeout": "9" * 30 + "d"}, {"maxTrials": 100_000}])
def test_an_astronomic_search_space_is_only_large(budget: dict[str, Any]) -> None:
    space = [{"name": f"p{i}", "values": list(range(128))} for i in range(64)]
    of = study(parameters=space, algorithm={"type": "Random"}, budget=budget)
    done = trial(0, {f"p{i}": 0 for i in range(64)}, "Succeeded", value=1, started=1, ended=60)
    done = done.model_copy(
        update={"metadata": done.metadata.model_copy(update={"creation_timestamp": at(0)})}
    )
    plan = decide(snapshot(of, [done]))
    assert plan.status.progress in ("1/-", "1/100000")
    assert not problems(of)


def test_time_left_is_rounds_of_the_mean_trial() -> None:
    def done(index: int, seconds: int) -> Any:
        ran = run(index, outcome="Succeeded", startTime=at(1), completionTime=at(seconds))
        one = trial(index, state="Succeeded", value=1, started=1, ended=seconds, runs=[ran])
        meta = one.metadata.model_copy(update={"creation_timestamp": at(0)})
        return one.model_copy(update={"metadata": meta})

    of = study(status=ACCEPTED, budget={"parallelism": 3})
    plan = decide(snapshot(of, [done(0, 60), done(1, 120)], now=200))
    assert plan.status.time_left == "3m"  # four trials, three at once, 90 s each


def test_time_left_does_not_count_the_time_at_a_rung() -> None:
    """Two runs of 60 s, with an hour between them."""
    runs = [
        run(outcome="Stopped", reason="Paused", startTime=at(0), completionTime=at(60)),
        run(outcome="Succeeded", startTime=at(3660), completionTime=at(3720))
        | {"job": "demo-0-1-0-0", "rung": 1},
    ]
    one = trial(state="Succeeded", value=1, started=0, ended=3720, runs=runs)
    meta = one.metadata.model_copy(update={"creation_timestamp": at(0)})
    of = study(status=ACCEPTED, budget={"parallelism": 5})
    plan = decide(snapshot(of, [one.model_copy(update={"metadata": meta})], now=3800))
    assert plan.status.time_left == "2m"  # five trials, five at once


@pytest.mark.parametrize(
    ("direction", "values", "winner"),
    [
        ("Maximize", [1, 3, 3, 2], 1),
        ("Minimize", [2, 1, 1, 3], 1),
        ("Maximize", [None, -5, None], 1),
        ("Maximize", [None, None], None),
    ],
)
def test_the_best_is_the_earliest_of_equals(
    direction: str, values: list[float | None], winner: int | None
) -> None:
    of = study(objectives=[{"metric": "accuracy", "direction": direction}])
    trials = [
        trial(i, state="Failed" if v is None else "Succeeded", value=v)
        for i, v in enumerate(values)
    ]
    best = decide(snapshot(of, trials)).status.best
    assert (best.trial if best else None) == (None if winner is None else f"demo-{winner}")


def test_an_unchanged_world_is_not_written_again() -> None:
    of = study(status=ACCEPTED, budget={"parallelism": 1})
    one, seen = trial(runs=[run()], state="Running"), facts(0, RunState.RUNNING)
    first = decide(snapshot(of, [one], [seen]))
    (written,) = [a for a in first.actions if isinstance(a, WriteTrialStatus)]
    after = stored(one.model_copy(update={"status": written.status}))
    of = stored(of.model_copy(update={"status": first.status}))
    second = decide(snapshot(of, [after], [seen], now=5000))
    assert (second.actions, second.status, second.events) == ([], None, [])


def test_a_study_that_is_being_deleted_is_left_alone() -> None:
    of = study(meta={"deletionTimestamp": at(1)})
    plan = decide(snapshot(of, [], [facts(0, RunState.RUNNING)]))
    assert (plan.actions, plan.status) == ([], None)


def test_a_refused_study_stops_nothing_that_runs() -> None:
    of = study(status=ACCEPTED, earlyStopping={"type": "Mean"})
    plan = decide(snapshot(of, [trial(state="Running")], [facts(0, RunState.RUNNING)]))
    assert not [a for a in plan.actions if isinstance(a, StopRun)]
    assert plan.status.conditions[0].status == "False"


# Acceptance.

LR = "${parameters.lr}"


def pod_of(**container: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "c", "image": "i"} | container]}}}


UNACCEPTABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"algorithm": {"type": "gird"}}, "spec.algorithm.type", "did you mean Grid?"),
    (
        {"algorithm": {"type": "Grid", "settings": {"x": 1}}},
        "spec.algorithm.settings.x",
        "takes none",
    ),
    ({"parameters": [{"name": "a", "min": 0, "max": 1}]}, "spec.parameters[0]", "continuous"),
    (
        {
            "parameters": [{"name": "a", "min": 0, "max": 1}],
            "algorithm": {"type": "Random"},
        },
        "spec.budget.maxTrials",
        "never ends",
    ),
    (
        {"parameters": [{"name": f"p{i}", "values": list(range(99))} for i in range(9)]},
        "spec.budget.maxTrials",
        "never ends",
    ),
    ({"trial": {"args": ["${parameters.sise}"]}}, "spec.trial.args[0]", "did you mean size?"),
    ({"trial": {"args": ["${params.lr}"]}}, "spec.trial.args[0]", "write ${parameters.lr}"),
    (
        {"trial": {"command": ["sh", "-c", LR]}},
        "spec.trial.command[2]",
        "a shell would read",
    ),
    ({"trial": {"command": ["/bin/bash", "-lc"], "args": [LR]}}, "spec.trial.args[0]", "a shell"),
    (
        {"trial": {"command": ["bash", "-euo", "pipefail", "-c", LR]}},
        "spec.trial.command[4]",
        "a shell",
    ),
    ({"trial": {"command": ["bash", "-ceuo", "pipefail", LR]}}, "spec.trial.command[3]", "a shell"),
    ({"trial": {"command": ["sh", "-c", "-e", LR]}}, "spec.trial.command[3]", "a shell"),
    ({"trial": {"command": ["sh", "-c", "--", LR]}}, "spec.trial.command[3]", "a shell"),
    ({"trial": {"command": ["env", "busybox", "ash", "-c", LR]}}, "spec.trial.command[4]", "a sh"),
    (
        {"trial": pod_of(command=["sh", "-c"], args=[f"train {LR}"])},
        "spec.trial.template.spec.containers[0].args[0]",
        "a shell",
    ),
    ({"trial": {"template": {}}}, "spec.trial.template.spec", "is required"),
    ({"trial": {"template": {"spec": {}}}}, "spec.trial.template.spec.containers", "at least one"),
    (
        {"trial": pod_of(args=[1])},
        "spec.trial.template.spec.containers[0].args[0]",
        "must be a string, not 1",
    ),
    ({"trial": pod_of(image="")}, "spec.trial.template.spec.containers[0].image", "is required"),
    ({"trial": {"resources": {"cpu": 1}}}, "spec.trial.resources.cpu", "unknown field"),
    ({"trial": {"resources": {"limits": 1}}}, "spec.trial.resources.limits", "not 1"),
    (
        {"trial": {"template": pod_of()["template"] | {"kind": "Pod"}}},
        "spec.trial.template.kind",
        "no field",
    ),
]


@pytest.mark.parametrize(("spec", "field", "says"), UNACCEPTABLE)
def test_what_cannot_be_run_is_refused_by_name(spec: dict[str, Any], field: str, says: str) -> None:
    found = problems(study(**spec))
    assert [e.field for e in found] == [field]
    assert says in found[0].message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nodeName", "n1"),
        ("nodeName", "Never"),
        ("restartPolicy", "Always"),
    ],
)
def test_a_reserved_field_of_a_pod_is_refused(field: str, value: str) -> None:
    spec = pod_of()
    spec["template"]["spec"][field] = value
    (error,) = problems(study(trial=spec))
    assert error.field == f"spec.trial.template.spec.{field}"


@pytest.mark.parametrize(
    "trial_spec",
    [
        {"command": ["sh", "-c", 'train "$1"', "sh", LR]},
        {"command": ["sh", "script.sh", LR]},
        {"command": ["python", "-c", "1"], "args": [LR]},
        {"command": ["bash", "-e", "script.sh"], "args": ["-c", LR]},
        {"command": ["sh", "-c", "echo ${HOME} ${PIPESTATUS[0]}"]},
        pod_of(args=[LR]),
    ],
)
def test_what_is_safe_is_accepted(trial_spec: dict[str, Any]) -> None:
    assert problems(study(trial=trial_spec)) == []


def test_reports_that_were_never_seen_are_told() -> None:
    made = told(accuracy=0.5)
    made.missing = 3
    of = facts(state=S)
    progress = follow(trial(), {of.key: of}, {of.pod_uid: made}, study().spec, at(70))
    (complete,) = [c for c in progress.status.conditions if c.type == "ObservationsComplete"]
    assert (complete.status, complete.reason) == ("False", "ObservationsMissing")
    assert "3 reports" in complete.message
    assert progress.state == "Succeeded"


def test_a_source_that_is_not_set_up_is_refused() -> None:
    asked = study(metrics=[{"type": "Logs"}, {"type": "Prometheus"}])
    assert not problems(asked)
    (error,) = problems(asked, sources={SourceType.LOGS})
    assert error.field == "spec.metrics[1].type"
    assert "--prometheus-url" in error.message
    plan = decide(replace(snapshot(asked), sources={SourceType.LOGS}))
    assert not plan.actions
    assert plan.status is not None
