"""Studies run to their ends by the real controller on a real API server."""

from __future__ import annotations

import pytest

from kubestudy.runtime.client import JOBS, TRIALS
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, end_reason
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import distinct, points, score, study

pytestmark = pytest.mark.timeout(120)


def test_a_grid_of_18_is_tried_once_each(
    namespace: Namespace, controller: ControllerProcess
) -> None:
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
