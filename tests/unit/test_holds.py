"""Who holds a Job back: we do so for a suspended Study only, and what others hold is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from kubestudy.api.base import ANNOTATION_SUSPENDED, LABEL_QUEUE, LABEL_QUEUE_PRIORITY
from kubestudy.api.meta import condition
from kubestudy.api.study import Study
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey
from kubestudy.core.plan import StartRun, StopRun, SuspendRun, WriteTrialStatus
from kubestudy.workloads.job import build, kept_of, observe, suspension
from kubestudy.workloads.pod import moment
from kubestudy.workloads.pod_template import JobSettings
from tests.unit.build import at, facts, run, snapshot, study, trial
from tests.unit.fake_cluster import FakeCluster, Object, is_suspended
from tests.unit.test_one_pod import VALUES, World, folds_of, in_one_pod

NOW = at(100)
ONE_GPU = {"image": "i", "gpus": 1}


def job(queue: str | None = None, marked: bool = False, suspend: bool = True) -> Object:
    """A Job of the first trial, as it is stored."""
    made = build(study(), trial(), RunKey("demo-0"), JobSettings())
    made["metadata"] |= {"uid": "j", "creationTimestamp": "2026-01-01T00:00:00Z"}
    if queue is not None:
        made["metadata"]["labels"][LABEL_QUEUE] = queue
    if marked:
        made["metadata"]["annotations"][ANNOTATION_SUSPENDED] = "true"
    made["spec"]["suspend"] = suspend
    return made | {"status": {}}


def seen(made: Object) -> RunFacts:
    found = observe(made, [], NOW)
    assert found is not None
    return found


def owner(manager: str, seconds: int, *fields: str) -> Object:
    return {
        "manager": manager,
        "time": at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fieldsV1": {"f:spec": {f"f:{field}": {} for field in fields}},
    }


# The queue.


@pytest.mark.parametrize(
    ("of_study", "of_template", "on_job"),
    [
        ({LABEL_QUEUE: "a", "team": "nlp"}, {}, {LABEL_QUEUE: "a"}),
        ({}, {LABEL_QUEUE: "b", "team": "nlp"}, {LABEL_QUEUE: "b"}),
        (
            {LABEL_QUEUE: "a", LABEL_QUEUE_PRIORITY: "low"},
            {LABEL_QUEUE: "b"},
            {LABEL_QUEUE: "b", LABEL_QUEUE_PRIORITY: "low"},
        ),
        ({}, {}, {}),
    ],
)
def test_the_queue_of_a_study_or_its_template_is_its_jobs(
    of_study: dict[str, str], of_template: dict[str, str], on_job: dict[str, str]
) -> None:
    pod = {"metadata": {"labels": of_template}, "spec": {"containers": [{"name": "t"}]}}
    of = study(meta={"labels": of_study}, trial={"template": pod})
    labels = build(of, trial(), RunKey("demo-0"), JobSettings())["metadata"]["labels"]
    ours = ("kubestudy.dev/", "app.kubernetes.io/")
    assert {k: v for k, v in labels.items() if not k.startswith(ours)} == on_job


# What is seen.


def test_only_what_bears_our_mark_is_held_back_by_us() -> None:
    ours = seen(job(marked=True))
    assert ours.suspended and not ours.theirs and ours.held_by is None
    assert not ours.active  # it runs again when we say so


@pytest.mark.parametrize(
    ("made", "reason", "message"),
    [
        (job("q"), "Queued", "held back by Kueue, in queue q"),
        (job("q", marked=True), "Queued", "held back by Kueue, in queue q"),
        (job(), "HeldBack", "held back by somebody else, who set spec.suspend of its Job"),
    ],
    ids=["in a queue", "put into one while we held it", "by whom is not known"],
)
def test_what_others_hold_back_has_its_slot(made: Object, reason: str, message: str) -> None:
    theirs = seen(made)
    assert theirs.held_by is not None and theirs.theirs and not theirs.suspended
    assert theirs.active  # it may run at any moment
    assert (theirs.reason, theirs.message) == (reason, message)


@pytest.mark.parametrize(
    ("made", "theirs"),
    [
        (job(suspend=False), False),
        (job("q", suspend=False), True),
        (job(marked=True, suspend=False), True),
    ],
    ids=["nobody has", "its queue has", "somebody let go what we held"],
)
def test_who_lets_a_job_run_is_seen(made: Object, theirs: bool) -> None:
    found = seen(made)
    assert not found.held
    assert found.theirs == theirs


@pytest.mark.parametrize(
    ("owners", "who"),
    [
        ([owner("kubectl-patch", 5, "suspend")], "kubectl-patch, which"),
        ([owner("kubestudy", 1, "suspend"), owner("a", 9, "suspend")], "a, which"),
        ([owner("b", 1, "suspend"), owner("c", 9, "template")], "b, which"),
        # A webhook has changed what we made, which counts as ours.
        ([owner("kubestudy", 1, "suspend", "template")], "somebody else, who"),
    ],
)
def test_who_set_it_is_told_as_far_as_it_is_known(owners: list[Object], who: str) -> None:
    made = job()
    made["metadata"]["managedFields"] = owners
    kept = kept_of(made)
    assert seen(kept).message == f"held back by {who} set spec.suspend of its Job"
    assert "template" not in str(kept["metadata"]["managedFields"])


@pytest.mark.parametrize(("manager", "theirs"), [("kubectl-patch", True), ("kubestudy", False)])
def test_what_another_has_let_go_stays_theirs(manager: str, theirs: bool) -> None:
    made = job(suspend=False)
    made["metadata"]["managedFields"] = [
        owner("kubestudy", 1, "template"),
        owner(manager, 5, "suspend"),
    ]
    found = seen(kept_of(made))
    assert (found.held, found.theirs) == (False, theirs)


def test_what_has_ended_is_held_back_by_nobody() -> None:
    made = job()
    made["status"]["conditions"] = [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    ]
    found = seen(made)
    assert found.ended_by_itself and not found.held and not found.active


def test_our_hold_bears_our_mark_and_is_laid_on_what_was_seen() -> None:
    made = job()
    made["metadata"]["resourceVersion"] = "7"
    assert suspension(made, suspend=True) == {
        "metadata": {"resourceVersion": "7", "annotations": {ANNOTATION_SUSPENDED: "true"}},
        "spec": {"suspend": True},
    }
    assert suspension(made, suspend=False) == {
        "metadata": {"resourceVersion": "7", "annotations": {ANNOTATION_SUSPENDED: None}},
        "spec": {"suspend": False},
    }


# What is decided.

HELD: dict[str, Any] = {
    "pod": None,
    "pod_uid": None,
    "held_by": "Kueue, in queue q",
    "theirs": True,
    "reason": "Queued",
    "message": "held back by Kueue, in queue q",
}


def written(plan: Any) -> list[tuple[str, str, str]]:
    """What the Trials are told to be."""
    found = []
    for action in plan.actions:
        if isinstance(action, WriteTrialStatus):
            (true,) = [c for c in action.status.conditions if c.status == "True"]
            found.append((true.type, true.reason, true.message))
    return found


def test_a_job_that_waits_in_a_queue_is_left_alone_and_told_of() -> None:
    plan = decide(snapshot(study(budget={"parallelism": 1}), [trial()], [facts(**HELD)]))
    assert written(plan) == [("Pending", "Queued", "held back by Kueue, in queue q")]
    assert len(plan.actions) == 1  # nothing is started in its slot


def test_a_wait_that_lasts_but_a_moment_costs_no_write() -> None:
    plan = decide(snapshot(study(budget={"parallelism": 1}), [trial()], [facts(**HELD)], now=2))
    assert not plan.actions


@pytest.mark.parametrize(
    "theirs",
    [facts(**HELD), facts(state="Running", theirs=True)],  # type: ignore[arg-type]
    ids=["held back", "let go"],
)
def test_a_suspended_study_ends_what_others_may_let_go(theirs: RunFacts) -> None:
    plan = decide(snapshot(study(suspend=True), [trial(runs=[run()])], [theirs]))
    told, *rest = plan.actions
    assert rest == [StopRun(theirs.key, theirs.job)]
    assert written(plan) == [
        ("Pending", "Suspended", "held back while the Study is suspended"),
    ]
    assert isinstance(told, WriteTrialStatus)
    (ended,) = told.status.runs or ()
    assert (ended.outcome, ended.reason) == ("Stopped", "Suspended")


def test_a_study_is_not_suspended_while_a_pod_may_be_made_that_nobody_has_seen() -> None:
    begun = facts(pod=None, pod_uid=None)
    plan = decide(snapshot(study(suspend=True), [trial(runs=[])], [begun]))
    assert SuspendRun(begun.key, begun.job, suspend=True) in plan.actions
    told = condition(plan.status and plan.status.conditions, "Suspended")
    assert told is not None and (told.status, told.reason) == ("False", "Suspending")


def test_it_is_run_again_once_the_study_is_resumed_and_nothing_of_it_is_at_work() -> None:
    before = trial(runs=[run(outcome="Stopped", reason="Suspended")])
    of = study(budget={"parallelism": 2, "maxTrials": 1})
    still = facts(state="Running", theirs=True, deleting=True)  # type: ignore[arg-type]
    assert not [a for a in decide(snapshot(of, [before], [still])).actions if is_start(a)]
    plan = decide(snapshot(of, [before]))
    assert [a for a in plan.actions if is_start(a)] == [StartRun(RunKey("demo-0", attempt=1))]
    assert not [a for a in decide(snapshot(study(suspend=True), [before])).actions if is_start(a)]


def is_start(action: object) -> bool:
    return isinstance(action, StartRun | SuspendRun)


# In the course of things.


def said(world: FakeCluster, name: str = "demo-0") -> tuple[str, str]:
    trial = world.trials[name]
    told = condition(trial.status and trial.status.conditions, trial.state)
    return (told.reason, told.message) if told else ("", "")


def rounds(world: FakeCluster, number: int = 3, seconds: float = 10) -> None:
    """The controller and the cluster work; pods start, and nothing ends."""
    for _ in range(number):
        world.reconcile()
        world.tick()
        for pod in world.pods.values():
            if pod["status"]["phase"] == "Pending":
                world.start_pod(pod)
        world.seconds += seconds
    world.reconcile()


def begun(quota: int | None = 2, of: Study | None = None) -> FakeCluster:
    world = FakeCluster(of or study(trial=ONE_GPU, budget={"parallelism": 4}), quota=quota)
    rounds(world)
    return world


def test_a_study_runs_through_a_queue_without_writing_against_it() -> None:
    world = begun()
    assert len(world.jobs) == 4
    assert [is_suspended(j) for j in world.jobs.values()] == [False, False, True, True]
    assert said(world, "demo-3") == ("Queued", "held back by Kueue, in queue default")
    world.drive()
    assert world.study.status is not None
    assert world.study.status.trials is not None and world.study.status.trials.succeeded == 6
    assert world.writes["SuspendRun"] == 0
    assert world.writes["StartRun"] == 6


def test_a_study_that_is_suspended_leaves_its_queue_and_joins_it_again() -> None:
    world = begun()
    world.edit(lambda spec: spec.update(suspend=True))
    rounds(world)
    assert not world.jobs and not world.pods
    words = ("Suspended", "held back while the Study is suspended")
    assert [said(world, f"demo-{i}") for i in range(4)] == [words] * 4
    world.edit(lambda spec: spec.update(suspend=False))
    rounds(world, 1)
    assert sorted(world.jobs) == [f"demo-{i}-0-0-1" for i in range(4)]  # at once
    world.drive()
    assert world.study.status is not None
    counts = world.study.status.trials
    assert counts is not None and (counts.succeeded, counts.failed) == (6, 0)
    assert world.writes["SuspendRun"] == 0


def test_a_job_held_by_hand_waits_for_whoever_holds_it() -> None:
    world = begun(quota=None)
    world.hold("demo-0-0-0-0", suspend=True)
    rounds(world)
    assert said(world)[0] == "HeldBack"
    writes = world.writes.copy()
    rounds(world, 20)
    assert world.writes == writes
    world.let_go()
    world.drive()
    assert world.trials["demo-0"].state == "Succeeded"


def test_what_somebody_lets_go_in_a_suspended_study_is_ended_and_not_held_again() -> None:
    world = begun(quota=None)
    world.edit(lambda spec: spec.update(suspend=True))
    rounds(world)
    assert world.writes["SuspendRun"] == 4
    world.hold("demo-0-0-0-0", suspend=False)
    rounds(world)
    assert "demo-0-0-0-0" not in world.jobs
    assert world.writes["SuspendRun"] == 4
    world.edit(lambda spec: spec.update(suspend=False))
    world.drive()
    assert world.trials["demo-0"].state == "Succeeded"
    assert world.writes["SuspendRun"] == 4 + 3


def test_what_waits_for_a_slot_after_a_suspension_says_so() -> None:
    world = begun(quota=None)
    world.edit(lambda spec: spec.update(suspend=True))
    rounds(world)
    world.edit(lambda spec: spec.update(suspend=False, budget={"parallelism": 1}))
    rounds(world)
    words = ("Resuming", "the Study is resumed; it goes on in the next free slot")
    assert [said(world, f"demo-{i}") for i in range(1, 4)] == [words] * 3
    assert world.trials["demo-0"].state == "Running"


def test_the_time_in_a_queue_costs_no_gpus() -> None:
    of = study(trial=ONE_GPU, budget={"parallelism": 1, "maxTrials": 1, "maxGPUHours": 1})
    world = begun(quota=1, of=of)
    (name,) = world.jobs
    (began,) = [moment(pod["status"]["startTime"]) for pod in world.pods.values()]
    assert began is not None
    at_work = (world.now - began).total_seconds()
    world.quota = 0
    world.evict(name)
    rounds(world, 3, seconds=3600)
    assert said(world) == ("Queued", "held back by Kueue, in queue default")
    (waits,) = (world.trials["demo-0"].status and world.trials["demo-0"].status.runs) or ()
    assert waits.gpu_seconds == at_work
    writes = world.writes.copy()
    rounds(world, 3, seconds=3600)
    assert world.writes == writes
    world.quota = 1
    world.drive()
    assert world.trials["demo-0"].state == "Succeeded"


def test_folds_in_one_pod_that_are_all_done_are_not_trained_again() -> None:
    world = World(in_one_pod(budget={"maxTrials": 1}), quota=1)
    pod = world.begin()
    for fold, value in enumerate(VALUES):
        world.say(pod, fold, value, final=True)
    world.edit(lambda spec: spec.update(suspend=True))
    rounds(world)
    assert folds_of(world.trial()) == dict(enumerate(VALUES))
    assert world.trial().state == "Succeeded"
    assert not world.jobs
