"""Studies for the tests, and what their trials should find."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from kubestudy.runtime.client import Object

GRID = {
    "learning_rate": [1e-5, 2e-5, 5e-5],
    "per_device_train_batch_size": [16, 32],
    "num_train_epochs": [3, 4, 5],
}


def study(name: str, parameters: Mapping[str, list[Any]] = GRID, **spec: Any) -> Object:
    """A grid Study over lists of values; further fields of the spec replace or add to it."""
    return {
        "apiVersion": "kubestudy.dev/v1alpha1",
        "kind": "Study",
        "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": [
                {
                    "name": parameter,
                    "choices" if any(isinstance(v, str) for v in values) else "values": values,
                }
                for parameter, values in parameters.items()
            ],
            "algorithm": {"type": "Grid"},
            "budget": {"parallelism": 4},
            "trial": {"image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent"},
            **spec,
        },
    }


def points(parameters: Mapping[str, list[Any]] = GRID) -> list[dict[str, Any]]:
    """The points of a grid."""
    return [
        dict(zip(parameters, values, strict=True))
        for values in itertools.product(*parameters.values())
    ]


def distinct(trials: list[Object]) -> set[str]:
    """The different points among trials."""
    return {json.dumps(t["spec"]["parameters"], sort_keys=True) for t in trials}


def score(parameters: Mapping[str, Any]) -> float:
    """An accuracy with one best point inside the grid."""
    rate, batch, epochs = (float(parameters[name]) for name in GRID)
    return round(0.9 - abs(rate - 2e-5) * 1e4 - abs(batch - 32) / 100 - abs(epochs - 4) / 10, 6)
