"""Scores of an SVM on every fold, for every point of a grid: what `bench.folds` draws from.

Needs scikit-learn, so it runs in the environment of the trials (`.venv-trial`). Ranges are those
of "A Practical Guide to Support Vector Classification" (Hsu, Chang and Lin), in steps of a factor
of 2: C from 2^-5 to 2^15, gamma from 2^-15 to 2^3, on features scaled to [0, 1].
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COSTS = [2.0**e for e in range(-5, 16)]
GAMMAS = [2.0**e for e in range(-15, 4)]
DATA = ("breast_cancer", "digits")
FOLDS = (3, 5)


def table(data: str, folds: int) -> list[dict[str, Any]]:
    """The accuracy on each held-out fold, for each point.

    Args:
        data: ``breast_cancer`` or ``digits``, as scikit-learn has them.
        folds: Into how many the data is split, stratified and shuffled.
    """
    from sklearn import datasets
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVC

    x, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(x, y))
    rows = [{"C": c, "gamma": g, "folds": []} for g in GAMMAS for c in COSTS]
    for train, test in splits:
        scaler = MinMaxScaler().fit(x[train])
        inner, outer = scaler.transform(x[train]), scaler.transform(x[test])
        for gamma in GAMMAS:
            known, new = rbf_kernel(inner, inner, gamma), rbf_kernel(outer, inner, gamma)
            for row in (r for r in rows if r["gamma"] == gamma):
                model = SVC(C=row["C"], kernel="precomputed").fit(known, y[train])
                row["folds"].append(float(model.score(new, y[test])))
        print(f"{data}: a fold of {folds} done", file=sys.stderr, flush=True)
    return rows


def missing(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """The tables that are not in a folder yet: their files, data and numbers of folds."""
    for data in DATA:
        for folds in FOLDS:
            path = folder / f"svc-{data}-{folds}.json"
            if not path.exists():
                yield path, data, folds


if __name__ == "__main__":
    for path, data, folds in missing(Path(sys.argv[1])):
        path.write_text(json.dumps(table(data, folds)))
