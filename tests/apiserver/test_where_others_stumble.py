"""What another tuner was seen to do wrong (docs/failures.md has the reasons), done right here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kubestudy.runtime.client import TRIALS
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, condition, count, end_reason, is_true
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import study

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("rights_suffice")]

EIGHT = {"rate": list(range(1, 9))}


@pytest.mark.usefixtures("controller")
def test_a_container_that_says_one_thing_and_is_gone_has_finished(namespace: Namespace) -> None:
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=0)):
        namespace.apply(study("quick", EIGHT))
        done = namespace.wait_for_end("quick", timeout=30)
    assert count(done, "succeeded") == 8
    assert done["status"]["best"]["parameters"] == {"rate": 8}


@pytest.mark.usefixtures("controller")
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_fails_that_trial_alone(namespace: Namespace, odd: float) -> None:
    def last_is_odd(parameters: Mapping[str, Any], _: int) -> Ending:
        return Ending(odd if parameters["rate"] == 8 else parameters["rate"])

    with Kubelet(namespace, last_is_odd):
        namespace.apply(study("odd", EIGHT))
        done = namespace.wait_for_end("odd")
    assert (count(done, "succeeded"), count(done, "failed")) == (7, 1)
    assert done["status"]["best"]["parameters"] == {"rate": 7}
    failed = next(t for t in namespace.trials("odd") if is_true(t, "Failed"))
    assert failed["spec"]["parameters"] == {"rate": 8}
    assert condition(failed, "Failed")["reason"] == "Diverged"


@pytest.mark.usefixtures("controller")
def test_a_metric_that_is_never_told_costs_no_trial_more_than_were_asked_for(
    namespace: Namespace,
) -> None:
    space = [{"name": "rate", "min": 0, "max": 1}]
    asked = study("silent", {}, algorithm={"type": "Random"})
    asked["spec"] |= {
        "parameters": space,
        "budget": {"parallelism": 3, "maxTrials": 8, "maxFailedTrials": 8},
    }
    with (
        Kubelet(namespace, lambda _p, _: Ending(None)),
        Recorder(namespace, TRIALS) as trials,
    ):
        namespace.apply(asked)
        done = namespace.wait_for_end("silent")
    assert len(trials.made) == count(done, "failed") == 8
    assert end_reason(done) == "TrialsFailed"
    reasons = {condition(t, "Failed")["reason"] for t in namespace.trials("silent")}
    assert reasons == {"MetricMissing"}


@pytest.mark.usefixtures("controller")
@pytest.mark.parametrize(
    ("code", "printed"),
    [(64, ""), (2, "usage: train.py [-h]\ntrain.py: error: unrecognized arguments: --rate={}\n")],
)
def test_a_mistake_that_all_trials_share_costs_three_of_them(
    code: int, printed: str, namespace: Namespace
) -> None:
    def no_such_argument(parameters: Mapping[str, Any], _: int) -> Ending:
        return Ending(exit_code=code, seconds=0.1, printed=printed.format(parameters["rate"]))

    with Kubelet(namespace, no_such_argument):
        namespace.apply(study("mistaken", EIGHT, budget={"parallelism": 1}))
        done = namespace.wait_for_end("mistaken")
    # The next one may have begun while the third was read.
    assert (count(done, "failed"), count(done, "created") <= 4) == (3, True)
    told = condition(done, "Failed")["message"]
    assert "InvalidArgument" in told
    assert not printed or "train.py: error: unrecognized arguments: --rate=" in told


def test_a_restart_costs_next_to_nothing(
    namespace: Namespace, start_controller: Callable[..., ControllerProcess]
) -> None:
    controller = start_controller()
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=0.2)):
        namespace.apply(study("again", EIGHT, budget={"parallelism": 1}))
        namespace.wait_for_study("again", lambda s: count(s, "succeeded") >= 2, "goes on")
        controller.kill()
        before = len(namespace.trials("again"))
        controller.start()
        began = time.monotonic()
        namespace.wait_for_study("again", lambda s: count(s, "created") > before, "goes on")
        assert time.monotonic() - began < 20
        namespace.wait_for_end("again")
