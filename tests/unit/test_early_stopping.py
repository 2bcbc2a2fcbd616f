"""What becomes of a Study whose trials are stopped early: the decision, from what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kubestudy.api.meta import condition
from kubestudy.api.trial import Trial, TrialStatus
from kubestudy.core.courses import course
from kubestudy.core.decide import decide
from kubestudy.core.early_stopping import end_early, saved_by_early_stopping, where_stopped
from kubestudy.core.facts import RunKey, RunState
from kubestudy.core.plan import CreateTrial, Plan, StopRun, WriteTrialStatus
from kubestudy.core.reports import Observation, RunReport
from kubestudy.core.trials import Progress
from tests.unit.build import at, facts, run, snapshot, study, trial

RUNNING = RunState.RUNNING


def stopping(rule: str, settings: dict[str, Any], **spec: Any) -> Any:
    return study(
        earlyStopping={"type": rule, "settings": settings},
        **{"budget": {"parallelism": 10}, "trial": {"image": "i", "gpus": 2}} | spec,
    )


def told(*values: float, first: int = 1) -> RunReport:
    report = RunReport.of(["accuracy"])
    for step, value in enumerate(values, first):
        report.add(Observation({"accuracy": value}, step))
    return report


def with_curve(one: Trial, of: Any, *folds: Sequence[float]) -> Trial:
    curve: list[Any] = []
    for fold, values in enumerate(folds):
        curve = course(curve, told(*values), fold, of.spec)
    status = (one.status or TrialStatus()).model_copy(update={"curve": curve})
    return one.model_copy(update={"status": status})


def done(index: int, of: Any, *values: float, gpu_seconds: int = 0) -> Trial:
    runs = [run(index, outcome="Succeeded", gpuSeconds=gpu_seconds)]
    one = trial(index, state="Succeeded", reason="Completed", value=values[-1], runs=runs)
    return with_curve(one, of, values)


def at_work(index: int, *values: float, **more: Any) -> tuple[Trial, Any, dict[str, RunReport]]:
    seen = facts(index, RUNNING, **more)
    return trial(index, state="Running", runs=[run(index)]), seen, {seen.pod_uid: told(*values)}


def written(plan: Plan) -> dict[str, TrialStatus]:
    return {a.trial: a.status for a in plan.actions if isinstance(a, WriteTrialStatus)}


def stopped(plan: Plan) -> list[str]:
    return [a.job for a in plan.actions if isinstance(a, StopRun)]


MEDIAN = {"startupTrials": 3}


def test_a_bad_trial_is_stopped_while_it_runs_and_a_good_one_is_not() -> None:
    of = stopping("Median", MEDIAN)
    bad, of_bad, report_of_bad = at_work(3, 0.1, 0.2)
    good, of_good, report_of_good = at_work(4, 0.1, 0.6)
    trials = [*(done(i, of, 0.3, 0.6) for i in range(3)), bad, good]
    plan = decide(snapshot(of, trials, [of_bad, of_good], report_of_bad | report_of_good))
    assert stopped(plan) == ["demo-3-0-0-0"]
    status = written(plan)["demo-3"]
    said = condition(status.conditions, "Stopped")
    assert (status.state, said and said.reason) == ("Stopped", "EarlyStopped")
    assert said and said.message == (
        "accuracy 0.2 at step 2 is worse than the median 0.45 of 3 trials"
    )
    assert [(r.outcome, r.reason) for r in status.runs or ()] == [("Stopped", "EarlyStopped")]
    assert written(plan)["demo-4"].state == "Running"
    assert plan.status and plan.status.trials and plan.status.trials.stopped == 1


def test_a_stopped_trial_is_not_judged_again_and_makes_room_for_another() -> None:
    of = stopping("Median", MEDIAN, budget={"parallelism": 1})
    one = trial(3, state="Stopped", reason="EarlyStopped", runs=[run(3, outcome="Stopped")])
    trials = [*(done(i, of, 0.6) for i in range(3)), one]
    plan = decide(snapshot(of, trials))
    assert not written(plan)
    assert [a.trial.spec.index for a in plan.actions if isinstance(a, CreateTrial)] == [4]


def test_a_trial_is_judged_when_it_reports_not_when_others_end() -> None:
    of = stopping("Median", MEDIAN)
    one, seen, reports = at_work(3, 0.1)
    told_before = with_curve(one, of, [0.1])
    peers = [done(i, of, 0.6) for i in range(3)]
    assert not stopped(decide(snapshot(of, [*peers, told_before], [seen], reports)))
    reports[seen.pod_uid].add(Observation({"accuracy": 0.2}, 2))
    assert stopped(decide(snapshot(of, [*peers, told_before], [seen], reports)))


def test_a_restarted_controller_that_reads_the_log_again_decides_the_same() -> None:
    of = stopping("Median", MEDIAN)
    peers = [done(i, of, 0.3, 0.6) for i in range(3)]
    one, seen, _ = at_work(3)
    stored = with_curve(one, of, [0.1])
    plans = [
        decide(snapshot(of, [*peers, t], [seen], {seen.pod_uid: told(0.1, 0.2)}))
        for t in (one, stored)
    ]
    statuses = [written(p)["demo-3"].model_copy(update={"metrics": None}) for p in plans]
    assert statuses[0] == statuses[1]


def test_what_has_ended_by_itself_keeps_its_value() -> None:
    of = stopping("Threshold", {"lower": 0.5})
    seen = facts(0, RunState.SUCCEEDED)
    unread = told(0.1)
    plan = decide(snapshot(of, [trial(runs=[run()])], [seen], {seen.pod_uid: unread}))
    assert not stopped(plan)
    unread.close(None)
    plan = decide(snapshot(of, [trial(runs=[run()])], [seen], {seen.pod_uid: unread}))
    assert written(plan)["demo-0"].state == "Succeeded"


def test_without_a_rule_nothing_is_stopped() -> None:
    of = study(budget={"parallelism": 10})
    one, seen, reports = at_work(9, 0.0)
    plan = decide(snapshot(of, [*(done(i, of, 0.9) for i in range(9)), one], [seen], reports))
    assert not stopped(plan)


# Patience.


@pytest.mark.parametrize(("strategy", "value"), [("Last", 0.6), ("Best", 0.7)])
def test_a_run_without_improvement_counts_as_done(strategy: str, value: float) -> None:
    objective = {"metric": "accuracy", "direction": "Maximize", "strategy": strategy}
    of = stopping("Patience", {"patience": 2}, objectives=[objective])
    one, seen, reports = at_work(0, 0.5, 0.7, 0.65, 0.6)
    plan = decide(snapshot(of, [one], [seen], reports, now=31))
    assert stopped(plan) == ["demo-0-0-0-0"]
    status = written(plan)["demo-0"]
    said = condition(status.conditions, "Succeeded")
    assert status.state == "Succeeded"
    assert said and said.reason == "EarlyStopped"
    assert said.message == "accuracy has not improved on 0.7 in 2 reports, up to step 4"
    assert status.value("accuracy") == value
    assert [(r.outcome, r.gpu_seconds) for r in status.runs or ()] == [("Succeeded", 60)]
    assert plan.status and plan.status.best and plan.status.best.trial == "demo-0"


def of_fold(fold: int, state: RunState = RUNNING) -> Any:
    key, job = RunKey("demo-0", fold=fold), f"demo-0-0-{fold}-0"
    of_trial = facts(0, state)
    return replace(of_trial, key=key, job=job, pod=f"{job}-pod", pod_uid=f"{job}-uid")


def test_with_folds_patience_ends_the_run_of_one_fold_alone() -> None:
    of = stopping("Patience", {"patience": 1}, crossValidation={"folds": 2})
    first, second = of_fold(0), of_fold(1)
    one = trial(runs=[run(), run() | {"job": "demo-0-0-1-0", "fold": 1}], state="Running")
    reports = {first.pod_uid: told(0.5, 0.5), second.pod_uid: told(0.5, 0.6)}
    plan = decide(snapshot(of, [one], [first, second], reports, now=30))
    assert stopped(plan) == ["demo-0-0-0-0"]
    status = written(plan)["demo-0"]
    assert status.state == "Running"
    assert [r.outcome for r in status.runs or ()] == ["Succeeded", "Running"]
    # The pod that is ended is still there in the next decision.
    after = one.model_copy(update={"status": status})
    reports[second.pod_uid].add(Observation({"accuracy": 0.6}, 3))
    plan = decide(snapshot(of, [after], [first, second], reports, now=31))
    assert set(stopped(plan)) == {"demo-0-0-0-0", "demo-0-0-1-0"}
    status = written(plan)["demo-0"]
    assert status.state == "Succeeded"
    assert [v.value for v in status.objectives or ()] == [0.55]


# Folds.


def test_with_folds_a_trial_is_stopped_for_one_that_is_hopeless() -> None:
    of = stopping("Median", {"startupTrials": 1}, crossValidation={"folds": 2, "discard": "None"})
    peer = with_curve(trial(1, state="Succeeded", value=0.7), of, [0.9, 0.9], [0.5, 0.5])
    first, second = of_fold(0), of_fold(1)
    one = trial(runs=[run(), run() | {"job": "demo-0-0-1-0", "fold": 1}], state="Running")
    reports = {first.pod_uid: told(0.95), second.pod_uid: told(0.4)}
    plan = decide(snapshot(of, [one, peer], [first, second], reports))
    assert set(stopped(plan)) == {"demo-0-0-0-0", "demo-0-0-1-0"}
    said = condition(written(plan)["demo-0"].conditions, "Stopped")
    assert said and "at step 1 of fold 1 is worse than the median 0.5" in said.message


def test_wilcoxon_spares_a_trial_its_last_folds() -> None:
    of = stopping("Wilcoxon", {}, crossValidation={"folds": 6, "discard": "None"})

    def folds(number: int, value: float) -> list[dict[str, Any]]:
        objectives = [{"metric": "accuracy", "value": value}]
        return [
            run(outcome="Succeeded", objectives=objectives, fold=f) | {"job": f"demo-0-0-{f}-0"}
            for f in range(number)
        ]

    best = trial(1, state="Succeeded", value=0.9, runs=folds(6, 0.9))
    seen, report = of_fold(3, RunState.SUCCEEDED), told(0.5)
    report.close(None)
    at_three = [*folds(3, 0.5), run() | {"job": "demo-0-0-3-0", "fold": 3}]
    one = trial(0, state="Running", runs=at_three)
    plan = decide(snapshot(of, [one, best], [seen], {seen.pod_uid: report}))
    status = written(plan)["demo-0"]
    said = condition(status.conditions, "Stopped")
    assert said and said.message.startswith("the mean accuracy 0.5 over 4 folds is worse than 0.9")
    assert [r.outcome for r in status.runs or ()] == ["Succeeded"] * 4


# What others learn of it.


def ended(index: int, state: str, reason: str, gpu_seconds: int) -> Progress:
    runs = [run(index, outcome=state, gpuSeconds=gpu_seconds)]
    one = trial(index, state=state, reason=reason, runs=runs)
    return Progress(one, one.status or TrialStatus())


def test_savings_are_the_difference_to_the_mean_of_whole_trials() -> None:
    whole = [ended(0, "Succeeded", "Completed", 100), ended(1, "Succeeded", "Completed", 200)]
    early = [ended(2, "Stopped", "EarlyStopped", 30), ended(3, "Succeeded", "EarlyStopped", 100)]
    long = [ended(4, "Stopped", "EarlyStopped", 400)]
    others = [ended(5, "Stopped", "GoalReached", 1), ended(6, "Failed", "Diverged", 1)]
    assert saved_by_early_stopping([*whole, *early, *long, *others]) == 120 + 50
    assert saved_by_early_stopping(early) == 0


@pytest.mark.parametrize(("strategy", "value"), [("Last", 0.1), ("Best", 0.3)])
def test_an_algorithm_is_told_where_a_trial_was_stopped(strategy: str, value: float) -> None:
    objective = {"metric": "accuracy", "direction": "Maximize", "strategy": strategy}
    of = stopping("Median", MEDIAN, objectives=[objective])
    one = with_curve(trial(0, state="Stopped", reason="EarlyStopped"), of, [0.3, 0.2, 0.1])
    assert where_stopped(Progress(one, one.status), of.spec) == ((3, value),)
    held = with_curve(trial(0, state="Stopped", reason="TimeoutReached"), of, [0.3])
    assert where_stopped(Progress(held, held.status), of.spec) == ()


def test_nothing_is_judged_by_a_rule_that_is_not_there() -> None:
    one, *_ = at_work(0, 0.0)
    progress = Progress(one, one.status or TrialStatus())
    end_early([progress], study().spec, at(100))
    assert not progress.changed
