"""Studies are held back, let go on, and removed; nothing of them stays."""

from __future__ import annotations

import pytest

from kubestudy.runtime.client import JOBS
from tests.support.kubectl import Namespace, condition, count, end_reason, finished, is_true
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180, func_only=True)


def slow(name: str, seconds: float, values: list[int], **spec: object) -> dict[str, object]:
    """A Study whose trials report their parameter's value and then take their time."""
    script = f"echo \"accuracy=${{1#--rate=}}\"; trap 'exit 75' TERM; sleep {seconds} & wait $!"
    return study(
        name,
        {"rate": values},
        trial={
            "image": "localhost/busybox:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script, "sh"],
            "gpus": 1,
        },
        **spec,
    )


def running(place: Namespace, name: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in place.pods(name)
        if pod["status"].get("phase") == "Running"
    ]


def test_suspended_pods_stop_and_resumed_they_go_on(place: Namespace) -> None:
    with Recorder(place, JOBS) as jobs:
        place.apply(slow("held", 4, [1, 2, 3, 4], budget={"parallelism": 2}))
        until(lambda: running(place, "held"), lambda pods: len(pods) == 2, what="two pods run")
        place.kubectl("patch", "study", "held", "--type=merge", '-p={"spec": {"suspend": true}}')
        until(lambda: place.pods("held"), lambda pods: not pods, what="no pod is left")
        held = place.wait_for_study("held", lambda s: is_true(s, "Suspended"), "is suspended")
        assert finished(held) == 0
        place.edit("held", {"suspend": False})
        done = place.wait_for_end("held", timeout=90)
    assert count(done, "succeeded") == len(jobs.made) == 4
    assert done["status"]["best"]["parameters"] == {"rate": 4}


def test_a_reached_goal_stops_the_pods_that_still_run(place: Namespace) -> None:
    goal = [{"metric": "accuracy", "direction": "Maximize", "target": 3}]
    manifest = slow("goal", 600, [1, 2, 4], objectives=goal, budget={"parallelism": 3})
    command = manifest["spec"]["trial"]["command"]  # type: ignore[index]
    command[2] = f'test "$1" = --rate=4 && {{ sleep 2; echo accuracy=4; exit; }}; {command[2]}'
    place.apply(manifest)
    done = place.wait_for_end("goal", timeout=90)
    assert end_reason(done) == "GoalReached"
    assert (count(done, "succeeded"), count(done, "stopped")) == (1, 2)
    assert place.active_pods("goal") == []


def test_a_deleted_study_takes_everything_with_it(place: Namespace) -> None:
    place.apply(slow("gone", 600, [1, 2, 3, 4], budget={"parallelism": 2}))
    until(lambda: running(place, "gone"), lambda pods: len(pods) == 2, what="two pods run")
    place.kubectl("delete", "study", "gone")
    until(
        lambda: place.kubectl("get", "trials,jobs,pods", "-o", "name").split(),
        lambda names: not names,
        what="nothing is left",
    )


def test_a_pod_deleted_by_hand_is_run_again(place: Namespace) -> None:
    place.apply(slow("again", 3, [5]))
    (pod, *_) = until(lambda: running(place, "again"), what="a pod runs")
    place.kubectl("delete", "pod", pod, "--wait=false")
    done = place.wait_for_end("again", timeout=90)
    assert count(done, "succeeded") == 1
    (trial,) = place.trials("again")
    assert condition(trial, "Succeeded")["reason"] == "Completed"
