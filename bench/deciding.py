"""How long one decision takes, and whether it grows with the trials or with their square.

python -m bench.deciding

Each kind of Study has so many finished trials, and one at work in the only slot: what is timed, in
CPU time, is the decision that there is nothing to do. The exit status is 1 where ten times the
trials take more than ``MOST_GROWTH`` times as long; with a quadratic step it would be 100 times.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from kubestudy.api.trial import Trial
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.plan import Snapshot
from tests.unit import build

FEW, MANY = 1_000, 10_000
MOST_GROWTH = 20.0
ROUNDS = 5

_RESOURCE = {"name": "epochs", "min": 1, "max": 9, "eta": 3}
_TWO = [
    {"metric": "accuracy", "direction": "Maximize"},
    {"metric": "accuracy_again", "direction": "Maximize"},
]
KINDS: Mapping[str, Mapping[str, Any]] = {
    "Random": {"algorithm": {"type": "Random"}},
    "TPE, no suggestion due": {"algorithm": {"type": "TPE"}},
    "median rule": {"algorithm": {"type": "Random"}, "earlyStopping": {"type": "Median"}},
    "stagnation": {
        "algorithm": {"type": "Random"},
        "budget": {"maxTrialsWithoutImprovement": 100_000},
    },
    "3 folds": {"algorithm": {"type": "Random"}, "crossValidation": {"folds": 3}},
    "confirm": {"algorithm": {"type": "Random"}, "confirm": {"seeds": 3, "top": 5}},
    "ASHA": {"algorithm": {"type": "ASHA", "resource": _RESOURCE}},
    "Hyperband": {"algorithm": {"type": "Hyperband", "resource": _RESOURCE}},
}


def renumbered(of: Trial, index: int) -> Trial:
    """The same trial with another index."""
    parts = {
        "metadata": of.metadata.model_copy(update={"name": f"demo-{index}"}),
        "spec": of.spec.model_copy(update={"index": index}),
    }
    return of.model_copy(update=parts)


def snapshot_of(kind: Mapping[str, Any], trials: int) -> Snapshot:
    """A Study that has so many finished trials and wants one more, which has no free slot."""
    space = [{"name": f"p{i}", "min": 0.0, "max": 1.0} for i in range(10)]
    budget = {"parallelism": 1, "maxTrials": trials + 1, **kind.get("budget", {})}
    study = build.study(**{"parameters": space, **kind, "budget": budget})
    assert not problems(study)
    point = {f"p{i}": 0.5 for i in range(10)}
    bracket = {"bracket": 0} if "resource" in study.spec.algorithm.to_json() else {}
    kinds = [
        build.trial(i, point, "Succeeded", value=i / 97, started=1, ended=60) for i in range(97)
    ]
    kinds = [t.model_copy(update={"spec": t.spec.model_copy(update=bracket)}) for t in kinds]
    done = [renumbered(kinds[i % 97], i) for i in range(trials)]
    busy = build.facts(trials, build.RunState.RUNNING)
    return build.snapshot(study, [*done, build.trial(trials, point, "Running")], [busy])


def milliseconds(snapshot: Snapshot) -> float:
    """The median CPU time of a decision."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        decide(snapshot)
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times)


def main() -> int:
    """Measures; returns the exit code."""
    good = True
    for name, kind in KINDS.items():
        few, many = (milliseconds(snapshot_of(kind, n)) for n in (FEW, MANY))
        good &= many / few <= MOST_GROWTH
        print(
            f"{name:24} {few:7.1f} ms at {FEW:,} trials, {many:7.1f} ms at {MANY:,}:"
            f" {many / few:.1f} times",
            flush=True,
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
