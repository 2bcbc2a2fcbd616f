"""Population based training on the cluster: pods that go on from the checkpoints of others."""

from __future__ import annotations

import json

import pytest

from tests.support.kubectl import Namespace, end_reason, ended
from tests.support.studies import study

pytestmark = pytest.mark.timeout(600, func_only=True)

# What is trained is the sum of the steps taken; where it began is reported as well.
TRAIN = """
begun=0
if [ -n "$KUBESTUDY_INHERIT_FROM" ]; then begun=$(cat "$KUBESTUDY_INHERIT_FROM/sum"); fi
mkdir -p "$KUBESTUDY_CHECKPOINT_DIR"
sum=$((begun + $1))
echo "$sum" > "$KUBESTUDY_CHECKPOINT_DIR/sum"
echo "{\\"epoch\\": $KUBESTUDY_RESOURCE_UNTIL, \\"begun\\": $begun, \\"sum\\": $sum}"
"""


def test_pods_go_on_from_checkpoints_of_others(place: Namespace, volume: str) -> None:
    manifest = study(
        "population",
        parameters={"step": [1, 2, 4, 8, 16]},
        objectives=[{"metric": "sum", "direction": "Maximize"}],
        algorithm={
            "type": "PBT",
            "seed": 3,
            "resource": {"name": "epochs", "max": 3},
            "settings": {"populationSize": 4},
        },
        budget={"parallelism": 4},
        trial={
            "image": "localhost/busybox:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-ec", TRAIN, "sh", "${parameters.step}"],
            "checkpoints": {"claimName": volume},
        },
    )
    place.apply(manifest)
    done = place.wait_for_study("population", ended, "has ended", timeout=300)
    print(place.kubectl("get", "study,trials"))
    assert end_reason(done) == "GenerationsTrained"
    trials = {t["metadata"]["name"]: t for t in place.trials("population")}
    assert len(trials) == 12
    told = {
        name: {m["metric"]: m["latest"] for m in t["status"]["metrics"]}
        for name, t in trials.items()
    }
    print(json.dumps(told, indent=1))
    for name, trial in trials.items():
        spec = trial["spec"]
        inherits = spec.get("inherits")
        assert (inherits is None) == (spec["index"] < 4)
        begun = told[inherits]["sum"] if inherits else 0
        assert told[name]["begun"] == begun
        assert told[name]["sum"] == begun + spec["parameters"]["step"]
    best = done["status"]["best"]["objectives"][0]["value"]
    assert best == max(values["sum"] for values in told.values())
    own = [
        t["spec"].get("inherits") == f"population-{t['spec']['index'] - 4}" for t in trials.values()
    ]
    assert own.count(False) == 4 + 2, "the first generation, and the worst of each after it"
