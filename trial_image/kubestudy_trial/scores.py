"""What is measured in an evaluation, by the kind of problem. `Trainer` puts `eval_` before it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk


def scores_for(task: str | None, classes: int | None) -> Callable[[Any], dict[str, float]]:
    """Choose the function that scores predictions.

    Args:
        task: A GLUE task, which may have a score of its own.
        classes: How many there are; nothing for a regression.
    """
    if classes is None:
        return _regression

    def classification(predicted: Any) -> dict[str, float]:
        guesses, labels = np.argmax(_logits(predicted), axis=-1), predicted.label_ids
        scores = {
            "accuracy": sk.accuracy_score(labels, guesses),
            "f1": sk.f1_score(
                labels, guesses, average="binary" if classes == 2 else "macro", zero_division=0
            ),
        }
        if task == "cola":
            scores["matthews_correlation"] = sk.matthews_corrcoef(labels, guesses)
        return {name: float(score) for name, score in scores.items()}

    return classification


def _regression(predicted: Any) -> dict[str, float]:
    guesses, labels = np.squeeze(_logits(predicted), axis=-1), predicted.label_ids
    if not np.isfinite(guesses).all():  # scikit-learn would raise; the callback tells it better.
        return dict.fromkeys(("mse", "mae", "pearson", "spearmanr"), math.nan)
    return {
        "mse": float(sk.mean_squared_error(labels, guesses)),
        "mae": float(sk.mean_absolute_error(labels, guesses)),
        "pearson": _correlation(stats.pearsonr, guesses, labels),
        "spearmanr": _correlation(stats.spearmanr, guesses, labels),
    }


def _logits(predicted: Any) -> Any:
    values = predicted.predictions
    return values[0] if isinstance(values, tuple) else values


def _correlation(measure: Any, guesses: Any, labels: Any) -> float:
    """A correlation; of constant guesses it is 0, not undefined, since they tell nothing."""
    if np.ptp(guesses) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(measure(guesses, labels).statistic)
