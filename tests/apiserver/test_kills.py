"""The controller is killed at any moment, and nothing is lost or done twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from kubestudy.runtime.client import JOBS, TRIALS
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, count, ended
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import distinct, study

KILLS = 25
TRIALS_WANTED = 40


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("rights_suffice")
def test_killed_25_times_each_trial_runs_once(
    namespace: Namespace, start_controller: Callable[..., ControllerProcess]
) -> None:
    moments = random.Random(25)
    seconds = random.Random(40)
    space = [{"name": "learning_rate", "min": 1e-6, "max": 1e-3, "scale": "Log"}]
    wanted = study(
        "killed",
        parameters={},
        algorithm={"type": "Random", "seed": 7},
        budget={"parallelism": 2, "maxTrials": TRIALS_WANTED},
    )
    wanted["spec"]["parameters"] = space
    with (
        Kubelet(
            namespace, lambda p, _: Ending(p["learning_rate"], seconds=seconds.uniform(0.2, 1.5))
        ),
        Recorder(namespace, TRIALS) as trials,
        Recorder(namespace, JOBS) as jobs,
    ):
        namespace.apply(wanted)
        controller = start_controller()
        for _ in range(KILLS):
            controller.wait_for_log("caches are in")
            time.sleep(moments.uniform(0, 0.3))  # the moment of the kill is what is tried here
            controller.kill()
            assert not ended(namespace.study("killed")), "it ended before all kills: slow it down"
            controller.start()
        done = namespace.wait_for_end("killed")
    found = namespace.trials("killed")
    assert len(distinct(found)) == count(done, "succeeded") == TRIALS_WANTED
    assert sorted(trials.names) == sorted(f"killed-{i}" for i in range(TRIALS_WANTED))
    assert sorted(jobs.names) == sorted(f"killed-{i}-0-0-0" for i in range(TRIALS_WANTED))
    values = {t["metadata"]["name"]: t["spec"]["parameters"]["learning_rate"] for t in found}
    assert done["status"]["best"]["trial"] == max(values, key=lambda name: values[name])
    assert all(
        t["status"]["objectives"][0]["value"] == values[t["metadata"]["name"]] for t in found
    )
    assert namespace.active_pods("killed") == []
