"""Reads what is posted by ``KubeflowCallback``, which transformers' Trainer has of itself.

    {"trainerStatus": {"progressPercentage": 40, "metrics": [{"name": "loss", "value": "0.5"}]}}

The callback posts every five seconds at most, and each time the newest value of every metric: most
of a post has been said before. When a value was measured is known by the epoch of the newest one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kubestudy.core.pushed import Pushed
from kubestudy.core.reports import MetricTrack, Observation
from kubestudy.sources.json_text import is_name, json_object
from kubestudy.sources.numbers import number, number_in
from kubestudy.sources.wanted import is_told

WHERE = ("epoch", "current_epoch", "current_step")
"""Where in training a post is, the best word for it first."""

NO_METRICS = frozenset({*WHERE, "total_steps"})
RUNTIME = "runtime"
MOST = 256
"""Metrics of one post that are read."""


@dataclass(frozen=True)
class Post:
    """One post.

    Attributes:
        numbers: All that it tells, by name.
        final: Whether it is the one at the end of a training.
    """

    numbers: dict[str, float]
    final: bool


def read_post(body: bytes) -> Post | None:
    """Reads a post; None where it is none. What is no number in it is passed over."""
    record = json_object(body.decode(errors="replace").strip())
    status = (record or {}).get("trainerStatus")
    if not isinstance(status, dict):
        return None
    metrics = status.get("metrics") or []
    if not isinstance(metrics, list):
        return None
    numbers: dict[str, float] = {}
    for metric in metrics[:MOST]:
        if isinstance(metric, dict) and isinstance(name := metric.get("name"), str):
            value = number_in(metric.get("value"))
            if value is not None and is_name(name):
                numbers[name] = value
    return Post(numbers, number(status.get("progressPercentage")) == 100)


def take(pushed: Pushed, post: Post) -> bool:
    """Adds a post to what was pushed before; returns whether a Study may decide by what is new."""
    report = pushed.report
    new = {
        name: value
        for name, value in post.numbers.items()
        if (name in report.owed or name not in NO_METRICS)
        and is_told(name, value, report.owed)
        and _is_new(name, value, report.metrics, post)
    }
    told = [post.numbers[name] for name in WHERE if name in post.numbers]
    step = next((value for value in told if math.isfinite(value)), None)
    resource = post.numbers.get(pushed.resource) if pushed.resource else None
    knew, was_final = report.not_finite, pushed.final
    report.add(Observation(new, step, resource=resource))
    pushed.final = post.final
    owed = any(math.isfinite(new[name]) for name in new.keys() & report.owed)
    return owed or report.not_finite != knew or post.final != was_final


def _is_new(name: str, value: float, known: dict[str, MetricTrack], post: Post) -> bool:
    """Whether a value was not in a post before: it, or the time that its evaluation took, differs.

    Trainer tells with ``eval_accuracy`` an ``eval_runtime``, by which the same value of another
    evaluation is known.
    """
    if name not in known or known[name].latest != value:
        return True
    return any(
        timed in known and known[timed].latest != seconds
        for timed, seconds in post.numbers.items()
        if timed.endswith(f"_{RUNTIME}") and name.startswith(timed.removesuffix(RUNTIME))
    )
