"""Whatever happens in whatever order, no promise is broken and every Study comes to its end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kubestudy.api.meta import condition, is_true, rfc3339
from kubestudy.core.facts import RunKey
from kubestudy.core.plan import StartRun
from tests.support.surroundings import thorough
from tests.unit.build import study
from tests.unit.fake_cluster import (
    COLLECTIONS,
    BrokenPromise,
    FakeCluster,
    is_over,
    job_ended,
    value_of,
)

SPACES = [
    [{"name": "x", "values": [1, 2, 3]}],
    [{"name": "x", "values": [1, 2]}, {"name": "y", "choices": ["a", "b", "c"]}],
    [{"name": "x", "min": 0.001, "max": 1, "scale": "Log"}],
    [{"name": "x", "min": 1, "max": 40, "type": "Int"}, {"name": "y", "min": 0, "max": 2}],
]

STOPPING = [
    {"type": "Median", "settings": {"startupTrials": 1}},
    {"type": "Threshold", "settings": {"lower": 4, "upper": 9}},
    {"type": "Patience", "settings": {"patience": 1}},
]


DOOMED = st.sampled_from([0, 0, 5, 100])
QUOTAS = st.sampled_from([None, None, 1, 2])


@st.composite
def specs(draw: st.DrawFn, wide: bool = False) -> dict[str, Any]:
    """Specs of Studies that can be run; wide ones with folds and an algorithm that learns."""
    space = draw(st.sampled_from(SPACES))
    finite = all("values" in p or "choices" in p for p in space)
    budget: dict[str, Any] = {"parallelism": draw(st.integers(1, 4))}
    if not finite or draw(st.booleans()):
        budget["maxTrials"] = draw(st.integers(1, 7))
    if draw(st.booleans()):
        budget["maxFailedTrials"] = draw(st.integers(0, 3))
    if draw(st.integers(0, 4)) == 0:
        budget["timeout"] = draw(st.sampled_from(["20s", "90s"]))
    if draw(st.integers(0, 4)) == 0:
        budget["maxGPUHours"] = draw(st.sampled_from([0.01, 0.05]))
    template: dict[str, Any] = {"image": "i", "gpus": 1, "maxRetries": draw(st.integers(0, 2))}
    if draw(st.integers(0, 3)) == 0:
        template["timeout"] = "30s"
    objective: dict[str, Any] = {
        "metric": "accuracy",
        "direction": draw(st.sampled_from(["Maximize", "Minimize"])),
    }
    if draw(st.integers(0, 4)) == 0:
        objective["target"] = draw(st.integers(0, 14))
    if draw(st.integers(0, 4)) == 0:
        budget["maxTrialsWithoutImprovement"] = draw(st.integers(1, 3))
    rules = [None, None, None, *STOPPING]
    algorithm: dict[str, Any] = {"type": draw(st.sampled_from(["Grid", "Random"]))}
    more: dict[str, Any] = {"earlyStopping": draw(st.sampled_from(rules))}
    if not finite:
        algorithm = {"type": "Random"}
    if wide:
        algorithm = {"type": "TPE"}
        budget["maxTrials"] = draw(st.integers(1, 7))
        more = {
            "crossValidation": {
                "folds": draw(st.integers(2, 3)),
                "discard": draw(st.sampled_from(["None", "Forgiving"])),
                "execution": draw(st.sampled_from(["PodPerFold", "OnePod"])),
            }
        }
    elif draw(st.integers(0, 2)) == 0:
        algorithm = {
            "type": draw(st.sampled_from(["Hyperband", "ASHA"])),
            "resource": {"name": "epochs", "max": draw(st.sampled_from([2, 4, 9])), "eta": 2},
            "synchronous": draw(st.booleans()),
        }
        more = {}
        budget.setdefault("maxTrials", draw(st.integers(3, 9)))
        if draw(st.booleans()):
            template["checkpoints"] = {"claimName": "c"}
    elif draw(st.integers(0, 2)) == 0:
        algorithm = {
            "type": "PBT",
            "settings": {"populationSize": draw(st.integers(2, 4)), "truncation": 0.5},
            "resource": {"name": "epochs", "max": draw(st.integers(2, 3)), "eta": 2},
        }
        more = {}
        template["checkpoints"] = {"claimName": "c"}
    if algorithm["type"] != "PBT" and draw(st.integers(0, 3)) == 0:
        more["confirm"] = {"seeds": draw(st.integers(1, 3)), "top": draw(st.integers(1, 3))}
    return more | {
        "parameters": space,
        "algorithm": algorithm,
        "budget": budget,
        "trial": template,
        "objectives": [objective],
    }


class World(RuleBasedStateMachine):
    """A cluster where things happen, and one Study."""

    @initialize(spec=specs(), doomed=DOOMED, quota=QUOTAS)
    def apply_a_study(self, spec: dict[str, Any], doomed: int, quota: int | None) -> None:
        self.doomed = doomed
        self.world = FakeCluster(study(**spec), quota=quota)

    # The controller.

    @rule()
    def reconcile(self) -> None:
        self.world.reconcile()

    @rule()
    def reconcile_twice(self) -> None:
        self.world.reconcile()
        self.world.reconcile()

    @rule(writes=st.integers(0, 8))
    def die_in_the_middle_of_a_plan(self, writes: int) -> None:
        self.world.reconcile(crash_after=writes)

    @rule(collection=st.sampled_from(COLLECTIONS))
    def a_watch_lags(self, collection: str) -> None:
        self.world.lag(collection)

    @rule()
    def the_watches_catch_up(self) -> None:
        self.world.catch_up()

    @rule(data=st.data())
    def a_log_is_read(self, data: st.DataObject) -> None:
        if pod := self._a_pod(data):
            self.world.read_log(pod)

    @rule()
    def all_logs_are_read(self) -> None:
        for pod in self.world.pods.values():
            self.world.read_log(pod)

    @rule()
    def with_nothing_new_the_controller_comes_to_rest(self) -> None:
        self.world.catch_up()
        for _ in range(4):
            plan = self.world.reconcile()
            if not plan.actions and plan.status is None:
                self.world.check_words()
                return
        raise BrokenPromise(f"the controller never rests: {plan}")

    # The cluster.

    @rule(seconds=st.sampled_from([0.3, 1, 6, 40]))
    def time_passes(self, seconds: float) -> None:
        self.world.seconds += seconds

    @rule()
    def the_job_controller_works(self) -> None:
        self.world.tick()

    @rule()
    def pods_start(self) -> None:
        for pod in self.world.pods.values():
            if pod["status"]["phase"] == "Pending":
                self.world.start_pod(pod)

    @rule()
    def pods_report(self) -> None:
        for pod in self.world.pods.values():
            if pod["status"]["phase"] == "Running":
                self.world.report(pod)

    @rule(data=st.data(), code=st.sampled_from([0, 0, 0, 1, 64, 75, 137, 143]))
    def a_pod_ends(self, data: st.DataObject, code: int) -> None:
        if pod := self._a_pod(data, at_work=True):
            self.world.end_pod(pod, code)

    @rule(data=st.data())
    def a_pod_is_disrupted(self, data: st.DataObject) -> None:
        if pod := self._a_pod(data, at_work=True):
            self.world.end_pod(pod, 143, disrupted=True)

    @rule(data=st.data())
    def a_pod_reports_and_is_read(self, data: st.DataObject) -> None:
        pod = self._a_pod(data, at_work=True)
        if pod and pod["status"]["phase"] == "Running":
            self.world.report(pod)
            self.world.read_log(pod)

    @rule(data=st.data(), code=st.sampled_from([0, 0, 1]))
    def a_pod_ends_but_for_its_sidecar(self, data: st.DataObject, code: int) -> None:
        if pod := self._a_pod(data, at_work=True):
            self.world.end_pod(pod, code, lingers=True)

    @rule(data=st.data(), reason=st.sampled_from(["ImagePullBackOff", "InvalidImageName"]))
    def an_image_cannot_be_pulled(self, data: st.DataObject, reason: str) -> None:
        pod = self._a_pod(data, at_work=True)
        if pod and pod["status"]["phase"] == "Pending":
            waits = {"name": "trial", "state": {"waiting": {"reason": reason, "message": "no"}}}
            pod["status"]["containerStatuses"] = [waits]

    @rule(data=st.data())
    def a_node_is_lost(self, data: st.DataObject) -> None:
        pod = self._a_pod(data, at_work=True)
        if pod and not pod["metadata"].get("deletionTimestamp"):
            pod["metadata"]["deletionTimestamp"] = rfc3339(self.world.now)

    # Somebody else who holds Jobs back: Kueue by its quota (see FakeCluster.tick), or a person.

    @rule(data=st.data())
    def a_workload_is_evicted(self, data: st.DataObject) -> None:
        if self.world.quota is not None and (job := self._a_job(data)):
            self.world.evict(job)

    @rule(data=st.data(), suspend=st.booleans())
    def a_job_is_held_or_let_go_by_hand(self, data: st.DataObject, suspend: bool) -> None:
        if job := self._a_job(data):
            self.world.hold(job, suspend)

    # People.

    @rule(data=st.data())
    def a_pod_is_deleted_by_hand(self, data: st.DataObject) -> None:
        if pod := self._a_pod(data, at_work=True):
            self.world.end_pod(pod, 137, deleted=True)

    @rule()
    def pods_of_ended_jobs_are_cleaned_up(self) -> None:
        for job in self.world.jobs.values():
            if job_ended(job):
                for pod in self.world.pods_of(job):
                    del self.world.pods[pod["metadata"]["name"]]

    @rule(data=st.data())
    def a_job_is_deleted_by_hand(self, data: st.DataObject) -> None:
        if self.world.jobs:
            self.world.delete_job(data.draw(st.sampled_from(sorted(self.world.jobs))))

    @precondition(lambda self: not self.world.study.ended)
    @rule(data=st.data())
    def a_trial_is_deleted_by_hand(self, data: st.DataObject) -> None:
        if self.world.trials:
            self.world.delete_trial(data.draw(st.sampled_from(sorted(self.world.trials))))

    @rule(number=st.integers(1, 5))
    def parallelism_is_edited(self, number: int) -> None:
        self.world.edit(lambda spec: spec["budget"].update(parallelism=number))

    @rule(number=st.integers(1, 9))
    def max_trials_is_edited(self, number: int) -> None:
        self.world.edit(lambda spec: spec["budget"].update(maxTrials=number))

    @rule(suspend=st.booleans())
    def suspend_is_edited(self, suspend: bool) -> None:
        self.world.edit(lambda spec: spec.update(suspend=suspend))

    def _a_pod(self, data: st.DataObject, at_work: bool = False) -> Any:
        names = [n for n, p in self.world.pods.items() if not (at_work and is_over(p))]
        return self.world.pods[data.draw(st.sampled_from(sorted(names)))] if names else None

    def _a_job(self, data: st.DataObject) -> str | None:
        names = [n for n, j in self.world.jobs.items() if not job_ended(j)]
        return data.draw(st.sampled_from(sorted(names))) if names else None

    @invariant()
    def no_promise_is_broken(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        if self.world.study.spec.suspend:
            self.world.edit(lambda spec: spec.update(suspend=False))
        self.world.let_go()
        self.world.drive(doomed=self.doomed)
        assert_converged(self.world)


def assert_converged(world: FakeCluster) -> None:
    """All that must be true of a world at rest."""
    status, spec = world.study.status, world.study.spec
    assert status is not None
    assert world.conflicts == 0 or not world.hands_off
    # The conditions say that it is over, in one way.
    assert is_true(status.conditions, "Accepted")
    progressing = condition(status.conditions, "Progressing")
    assert progressing is not None
    assert progressing.status == "False", progressing
    assert is_true(status.conditions, "Complete") != is_true(status.conditions, "Failed")
    assert status.observed_generation == world.study.metadata.generation
    assert status.completion_time is not None

    # Each index once, from 0 without a gap, up to the number that was asked for.
    trials = list(world.trials.values())
    assert all(t.finished for t in trials)
    search = [t for t in trials if t.spec.confirms is None]
    indexes = sorted(t.spec.index for t in search)
    sizes = [len(p.values or p.choices or ()) for p in spec.parameters]
    wanted = spec.budget.max_trials or 10**9
    if all(sizes):
        size = 1
        for n in sizes:
            size *= n
        wanted = min(wanted, size)
    if progressing.reason in ("MaxTrialsReached", "SearchSpaceExhausted"):
        assert len(indexes) >= wanted
        if spec.algorithm.type == "Grid":
            assert len({str(t.spec.parameters) for t in search}) == len(search)
    if world.hands_off:
        assert sorted(t.spec.index for t in trials) == list(range(len(trials)))
        assert indexes == list(range(len(indexes)))

    # The counts and the best are those of the trials.
    assert status.trials is not None
    states = [t.state for t in trials]
    assert status.trials.created == len(trials)
    assert status.trials.succeeded == states.count("Succeeded")
    assert status.trials.failed == states.count("Failed")
    assert status.trials.stopped == states.count("Stopped")
    values = {t.metadata.name: t.value("accuracy") for t in search if t.state == "Succeeded"}
    if spec.confirm is not None and world.hands_off:
        assert_confirmed(world)
    for trial in trials:
        if trial.state == "Succeeded":
            assert trial.value("accuracy") == pytest.approx(value_of_trial(world, trial))
    if values and spec.confirm is not None:
        assert status.best is not None
        assert status.best.trial in values
    elif values:
        top = (max if spec.objective.direction == "Maximize" else min)(values.values())
        assert status.best is not None
        assert values[status.best.trial] == top
        first = min(world.trials[name].spec.index for name, v in values.items() if v == top)
        assert status.best.trial == f"demo-{first}"
        assert status.best.parameters == world.trials[status.best.trial].spec.parameters
    else:
        assert status.best is None
        assert is_true(status.conditions, "Failed")

    # Nothing runs, nothing is left over, and there is nothing to do.
    assert not [j for j in world.jobs.values() if world.is_active(j)]
    assert all(job_ended(j) for j in world.jobs.values())
    plan = world.reconcile()
    assert not plan.actions
    assert plan.status is None
    assert not plan.events


def value_of_trial(world: FakeCluster, trial: Any) -> float:
    space = world.study.spec.parameter
    given = {n: space[n].typed(v) for n, v in trial.spec.parameters.items()}
    return value_of(given, trial.spec.seed)


def assert_confirmed(world: FakeCluster) -> None:
    """That the best trials were run again, as far as there was time, and the best mean has won."""
    status, spec = world.study.status, world.study.spec
    assert status is not None
    assert spec.confirm is not None
    sign = -1 if spec.objective.direction == "Maximize" else 1
    trials = sorted(world.trials.values(), key=lambda t: t.spec.index)
    good = [t for t in trials if t.state == "Succeeded" and t.spec.confirms is None]
    good.sort(key=lambda t: sign * (t.value("accuracy") or 0))
    best = [t.metadata.name for t in good[: spec.confirm.top]]
    wanted = [(name, 1001 + i) for name in best for i in range(spec.confirm.seeds)]
    made = [(t.spec.confirms, t.spec.seed) for t in trials if t.spec.confirms]
    assert made == wanted[: len(made)]
    if is_true(status.conditions, "Complete"):
        progressing = condition(status.conditions, "Progressing")
        assert progressing is not None
        spent = progressing.reason in ("TimeoutReached", "GPUHoursSpent")
        assert made == wanted or spent
    values: dict[str, list[float]] = {}
    for t in trials:
        if t.spec.confirms and t.state == "Succeeded":
            own = world.trials[t.spec.confirms].value("accuracy") or 0
            values.setdefault(t.spec.confirms, [own]).append(t.value("accuracy") or 0)
    if values:
        means = {name: sum(v) / len(v) for name, v in values.items()}
        assert status.best is not None
        assert sign * means[status.best.trial] == pytest.approx(
            min(sign * mean for mean in means.values())
        )
    elif best:
        assert status.best is not None
        assert status.best.trial == best[0]


class WideWorld(World):
    """The same with folds, and an algorithm that learns from results."""

    @initialize(spec=specs(wide=True), doomed=DOOMED, quota=QUOTAS)
    def apply_a_study(self, spec: dict[str, Any], doomed: int, quota: int | None) -> None:
        self.doomed = doomed
        self.world = FakeCluster(study(**spec), quota=quota)


def effort(examples: int) -> settings:
    """A fixed number of worlds in ``make test``, ten times as many in ``make test-faults``."""
    return settings(
        max_examples=examples * (10 if thorough() else 1),
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


TestWorld = World.TestCase
TestWorld.settings = effort(150)
TestWideWorld = WideWorld.TestCase
TestWideWorld.settings = effort(25)


# What hypothesis is not left to find by chance.


def undisturbed(**spec: Any) -> FakeCluster:
    world = FakeCluster(study(**spec))
    world.drive()
    return world


@pytest.mark.parametrize("parallelism", [1, 3, 40])
def test_an_undisturbed_study_tries_every_point_and_converges(parallelism: int) -> None:
    world = undisturbed(budget={"parallelism": parallelism})
    assert_converged(world)
    assert len(world.trials) == 6


def test_an_undisturbed_trial_costs_at_most_five_writes() -> None:
    world = undisturbed(budget={"parallelism": 2})
    for name in world.trials:
        jobs_and_trial = 2
        assert world.writes[f"status of {name}"] + jobs_and_trial <= 5


@pytest.mark.parametrize("writes", range(12))
def test_a_crash_after_any_write_of_the_first_plan_changes_nothing(writes: int) -> None:
    world = FakeCluster(study(budget={"parallelism": 4}))
    world.reconcile(crash_after=writes)
    world.drive()
    assert_converged(world)
    assert len(world.trials) == 6
    assert world.conflicts == 0


def test_many_trials_are_made_in_several_rounds() -> None:
    space = [{"name": "x", "min": 1, "max": 100, "type": "Int"}]
    world = FakeCluster(study(parameters=space, budget={"parallelism": 100}))
    plan = world.reconcile()
    assert len(world.trials) == 32
    assert plan.look_again is not None
    assert plan.look_again < 1
    world.drive()
    assert len(world.trials) == 100


@pytest.mark.parametrize("collection", ["study", "trials", "jobs", "pods"])
def test_a_view_that_lags_for_long_only_delays(collection: str) -> None:
    world = FakeCluster(study(budget={"parallelism": 2}))
    world.lag(collection)
    for _ in range(6):
        world.reconcile()
        world.tick()
        for pod in list(world.pods.values()):
            world.start_pod(pod) if pod["status"]["phase"] == "Pending" else None
        world.seconds += 6
    world.drive()
    assert_converged(world)
    assert len(world.trials) == 6


def test_the_fake_notices_a_second_run_of_a_trial() -> None:
    world = FakeCluster(study(budget={"parallelism": 9}))
    world.reconcile()
    with pytest.raises(BrokenPromise, match="twice"):
        for attempt in (1, 2):
            world._carry_out(StartRun(RunKey("demo-0", attempt=attempt)))
            world.check()


def test_the_fake_notices_too_many_runs() -> None:
    world = FakeCluster(study(budget={"parallelism": 1}))
    world.reconcile()
    with pytest.raises(BrokenPromise, match="parallelism 1"):
        world._carry_out(StartRun(RunKey("demo-0", attempt=1)))


def test_the_fake_notices_that_a_finished_trial_changes() -> None:
    world = undisturbed(budget={"maxTrials": 1})
    trial = world.trials["demo-0"]
    world.trials["demo-0"] = trial.model_copy(
        update={"status": trial.status.model_copy(update={"metrics": None})}
    )
    with pytest.raises(BrokenPromise, match="was finished and has changed"):
        world.check()
