"""Fuzzes for a while: `python -m tests.fuzz --minutes 60`. Exit status 1 if anything was found."""

from __future__ import annotations

import argparse
import resource
import sys
import time
import traceback
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import TARGETS, Target

MOST_MEMORY = 300 * 1024
"""KiB that this process may have had at most: all of it is read by one process."""
ROUND = 500


def fuzz(target: Target, number: int, examples: int) -> int:
    """Gives a target so many odd inputs; returns how many it has read.

    Raises:
        Exception: Whatever the target let through, for the smallest input that was found.
    """
    read = 0

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def run(value: Any) -> None:
        nonlocal read
        read += 1
        target.read(value)

    run()
    return read


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long in all")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="where to begin")
    options = parser.parse_args()
    names = options.target or sorted(TARGETS)
    end, number = time.monotonic() + 60 * options.minutes, options.seed
    read, failed = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    while time.monotonic() < end:
        for name in names:
            if failed[name] < 3:
                try:
                    read[name] += fuzz(TARGETS[name], number, ROUND)
                except Exception:
                    failed[name] += 1
                    print(f"--- {name}, seed {number}", flush=True)
                    traceback.print_exc(file=sys.stdout)
        number += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in names:
        print(f"{name:12} {read[name]:>10} inputs, {failed[name]} unhandled exceptions")
    print(f"{'in all':12} {sum(read.values()):>10} inputs, at most {memory // 1024} MiB")
    return 1 if any(failed.values()) or memory > MOST_MEMORY else 0


if __name__ == "__main__":
    sys.exit(main())
