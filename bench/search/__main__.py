"""How well kubestudy searches, beside Optuna, Ray Tune and Syne Tune.

python -m bench.search [--quick] [--only fcnet,curves,...] [--seeds N] [--report]

Makes its environment and its tables where they are not there, runs, and writes
bench/results/search.json, docs/search-benchmarks.md and the plots in docs/images. What is not run
again keeps the figures that it had.
"""

from __future__ import annotations

import argparse
import os
import sys

from bench.search import environment


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three seeds of some of the cases")
    parser.add_argument("--only", help="these parts, separated by commas")
    parser.add_argument("--seeds", type=int, help="how many seeds, in place of each part's own")
    parser.add_argument("--methods", help="only methods with one of these words in their names")
    parser.add_argument("--problems", help="only problems with one of these words in their names")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--report", action="store_true", help="write the page anew, run nothing")
    parser.add_argument("--dry", action="store_true", help="print, but write no file")
    options = parser.parse_args()
    environment.enter()

    from bench.search import comparison, curves, report
    from bench.search.experiments import experiments

    curves.make()
    parts = experiments()
    chosen = options.only.split(",") if options.only else list(parts)
    if unknown := set(chosen) - set(parts):
        parser.error(f"unknown part {min(unknown)}; there are {', '.join(parts)}")
    results = report.load()
    if not options.report:
        for name in chosen:
            part = parts[name]
            cases = [
                c
                for c in part.cases
                if (not options.quick or part.quick(c))
                and _has(c.method, options.methods)
                and _has(c.problem, options.problems)
            ]
            seeds = options.seeds or (3 if options.quick else part.seeds)
            for row in comparison.run(cases, seeds, options.processes):
                results[report.key(row.to_json())] = row.to_json()
            if not options.dry and not options.quick:
                report.save(results)
    text = report.tables(results.values())
    print(text)
    if not options.dry and not options.quick:
        report.write(text, results.values())


def _has(name: str, words: str | None) -> bool:
    return words is None or any(word in name for word in words.split(","))


if __name__ == "__main__":
    sys.exit(main())
