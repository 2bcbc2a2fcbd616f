"""What is searched: parameters, and the loss that each configuration has after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A search problem, always minimised.

    Attributes:
        name: For tables.
        parameters: The search space as a Study's ``spec.parameters``.
        losses: The loss after each epoch, 1 to ``epochs``. Called once per run of a trial, with the
            number of the experiment's seed for problems whose losses are noisy.
        epochs: The largest resource; 1 where a trial has one value only.
        optimum: The smallest loss that there is.
    """

    name: str
    parameters: list[Config]
    losses: Callable[[Config], Sequence[float]]
    epochs: int
    optimum: float
