"""A grid of 18 points on a real cluster, each in a pod of its own with a GPU."""

from __future__ import annotations

import re
import time

import pytest

from kubestudy.runtime.client import JOBS, PODS, TRIALS, Object
from tests.support import node
from tests.support.kubectl import Namespace, end_reason, finished, is_true
from tests.support.recorder import Recorder
from tests.support.studies import distinct, points, score, study
from tests.support.waiting import until
from tests.testcluster import Cluster

pytestmark = pytest.mark.timeout(240, func_only=True)

# The same sum as tests.support.studies.score, of the arguments --name=value.
SCORE = """\
function far(a, b) { return a > b ? a - b : b - a }
BEGIN {
  for (i = 1; i < ARGC; i++) { split(substr(ARGV[i], 3), pair, "="); is[pair[1]] = pair[2] }
  value = 0.9 - far(is["learning_rate"], 2e-5) * 1e4
  value -= far(is["per_device_train_batch_size"], 32) / 100 + far(is["num_train_epochs"], 4) / 10
  printf "{\\"accuracy\\": %.6f}\\n", value
}"""


def grid(name: str, seconds: float = 0) -> Object:
    return study(
        name,
        trial={
            "image": "localhost/busybox:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", f'sleep {seconds}; exec awk "$0" "$@"', SCORE],
            "gpus": 1,
        },
    )


def check(place: Namespace, name: str, done: Object, trials: Recorder, jobs: Recorder) -> None:
    """Each of the 18 points was tried by one Trial in one Job, and the best is the true best."""
    assert end_reason(done) == "SearchSpaceExhausted"
    found = place.trials(name)
    assert len(trials.made) == len(found) == len(distinct(found)) == 18
    assert sorted(jobs.names) == sorted(f"{name}-{i}-0-0-0" for i in range(18))
    for trial in found:
        (objective,) = trial["status"]["objectives"]
        assert objective["value"] == score(trial["spec"]["parameters"])
    best = max(points(), key=score)
    assert done["status"]["best"]["parameters"] == best
    assert done["status"]["best"]["objectives"][0]["value"] == score(best)
    assert place.active_pods(name) == []


def test_a_grid_of_18_ends_with_the_true_best(place: Namespace) -> None:
    with (
        Recorder(place, TRIALS) as trials,
        Recorder(place, JOBS) as jobs,
        Recorder(place, PODS) as pods,
    ):
        applied = time.monotonic()
        place.apply(grid("grid"))
        done = place.wait_for_end("grid", timeout=180)
    check(place, "grid", done, trials, jobs)
    print(f"the first pod was there {pods.seen[0][0] - applied:.2f} s after kubectl apply")
    requests = [p["spec"]["containers"][0]["resources"]["requests"] for p in pods.made.values()]
    assert requests == [{"nvidia.com/gpu": "1"}] * 18

    table = place.kubectl("get", "study", "grid")
    print(table)
    header, line = table.splitlines()
    told = dict(zip(re.split(r"\s{2,}", header.strip()), re.split(r"\s{2,}", line), strict=False))
    assert told["NAME"] == "grid"
    assert told["TRIALS"] == "18/18"
    assert told["OBJECTIVE"] == "accuracy"
    assert float(told["BEST"]) == max(map(score, points()))
    assert told["BEST-TRIAL"] == done["status"]["best"]["trial"]
    assert "SearchSpaceExhausted" in line


def test_the_controller_killed_three_times_loses_nothing(
    own_cluster: Cluster, controller: Namespace, place: Namespace
) -> None:
    def pod() -> Object:
        (found,) = controller.client.list(PODS, "kubestudy-system")["items"]
        return found

    def restarts() -> int:
        return int(pod()["status"]["containerStatuses"][0]["restartCount"])

    before = restarts()
    with Recorder(place, TRIALS) as trials, Recorder(place, JOBS) as jobs:
        place.apply(grid("killed", seconds=1))
        for kills, progress in enumerate((2, 7, 12), start=1):
            place.wait_for_study(
                "killed", lambda s, n=progress: finished(s) >= n, f"has {progress} trials finished"
            )
            assert not is_true(place.study("killed"), "Complete")
            node.kill(pod())
            # The kubelet restarts it, after a while that grows with each time.
            until(
                restarts,
                lambda n, kills=kills: n == before + kills,
                what=f"the container was restarted {kills} times",
                timeout=90,
            )
        done = place.wait_for_end("killed", timeout=180)
    check(place, "killed", done, trials, jobs)
