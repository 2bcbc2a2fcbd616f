"""Learning curves of real training with scikit-learn, on two data sets.

A table holds the validation error after each of 27 epochs for every point of a grid. It is made
once (a few minutes a table on one core), is the same on every machine up to floating point, and is
kept in ~/.cache/kubestudy/bench-search.

- ``digits``: MLPClassifier on the 8x8 digits, 600 to train on and 1,197 to validate on; 640 points.
- ``hard``: GradientBoostingClassifier on a generated problem of two classes with eight clusters
  each in twelve dimensions, one label in ten wrong; 600 and 2,400; 1,350 points. An epoch is
  three trees.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.search.problem import Config, Problem

EPOCHS = 27
TREES = 3
GRIDS: dict[str, dict[str, list[Any]]] = {
    "digits": {
        "learning_rate": [1e-4, 2.5e-4, 7e-4, 2e-3, 5e-3, 0.015, 0.04, 0.1, 0.3, 0.8],
        "momentum": [0.0, 0.7, 0.9, 0.97],
        "batch_size": [32, 64, 128, 256],
        "hidden": [8, 16, 32, 64],
    },
    "hard": {
        "learning_rate": [0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0],
        "max_depth": [1, 2, 4, 6, 9],
        "subsample": [0.3, 0.6, 1.0],
        "max_features": [0.2, 0.5, 1.0],
        "min_samples_leaf": [1, 10, 40],
    },
}
DATASETS = tuple(GRIDS)
FOLDER = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "kubestudy/bench-search"


def curves(dataset: str) -> Problem:
    """The learning curves on one data set, made if they are not there."""
    table, grid = _table(dataset), GRIDS[dataset]
    places = {name: {v: i for i, v in enumerate(values)} for name, values in grid.items()}

    def losses(config: Config) -> list[float]:
        return table[tuple(places[name][config[name]] for name in grid)].tolist()

    parameters = [{"name": name, "values": values} for name, values in grid.items()]
    return Problem(dataset, parameters, losses, EPOCHS, float(table.min()))


def make() -> None:
    """Makes the tables that are not there."""
    for dataset in DATASETS:
        if _path(dataset).exists():
            continue
        points = list(itertools.product(*GRIDS[dataset].values()))
        print(f"bench: training {len(points)} configurations on {dataset}", file=sys.stderr)
        with ProcessPoolExecutor() as pool:
            rows = list(pool.map(_train, itertools.repeat(dataset), points, chunksize=10))
        shape = [len(values) for values in GRIDS[dataset].values()]
        FOLDER.mkdir(parents=True, exist_ok=True)
        part = FOLDER / f"{dataset}.{os.getpid()}.npy"
        np.save(part, np.array(rows).reshape(*shape, EPOCHS))
        part.rename(_path(dataset))


def _path(dataset: str) -> Path:
    return FOLDER / f"{dataset}.npy"


@cache
def _table(dataset: str) -> np.ndarray:
    return np.load(_path(dataset))


@cache
def _data(dataset: str) -> tuple[np.ndarray, ...]:
    """Inputs and classes to train and to validate on."""
    from sklearn.datasets import load_digits, make_classification
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    if dataset == "hard":
        inputs, classes = make_classification(
            n_samples=3000,
            n_features=12,
            n_informative=8,
            n_redundant=2,
            n_clusters_per_class=8,
            class_sep=1.5,
            flip_y=0.1,
            random_state=0,
        )
    else:
        inputs, classes = load_digits(return_X_y=True)
    inputs = StandardScaler().fit_transform(inputs)
    x, x_valid, y, y_valid = train_test_split(
        inputs, classes, train_size=600, random_state=0, stratify=classes
    )
    return x, x_valid, y, y_valid


def _train(dataset: str, point: Sequence[Any]) -> list[float]:
    """The validation error after each epoch."""
    config = dict(zip(GRIDS[dataset], point, strict=True))
    train = _boost if dataset == "hard" else _train_mlp
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(config, *_data(dataset))


def _boost(config: Config, x: Any, x_valid: Any, y: Any, y_valid: Any) -> list[float]:
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(n_estimators=EPOCHS * TREES, random_state=0, **config)
    model.fit(x, y)
    stages = itertools.islice(model.staged_predict(x_valid), TREES - 1, None, TREES)
    return [float(np.mean(predicted != y_valid)) for predicted in stages]


def _train_mlp(config: Config, x: Any, x_valid: Any, y: Any, y_valid: Any) -> list[float]:
    """From where training diverges, the error is 1."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        hidden_layer_sizes=(config["hidden"],),
        solver="sgd",
        learning_rate_init=config["learning_rate"],
        momentum=config["momentum"],
        nesterovs_momentum=False,
        batch_size=config["batch_size"],
        random_state=0,
    )
    errors: list[float] = []
    for _ in range(EPOCHS):
        try:
            model.partial_fit(x, y, classes=np.arange(10))
            errors.append(float(np.mean(model.predict(x_valid) != y_valid)))
        except ValueError:  # its weights are not finite any more
            break
    return errors + [1.0] * (EPOCHS - len(errors))
