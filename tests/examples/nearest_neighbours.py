"""A scikit-learn model as a trial, fold by fold; with `--reference`, the whole GridSearchCV."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

# ball_tree and kd_tree find the same neighbours: their points tie.
GRID: dict[str, list[Any]] = {
    "n_neighbors": [5, 15, 45],
    "algorithm": ["ball_tree", "kd_tree"],
    "p": [1, 2, 3],
}
SCORING = "neg_log_loss"


def splits(folds: int, seed: int) -> StratifiedKFold:
    return StratifiedKFold(folds, shuffle=True, random_state=seed)


def folds_of_a_trial(environment: dict[str, str]) -> Iterator[tuple[int, float]]:
    from sklearn.metrics import get_scorer

    assert environment["KUBESTUDY_FOLD_STRATIFIED"] == "true"
    x, y = load_breast_cancer(return_X_y=True)
    folds = splits(int(environment["KUBESTUDY_FOLDS"]), int(environment["KUBESTUDY_FOLD_SEED"]))
    parts = list(folds.split(x, y))
    for fold in map(int, environment["KUBESTUDY_FOLD"].split(",")):
        train, test = parts[fold]
        model = KNeighborsClassifier(**json.loads(environment["KUBESTUDY_PARAMETERS"]))
        model.fit(x[train], y[train])
        yield fold, float(get_scorer(SCORING)(model, x[test], y[test]))


def reference(folds: int, seed: int) -> list[dict[str, Any]]:
    from sklearn.model_selection import GridSearchCV

    x, y = load_breast_cancer(return_X_y=True)
    search = GridSearchCV(KNeighborsClassifier(), GRID, scoring=SCORING, cv=splits(folds, seed))
    search.fit(x, y)
    results = search.cv_results_
    return [
        {
            "parameters": parameters,
            "folds": [float(results[f"split{fold}_test_score"][i]) for fold in range(folds)],
            "mean": float(results["mean_test_score"][i]),
            "std": float(results["std_test_score"][i]),
            "rank": int(results["rank_test_score"][i]),
            "best": bool(i == search.best_index_),
        }
        for i, parameters in enumerate(results["params"])
    ]


if __name__ == "__main__":
    if sys.argv[1] == "--reference":
        print(json.dumps(reference(folds=int(sys.argv[2]), seed=int(sys.argv[3]))))
    else:
        for fold, score in folds_of_a_trial(dict(os.environ)):
            print(json.dumps({SCORING: score, "fold": fold}), flush=True)
