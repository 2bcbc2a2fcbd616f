"""Studies run to their ends by the real controller on a real API server."""

from __future__ import annotations

import pytest

from kubestudy.runtime.client import JOBS, PODS, TRIALS, Object
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import (
    Namespace,
    condition,
    count,
    end_reason,
    finished,
    is_true,
)
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import distinct, points, score, study
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("controller", "rights_suffice")]

FOUR = {"learning_rate": [1e-5, 2e-5, 3e-5, 4e-5]}


def at_rate(parameters: dict[str, float], _: int) -> Ending:
    return Ending(parameters["learning_rate"] * 1e4)


def test_a_grid_of_18_is_tried_once_each(namespace: Namespace) -> None:
    with (
        Kubelet(namespace, lambda parameters, _: Ending(score(parameters))),
        Recorder(namespace, TRIALS) as trials,
        Recorder(namespace, JOBS) as jobs,
    ):
        namespace.apply(study("grid"))
        done = namespace.wait_for_end("grid")
    assert end_reason(done) == "SearchSpaceExhausted"
    assert len(trials.made) == len(jobs.made) == 18
    assert len(distinct(namespace.trials("grid"))) == 18
    best = max(points(), key=score)
    assert done["status"]["best"]["parameters"] == best
    assert done["status"]["best"]["objectives"] == [{"metric": "accuracy", "value": score(best)}]
    assert done["status"]["progress"] == "18/18"
    assert namespace.active_pods("grid") == []


def test_parallelism_is_edited_while_it_runs(namespace: Namespace) -> None:
    with Kubelet(namespace, lambda p, _: Ending(score(p), seconds=1)):
        namespace.apply(study("wide", budget={"parallelism": 1}))
        until(lambda: namespace.active_pods("wide"), what="a pod runs")
        namespace.edit("wide", {"budget": {"parallelism": 6}})
        until(
            lambda: namespace.active_pods("wide"),
            lambda pods: len(pods) == 6,
            what="six pods at once",
        )
        namespace.edit("wide", {"budget": {"parallelism": 18}})
        done = namespace.wait_for_end("wide")
    assert count(done, "succeeded") == 18


def test_parallelism_is_kept(namespace: Namespace) -> None:
    with (
        Kubelet(namespace, lambda p, _: Ending(score(p), seconds=0.3)),
        Recorder(namespace, PODS) as pods,
    ):
        namespace.apply(study("narrow", budget={"parallelism": 3}))
        namespace.wait_for_end("narrow")
    active: set[str] = set()
    most = 0
    for _, pod in pods.seen:
        over = pod["status"].get("phase") in ("Succeeded", "Failed")
        (active.discard if over else active.add)(pod["metadata"]["uid"])
        most = max(most, len(active))
    assert most == 3


def test_the_folds_of_one_pod_come_with_its_termination_message(namespace: Namespace) -> None:
    values = {fold: 0.5 + fold / 128 for fold in range(20)}

    def cut_off_in_its_13th_fold(_: object, attempt: int) -> Ending:
        if attempt == 0:
            return Ending(exit_code=75, folds={f: v for f, v in values.items() if f <= 12})
        return Ending(folds={f: v for f, v in values.items() if f >= 12})

    validation = {"folds": 20, "execution": "OnePod"}
    with Kubelet(namespace, cut_off_in_its_13th_fold), Recorder(namespace, JOBS) as jobs:
        namespace.apply(study("folds", {"x": [1]}, crossValidation=validation))
        done = namespace.wait_for_end("folds")
    assert [variables(job)["KUBESTUDY_FOLD"] for job in jobs.made.values()] == [
        ",".join(map(str, range(20))),
        ",".join(map(str, range(12, 20))),
    ]
    (objective,) = done["status"]["best"]["objectives"]
    assert objective["value"] == pytest.approx(sum(values.values()) / 20)
    (trial,) = namespace.trials("folds")
    assert [len(run["folds"]) for run in trial["status"]["runs"]] == [12, 8]


def variables(job: Object) -> dict[str, str]:
    """The environment of a Job's container."""
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return {e["name"]: e.get("value", "") for e in env}


def test_max_trials_is_edited_while_it_runs_and_after(namespace: Namespace) -> None:
    with Kubelet(namespace, lambda p, _: Ending(score(p), seconds=0.5)):
        namespace.apply(study("some", budget={"parallelism": 2}))
        namespace.wait_for_study("some", lambda s: count(s, "created"), "has trials")
        namespace.edit("some", {"budget": {"maxTrials": 6}})
        done = namespace.wait_for_end("some")
        assert end_reason(done) == "MaxTrialsReached"
        assert len(namespace.trials("some")) == count(done, "succeeded") == 6
        namespace.edit("some", {"budget": {"maxTrials": 8}})
        namespace.wait_for_study("some", lambda s: finished(s) == 8, "has gone on to 8 trials")
        again = namespace.wait_for_end("some")
    assert end_reason(again) == "MaxTrialsReached"
    assert len(namespace.trials("some")) == 8


def test_suspended_nothing_runs_and_resumed_it_goes_on(namespace: Namespace) -> None:
    with (
        Kubelet(namespace, lambda p, _: Ending(at_rate(p, 0).accuracy, seconds=2)),
        Recorder(namespace, JOBS) as jobs,
    ):
        namespace.apply(study("held", FOUR, budget={"parallelism": 2}))
        until(lambda: namespace.active_pods("held"), lambda p: len(p) == 2, what="two pods run")
        namespace.edit("held", {"suspend": True})
        until(lambda: namespace.active_pods("held"), lambda p: not p, what="no pod runs")
        held = namespace.wait_for_study("held", lambda s: is_true(s, "Suspended"), "is suspended")
        assert finished(held) == 0
        assert len(jobs.made) == 2
        namespace.edit("held", {"suspend": False})
        done = namespace.wait_for_end("held")
    assert count(done, "succeeded") == len(jobs.made) == 4
    assert condition(done, "Suspended")["status"] == "False"


def test_a_reached_goal_stops_the_rest(namespace: Namespace) -> None:
    def only_one_ends(parameters: dict[str, float], _: int) -> Ending:
        good = parameters["learning_rate"] == 3e-5
        return Ending(0.95, seconds=0.2 if good else 60)

    goal = [{"metric": "accuracy", "direction": "Maximize", "target": 0.9}]
    with Kubelet(namespace, only_one_ends):
        namespace.apply(study("goal", FOUR, objectives=goal))
        done = namespace.wait_for_end("goal")
    assert end_reason(done) == "GoalReached"
    assert (count(done, "succeeded"), count(done, "stopped")) == (1, 3)
    assert namespace.active_pods("goal") == []
    assert done["status"]["best"]["parameters"] == {"learning_rate": 3e-5}


def test_failures_are_told_apart(namespace: Namespace) -> None:
    endings = {
        "good": Ending(0.5),
        "wrong": Ending(exit_code=64),
        "diverged": Ending(float("nan")),
        "oom": Ending(exit_code=137, reason="OOMKilled"),
        "silent": Ending(None),
    }
    with Kubelet(namespace, lambda p, _: endings[p["case"]]):
        namespace.apply(study("bad", {"case": list(endings)}))
        done = namespace.wait_for_end("bad")
    assert (count(done, "succeeded"), count(done, "failed")) == (1, 4)
    reasons = {
        t["spec"]["parameters"]["case"]: condition(t, "Failed").get("reason")
        for t in namespace.trials("bad")
    }
    assert reasons == {
        "good": None,
        "wrong": "InvalidArgument",
        "diverged": "Diverged",
        "oom": "OutOfMemory",
        "silent": "MetricMissing",
    }


def test_what_was_cut_off_is_run_again(namespace: Namespace) -> None:
    lives: dict[str, int] = {}

    def cut_off_once(parameters: dict[str, str], attempt: int) -> Ending:
        case = parameters["case"]
        lives[case] = lives.get(case, 0) + 1
        if lives[case] > 1:
            return Ending(0.5)
        return Ending(disrupted=True) if case == "preempted" else Ending(exit_code=75)

    with Kubelet(namespace, cut_off_once):
        namespace.apply(study("cut", {"case": ["preempted", "interrupted"]}))
        done = namespace.wait_for_end("cut")
    assert (count(done, "succeeded"), count(done, "failed")) == (2, 0)
    assert lives == {"preempted": 2, "interrupted": 2}
    preempted, interrupted = namespace.trials("cut")
    for cut_short, reason in ((preempted, "Preempted"), (interrupted, "Interrupted")):
        first, second = cut_short["status"]["runs"]
        assert (first["reason"], second["reason"]) == (reason, "Completed")
        assert (first["attempt"], second["attempt"]) == (0, 1)


@pytest.mark.parametrize(("limit", "failures"), [(2, 3), (None, 5)])
def test_too_many_failures_end_it(namespace: Namespace, limit: int | None, failures: int) -> None:
    budget = {"parallelism": 1} | ({} if limit is None else {"maxFailedTrials": limit})
    with Kubelet(namespace, lambda _p, _: Ending(exit_code=1, seconds=0.05)):
        namespace.apply(study("doomed", budget=budget))
        done = namespace.wait_for_end("doomed")
    assert is_true(done, "Failed")
    assert end_reason(done) == "TrialsFailed"
    assert count(done, "failed") == failures


def test_what_still_runs_when_the_first_have_failed_is_stopped(namespace: Namespace) -> None:
    def five_fail(parameters: dict[str, float], _: int) -> Ending:
        return Ending(exit_code=1, seconds=0.2 if parameters["rate"] <= 5 else 60)

    with Kubelet(namespace, five_fail):
        rates = {"rate": list(range(1, 21))}
        namespace.apply(study("doomed", rates, budget={"parallelism": 7}))
        done = namespace.wait_for_end("doomed")
    assert end_reason(done) == "TrialsFailed"
    assert count(done, "failed") == 5
    assert count(done, "created") < 20
    assert namespace.active_pods("doomed") == []


def test_a_trial_deleted_by_hand_is_made_again(namespace: Namespace) -> None:
    with (
        Kubelet(namespace, lambda p, _: Ending(at_rate(p, 0).accuracy, seconds=1)),
        Recorder(namespace, TRIALS) as trials,
    ):
        namespace.apply(study("again", FOUR, budget={"parallelism": 1}))
        namespace.wait_for_study("again", lambda s: count(s, "succeeded"), "has a result")
        (before, *_) = namespace.trials("again")
        namespace.kubectl("delete", "trial", "again-0")
        done = namespace.wait_for_end("again")
    after = namespace.trials("again")
    assert after[0]["metadata"]["uid"] != before["metadata"]["uid"]
    assert after[0]["spec"] == before["spec"]
    assert len(distinct(after)) == count(done, "succeeded") == 4
    assert sorted(trials.names) == ["again-0", "again-0", "again-1", "again-2", "again-3"]


def test_a_deleted_study_takes_everything_with_it(
    namespace: Namespace, controller: ControllerProcess
) -> None:
    def left() -> list[str]:
        return namespace.kubectl("get", "trials,jobs,pods", "-o", "name").split()

    with Kubelet(namespace, lambda _p, _: Ending(0.5, seconds=60)):
        namespace.apply(study("gone"))
        until(lambda: namespace.active_pods("gone"), lambda p: len(p) == 4, what="4 pods run")
        namespace.kubectl("delete", "study", "gone")
        until(left, lambda names: not names, what="nothing is left")
    assert "Traceback" not in controller.log


def test_a_study_of_the_same_name_starts_anew(namespace: Namespace) -> None:
    with Kubelet(namespace, at_rate):
        namespace.apply(study("twice", FOUR))
        first = namespace.wait_for_end("twice")
        namespace.kubectl("delete", "study", "twice", "--wait=false")
        namespace.apply(study("twice", {"learning_rate": [7e-5, 8e-5]}))
        second = namespace.wait_for_end("twice")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert count(second, "succeeded") == 2
    assert second["status"]["best"]["parameters"] == {"learning_rate": 8e-5}


def test_what_belongs_to_somebody_else_is_left_alone(namespace: Namespace) -> None:
    foreign = {
        "apiVersion": "kubestudy.dev/v1alpha1",
        "kind": "Trial",
        "metadata": {"name": "mine-0"},
        "spec": {"study": "other", "index": 0, "parameters": {"learning_rate": 1}},
    }
    namespace.apply(foreign)
    with Kubelet(namespace, at_rate), Recorder(namespace, JOBS) as jobs:
        namespace.apply(study("mine", FOUR))
        told = namespace.wait_for_study(
            "mine",
            lambda s: condition(s, "Progressing").get("reason") == "NameConflict",
            "tells of the conflict",
        )
        assert "mine-0" in condition(told, "Progressing")["message"]
        assert not jobs.made
        (kept,) = namespace.trials("other")
        assert "ownerReferences" not in kept["metadata"]
        assert "mine-0" in namespace.kubectl("get", "events", "--field-selector=type=Warning")
        namespace.kubectl("delete", "trial", "mine-0")
        done = namespace.wait_for_end("mine")
    assert count(done, "succeeded") == 4
