"""The results as JSON, as tables in Markdown, and as plots."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.search.comparison import GOAL, standard_error
from bench.search.environment import ROOT

Row = dict[str, Any]

RESULTS = ROOT / "bench/results/search.json"
PAGE = ROOT / "docs/search-benchmarks.md"
IMAGES = ROOT / "docs/images"
MARK = "<!-- What follows is written by python -m bench.search -->\n"
OWN_POINTS = "own points"
"""How the name of a peer ends that draws at random, but not the points of the others."""
_KEY = ("experiment", "problem", "method", "workers", "startup")


def key(row: Row) -> str:
    """What a row is told apart by."""
    return " | ".join(str(row[k]) for k in _KEY)


def load() -> dict[str, Row]:
    """The rows of earlier runs."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return {key(row): row for row in rows}


def save(rows: dict[str, Row]) -> None:
    """Writes all rows, one a line."""
    lines = ",\n".join(json.dumps(row) for _, row in sorted(rows.items()))
    RESULTS.write_text(f"[\n{lines}\n]\n")


def write(text: str, rows: Collection[Row]) -> None:
    """Writes the tables into the page, below what people have written, and the plots."""
    before = PAGE.read_text().split(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(before + MARK + text)
    for experiment in ("curves", "hartmann"):
        if some := [r for r in rows if r["experiment"] == experiment]:
            _plot(some, IMAGES / f"search-{experiment}.png")


def tables(rows: Collection[Row]) -> str:
    """All tables, in Markdown."""
    parts = []
    for name, title in (
        ("fcnet", "FCNet: log10 of the best error found over the smallest there is"),
        ("nasbench", "NAS-Bench-201: percentage points above the smallest error"),
        ("bbob", "BBOB: f - f*"),
    ):
        if some := [r for r in rows if r["experiment"] == name]:
            parts.append(_points(title, some))
    for name in ("curves", "hartmann"):
        if some := [r for r in rows if r["experiment"] == name]:
            parts += _rungs(name, some)
    if some := [r for r in rows if r["experiment"] == "busy"]:
        parts.append(_busy(some))
    return "\n".join(parts)


def _points(title: str, rows: list[Row]) -> str:
    methods = _in_order(r["method"] for r in rows)
    problems = _in_order(r["problem"] for r in rows)
    by = {(r["problem"], r["method"]): r for r in rows}
    lines = [[p, *(_regret(by.get((p, m))) for m in methods)] for p in problems]
    mean, distinct = ["**mean**"], ["distinct configurations, mean (least)"]
    for m in methods:
        of_method = [by[p, m] for p in problems if (p, m) in by]
        if len(of_method) == len(problems):
            value = statistics.fmean(r["regret"] for r in of_method)
            error = math.hypot(*(standard_error(r["regrets"]) for r in of_method)) / len(problems)
            mean.append(f"**{value:.3g}** +- {error:.2g}")
        else:
            mean.append("")
        least = min(r["distinct"][0] for r in of_method)
        average = statistics.fmean(r["distinct"][1] for r in of_method)
        distinct.append(f"{average:.1f} ({least})")
    lines += [mean, distinct] if rows[0]["experiment"] != "bbob" else []
    seeds = {len(r["regrets"]) for r in rows}
    return _table(
        f"{title}; 100 trials, 8 at once, {_range(seeds)} seeds", ["problem", *methods], lines
    )


def _rungs(name: str, rows: list[Row]) -> Iterator[str]:
    methods = _in_order(r["method"] for r in rows)
    seeds = _range({len(r["regrets"]) for r in rows})
    cases = _in_order((r["workers"], r["startup"], r["problem"]) for r in rows)
    by = {(r["workers"], r["startup"], r["problem"], r["method"]): r for r in rows}
    what = "Learning curves" if name == "curves" else "Multi-fidelity Hartmann"
    times, ends = [], []
    for workers, startup, problem in cases:
        of_case = [by.get((workers, startup, problem, m)) for m in methods]
        label = [str(workers), f"{startup:g}", problem.split("/", 1)[1]]
        times.append([*label, *(_time(r) for r in of_case)])
        ends.append([*label, *(_regret(r) for r in of_case)])
    head = ["workers", "start-up", "problem", *methods]
    if name == "curves":
        title = f"{what}: mean time to a regret of {GOAL:g}, in epochs (seeds that reached it)"
        yield _table(f"{title}; {seeds} seeds", head, times)
        yield _ratios(rows, by)
    yield _table(f"{what}: regret at the end of the budget; {seeds} seeds", head, ends)


def _ratios(rows: list[Row], by: dict[tuple, Row]) -> str:
    """Each of our methods against the best peer of each cell, on the seeds that both have."""
    methods = _in_order(r["method"] for r in rows)
    ours = [m for m in methods if m.startswith("kubestudy")]
    peers = [m for m in methods if not m.startswith("kubestudy")]
    lines = []
    for workers, startup, problem in _in_order(
        (r["workers"], r["startup"], r["problem"]) for r in rows
    ):
        times = {m: r["times"] for m in methods if (r := by.get((workers, startup, problem, m)))}
        label = [str(workers), f"{startup:g}", problem.split("/", 1)[1]]
        given = [m for m in peers if m in times and not m.endswith(OWN_POINTS)]
        best = min(given, key=lambda m: statistics.fmean(times[m]), default=None)
        own = (m for m in peers if m in times and m.endswith(OWN_POINTS))
        for peer in [best, *own] if best else own:
            told = f"{peer} ({statistics.fmean(times[peer]):.1f})"
            compared = (_ratio(times[m], times[peer]) if m in times else "" for m in ours)
            lines.append([*label, told, *compared])
    head = ["workers", "start-up", "problem", "peer", *ours]
    title = "Learning curves: that time over the best peer's (goal 0.7), with the seeds of both"
    return _table(title, head, lines)


def _ratio(ours: list[float], peer: list[float]) -> str:
    """The ratio of the means over the seeds that both have, and how many those are.

    Its error is as of independent means, which is too much where both were given the same points.
    """
    seeds = min(len(ours), len(peer))
    ours, peer = ours[:seeds], peer[:seeds]
    ratio = statistics.fmean(ours) / statistics.fmean(peer)
    error = ratio * math.hypot(*(standard_error(t) / statistics.fmean(t) for t in (ours, peer)))
    return f"{ratio:.2f} +- {error:.2f} ({seeds})"


def _busy(rows: list[Row]) -> str:
    methods = _in_order(r["method"] for r in rows)
    lines = [
        [
            str(workers),
            *(
                f"{r['busy']:.1%} ({r['starting']:.0%} of it start-up)"
                for m in methods
                for r in rows
                if (r["method"], r["workers"]) == (m, workers)
            ),
        ]
        for workers in _in_order(r["workers"] for r in rows)
    ]
    title = "Share of the worker-time in use: Hartmann6, start-up 3 epochs, 81 epochs"
    return _table(title, ["workers", *methods], lines).replace(" of it start-up", " start-up")


def _regret(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row['regret']:.3g} +- {standard_error(row['regrets']):.1g}"


def _time(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{statistics.fmean(row['times']):.1f} ({row['reached']})"


def _table(title: str, head: list[str], lines: list[list[str]]) -> str:
    text = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*text, *("| " + " | ".join(line) + " |" for line in lines), ""])


def _in_order(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def _range(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _plot(rows: list[Row], path: Path) -> None:
    """Mean regret against time: a row for a problem, a column for workers and start-up."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    problems = _in_order(r["problem"] for r in rows)
    columns = sorted({(r["workers"], r["startup"]) for r in rows})
    methods = _in_order(r["method"] for r in rows)
    figure, axes = pyplot.subplots(
        len(problems),
        len(columns),
        figsize=(3.2 * len(columns), 2.6 * len(problems) + 0.9),
        squeeze=False,
    )
    for r in rows:
        axis = axes[problems.index(r["problem"])][columns.index((r["workers"], r["startup"]))]
        ours = r["method"].startswith("kubestudy")
        times = [r["horizon"] * (i + 1) / len(r["course"]) for i in range(len(r["course"]))]
        axis.plot(
            times,
            [math.nan if v is None else max(v, 1e-5) for v in r["course"]],
            "-" if ours else "--",
            linewidth=1.6 if ours else 1.1,
            color=f"C{methods.index(r['method'])}",
            label=r["method"],
        )
        axis.set_yscale("log")
        axis.set_title(
            f"{r['problem'].split('/', 1)[1]}, {r['workers']} workers, start-up {r['startup']:g}",
            fontsize=8,
        )
        axis.tick_params(labelsize=7)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=len(columns), fontsize=8, frameon=False)
    figure.supylabel("mean regret", fontsize=9)
    figure.tight_layout(rect=(0, 0.9 / figure.get_figheight(), 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
