"""What is done about failures: run again or not, when, and what it has cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kubestudy.api.trial import Run
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunKey, RunState
from kubestudy.core.failures import bad, judge, refuses_arguments, without_values
from kubestudy.core.plan import CreateTrial, StartRun, StopRun, WriteTrialStatus
from kubestudy.core.retries import LONGEST_WAIT, MOST_IN_A_ROW, not_before, runs_again
from tests.unit.build import at, facts, report, run, snapshot, study, trial
from tests.unit.fake_cluster import FakeCluster

F = RunState.FAILED


def cut_off(reason: str = "Evicted", number: int = 1, lasting: float = 5) -> list[Run]:
    """Runs that were cut off one after the other, the last of them at 1,000 s."""
    return [
        Run.model_validate(
            run(attempt=i, outcome="Failed", reason=reason)
            | {"startTime": at(1000 - lasting), "completionTime": at(1000)}
        )
        for i in range(number)
    ]


@pytest.mark.parametrize(
    ("number", "wait"), [(0, None), (1, None), (2, 10), (3, 20), (4, 40), (7, 320), (8, 360)]
)
def test_the_first_retry_is_at_once_and_the_others_back_off(number: int, wait: int | None) -> None:
    expected = None if wait is None else at(1000 + wait)
    assert not_before(cut_off(number=number)) == expected
    assert timedelta(minutes=6) == LONGEST_WAIT


def test_what_was_at_work_for_long_was_no_vain_try() -> None:
    assert not_before([*cut_off(number=6), *cut_off(lasting=900)]) is None


def test_disruptions_are_not_counted_and_interruptions_are() -> None:
    interrupted, evicted = bad("Interrupted", ""), bad("Evicted", "")
    assert runs_again(interrupted, cut_off("Evicted", 9), max_retries=1)
    assert runs_again(interrupted, cut_off("Interrupted", 1), max_retries=2)
    assert not runs_again(interrupted, cut_off("Interrupted", 2), max_retries=2)
    assert runs_again(evicted, cut_off("Interrupted", 2), max_retries=0)
    assert not runs_again(evicted, cut_off("Evicted", MOST_IN_A_ROW), max_retries=99)
    assert not runs_again(bad("OutOfMemory", ""), [], max_retries=99)


DISRUPTIONS = ["Deleted", "Evicted", "Preempted", "NodeLost", "NodeShutdown", "NotAdmitted"]


@pytest.mark.parametrize("reason", DISRUPTIONS)
def test_what_was_taken_away_is_run_again_at_once_and_told(reason: str) -> None:
    of = study(trial={"image": "i", "maxRetries": 0}, budget={"parallelism": 1})
    gone = facts(state=F, reason=reason, message="so says the kubelet")
    said = {gone.pod_uid: report()}
    plan = decide(snapshot(of, [trial(runs=[run()])], [gone], said))
    written, started = plan.actions
    assert isinstance(written, WriteTrialStatus)
    assert written.status.state == "Pending"
    told = next(c for c in written.status.conditions if c.status == "True")
    assert (told.reason, told.message[: len(reason)]) == ("Retrying", reason)
    assert written.status.runs[0].reason == reason
    assert started == StartRun(RunKey("demo-0", attempt=1))
    assert [e.reason for e in plan.events if e.trial] == ["TrialRetried"]


def test_a_run_that_is_cut_off_again_waits_and_other_trials_use_its_slot() -> None:
    of = study(budget={"parallelism": 1})
    runs = [r.to_json() for r in cut_off(number=2)]
    plan = decide(snapshot(of, [trial(runs=runs)], now=1004))
    assert [type(a) for a in plan.actions] == [CreateTrial, StartRun]
    assert plan.look_again == 6
    later = decide(snapshot(of, [trial(runs=runs)], now=1010))
    assert later.actions == [StartRun(RunKey("demo-0", attempt=2))]


def test_a_trial_on_a_lost_node_moves_to_another_and_its_job_goes() -> None:
    of = study(budget={"parallelism": 1})
    lost = facts(state=F, reason="NodeLost", lingering=True, lost=True)
    before = trial(runs=[run()])
    plan = decide(snapshot(of, [before], [lost]))
    (written, stopped, started) = plan.actions
    assert isinstance(written, WriteTrialStatus)
    assert stopped == StopRun(lost.key, lost.job)
    assert started == StartRun(RunKey("demo-0", attempt=1))


def test_a_run_whose_job_was_deleted_is_replaced_once_its_pod_has_ended() -> None:
    world = FakeCluster(study(budget={"parallelism": 1, "maxTrials": 1}))
    world.reconcile()
    world.tick()
    (pod,) = world.pods.values()
    world.start_pod(pod)
    world.seconds += 5
    world.reconcile()
    world.delete_job("demo-0-0-0-0")
    assert not world.reconcile().actions, "its pod still has the slot and the checkpoints"
    world.tick()
    world.read_log(pod)
    (written, started) = world.reconcile().actions
    assert isinstance(written, WriteTrialStatus)
    assert [r.reason for r in written.status.runs or ()] == ["Deleted"]
    assert started == StartRun(RunKey("demo-0", attempt=1))
    world.drive()


def test_a_container_that_cannot_start_fails_its_trial_with_the_kubelets_message() -> None:
    stuck = facts(state=F, reason="ImagePullFailed", started=None, lingering=True)
    stuck = type(stuck)(**{**vars(stuck), "message": "ErrImagePull: no such tag"})
    plan = decide(snapshot(study(), [trial(runs=[run(outcome="Pending")])], [stuck]))
    written = next(a for a in plan.actions if isinstance(a, WriteTrialStatus))
    told = next(c for c in written.status.conditions if c.status == "True")
    assert (told.type, told.reason) == ("Failed", "ImagePullFailed")
    assert told.message == "ErrImagePull: no such tag"
    assert StopRun(stuck.key, stuck.job) in plan.actions


def test_what_waits_for_room_waits_for_ever_and_says_so() -> None:
    waits = facts(reason="Unschedulable", message="0/3 nodes are available")
    plan = decide(snapshot(study(budget={"parallelism": 1}), [trial()], [waits], now=10**6))
    (written,) = plan.actions
    told = next(c for c in written.status.conditions if c.status == "True")
    assert (told.type, told.reason, told.message) == (
        "Pending",
        "Unschedulable",
        "0/3 nodes are available",
    )


def test_a_sidecar_beside_an_ended_run_is_stopped_once_the_run_is_read() -> None:
    of = study(crossValidation={"folds": 2}, budget={"parallelism": 1})
    done = facts(state=RunState.SUCCEEDED, lingering=True)
    plan = decide(snapshot(of, [trial(runs=[run()])], [done]))
    assert not [a for a in plan.actions if isinstance(a, StopRun | StartRun)]
    plan = decide(snapshot(of, [trial(runs=[run()])], [done], {done.pod_uid: report(accuracy=1)}))
    assert StopRun(done.key, done.job) in plan.actions


# A program that does not take its arguments.

ARGPARSE = """\
usage: train.py [-h] [--rate RATE]
train.py: error: unrecognized arguments: --lr=0.1
"""
CLICK = """\
Usage: train.py [OPTIONS]
Try 'train.py --help' for help.

Error: No such option '--lr'.
"""
CUT_OFF = "[--warmup N] [--decay D]\ntrain.py: error: argument --lr: invalid float value: 'x'\n"


@pytest.mark.parametrize(
    ("tail", "refuses"),
    [
        (ARGPARSE, True),
        (CLICK, True),
        (CUT_OFF, True),
        ("error: the following arguments are required: --data", True),
        ("usage: train.py [-h]\ntrain.py: error: --lr must be above 0", True),
        ("ls: cannot access '/data': No such file or directory", False),
        ("grep: data: No such file or directory", False),
        ("bash: -c: line 1: syntax error near unexpected token `)'", False),
        ("usage: 80% of the disk\nloss=0.5", False),
        ("train.py: error: the loss was nan", False),
        ("", False),
    ],
)
def test_whether_a_program_refused_its_arguments_is_told_by_its_last_lines(
    tail: str, refuses: bool
) -> None:
    assert refuses_arguments(tail) is refuses
    ended = replace(facts(state=F, exit_code=2, message="so it said"), tail=tail)
    verdict = judge(ended, report(), ["accuracy"])
    assert verdict.reason == ("InvalidArgument" if refuses else "Failed")
    assert verdict.message == "so it said"
    assert judge(replace(ended, exit_code=1), report(), ["accuracy"]).reason == "Failed"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("unrecognized arguments: --lr=0.1 --o=a", "unrecognized arguments: --lr 2 x", True),
        ("no file '/data/1'", "no file '/data/2'", True),
        ("invalid choice: adam (at step 5)", "invalid choice: adam (at step 17)", True),
        ("exit code 4", "exit code 5", False),
        ("exit code 1, after printing: loss=5", "exit code 1, after printing: loss=7", True),
        ("no such column", "no such file", False),
    ],
)
def test_failures_are_of_a_kind_but_for_the_values_in_them(
    one: str, other: str, alike: bool
) -> None:
    assert (without_values(one) == without_values(other)) is alike


# What it has cost.


def test_the_time_before_a_suspension_is_paid_for() -> None:
    gpus = {"image": "i", "gpus": 2}
    world = FakeCluster(study(trial=gpus, budget={"parallelism": 1, "maxTrials": 1}))
    for _ in range(3):
        world.reconcile()
        world.tick()
        for pod in world.pods.values():
            world.start_pod(pod)
        world.seconds += 10
        world.reconcile()
        world.seconds += 90
        world.edit(lambda spec: spec.update(suspend=True))
        world.reconcile()
        for _ in range(3):
            world.reconcile()  # the news of its own write comes at once
            world.tick()
            world.seconds += 20
        world.edit(lambda spec: spec.update(suspend=False))
    (stored,) = world.trials["demo-0"].status.runs
    assert stored.gpu_seconds == 3 * 2 * 100
    assert stored.duration_seconds == 3 * 100
    world.drive()
    (stored,) = world.trials["demo-0"].status.runs
    own = (stored.completion_time - stored.start_time).total_seconds()
    assert stored.gpu_seconds == 600 + 2 * own
    assert stored.duration_seconds == 300 + own
    assert world.trials["demo-0"].status.worked() == timedelta(seconds=300 + own)


def test_each_attempt_is_paid_for() -> None:
    world = FakeCluster(study(trial={"image": "i", "gpus": 1}, budget={"maxTrials": 1}))
    for _ in range(3):
        world.seconds += 60
        world.reconcile()
        world.tick()
        (pod,) = [p for p in world.pods.values() if p["status"]["phase"] == "Pending"]
        world.start_pod(pod)
        world.seconds += 100
        world.reconcile()
        world.end_pod(pod, 143, disrupted=True)
        world.read_log(pod)
        world.tick()
        world.reconcile()
    paid = [r.gpu_seconds for r in world.trials["demo-0"].status.runs]
    assert paid == [100, 100, 100]
    assert world.study.status.gpu_seconds.used == 300


# The circuit breaker.


def failing(reasons: list[tuple[str, str]], **spec: Any) -> Any:
    """The plan for a Study whose first trials failed so, and whose next still runs."""
    of = study(**spec)
    failed = []
    for i, (reason, message) in enumerate(reasons):
        t = trial(i, state="Failed", reason=reason, ended=10)
        (c,) = t.status.conditions
        said = t.status.model_copy(
            update={"conditions": [c.model_copy(update={"message": message})]}
        )
        failed.append(t.model_copy(update={"status": said}))
    n = len(failed)
    at_work = facts(n, RunState.RUNNING)
    return decide(snapshot(of, [*failed, trial(n, runs=[run(n)])], [at_work]))


def stops(plan: Any) -> bool:
    return any(isinstance(a, StopRun) for a in plan.actions)


@pytest.mark.parametrize(
    ("reasons", "ends"),
    [
        ([("InvalidArgument", f"--batch-size={i} is unknown") for i in range(3)], True),
        ([("ImagePullFailed", "ErrImagePull: no such tag")] * 3, True),
        ([("InvalidArgument", f"unrecognized arguments: --o={o}") for o in "abc"], True),
        ([("DataUnavailable", f"no file '/data/{x}'") for x in "abc"], True),
        ([("InvalidArgument", "unknown argument")] * 2, False),
        ([("OutOfMemory", "killed")] * 3, False),
        ([("InvalidArgument", "unknown"), ("DataUnavailable", "none")] * 2, False),
        ([("InvalidArgument", "unknown"), ("InvalidArgument", "no such column")] * 2, False),
        ([("OutOfMemory", "killed"), ("Diverged", "nan")] * 3, True),
    ],
)
def test_the_first_trials_that_all_fail_the_same_way_end_the_study(
    reasons: list[tuple[str, str]], ends: bool
) -> None:
    plan = failing(reasons)
    assert stops(plan) is ends
    if ends:
        (stopped,) = [a.status for a in plan.actions if isinstance(a, WriteTrialStatus)]
        told = next(c for c in stopped.conditions if c.status == "True")
        assert told.reason == "TrialsFailed"
        assert reasons[0][0] in told.message or "all failed" in told.message


def test_with_a_number_of_its_own_a_study_goes_on() -> None:
    same = [("InvalidArgument", "unknown argument")] * 3
    assert not stops(failing(same, budget={"maxFailedTrials": 4}))
