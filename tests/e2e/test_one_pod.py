"""All folds of a trial in one pod: done ones are kept, and a hopeless trial is stopped."""

from __future__ import annotations

import pytest

from kubestudy.runtime.client import Object
from tests.support.kubectl import Namespace, count
from tests.support.studies import study
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180, func_only=True)

# x=2 hangs in its second fold until its pod is deleted; x=3 is hopeless from its first fold on.
PROGRAM = """\
trap 'exit 75' TERM
case $1 in --x=1) values="0.7 0.8 0.9" ;; --x=2) values="0.8 0.9 1.0" ;; *) values="0.1 1 1" ;; esac
for fold in $(echo $KUBESTUDY_FOLD | tr , ' '); do
  value=$(echo $values | cut -d' ' -f$((fold + 1)))
  echo "{\\"accuracy\\": $value, \\"fold\\": $fold}"
  if [ $1 != --x=1 ] && [ $fold = 1 ] && [ $KUBESTUDY_ATTEMPT = 0 ]; then sleep 300 & wait; fi
done"""


def folds(run: Object) -> dict[int, float]:
    """What a run gave, by its folds."""
    return {f["fold"]: f["objectives"][0]["value"] for f in run.get("folds", ())}


def test_all_folds_in_one_pod(place: Namespace) -> None:
    trial = {
        "image": "localhost/busybox:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", PROGRAM, "sh"],
    }
    validation = {"folds": 3, "execution": "OnePod"}
    budget = {"parallelism": 1}
    place.apply(
        study("folds", {"x": [1, 2, 3]}, trial=trial, crossValidation=validation, budget=budget)
    )

    def runs(index: int) -> list[Object]:
        found = [t for t in place.trials("folds") if t["spec"]["index"] == index]
        return [run for t in found for run in t.get("status", {}).get("runs", ())]

    until(lambda: any(folds(r) for r in runs(1)), timeout=60, what="a fold of x=2 is stored")
    (hanging,) = runs(1)
    place.kubectl("delete", "pod", hanging["pod"], "--wait=false")
    done = place.wait_for_end("folds", timeout=100)

    assert (count(done, "succeeded"), count(done, "stopped")) == (2, 1)
    assert [folds(r) for r in runs(0)] == [{0: 0.7, 1: 0.8, 2: 0.9}]
    assert [folds(r) for r in runs(1)] == [{0: 0.8}, {1: 0.9, 2: 1.0}]
    assert [folds(r) for r in runs(2)] == [{0: 0.1}]
    best = done["status"]["best"]
    assert best["trial"] == "folds-1"
    assert best["objectives"][0]["value"] == pytest.approx(0.9)
    assert best["objectives"][0]["std"] == pytest.approx((0.02 / 3) ** 0.5)
    rows = place.kubectl("get", "trials", "-l", "kubestudy.dev/study=folds", "--no-headers")
    assert [row.split()[1:3] for row in sorted(rows.splitlines())] == [
        ["Succeeded", "Completed"],
        ["Succeeded", "Completed"],
        ["Stopped", "Discarded"],
    ]
