"""Which rows are trained on, and which are held out. Pure: rows in, indices out."""

from collections import Counter
from collections.abc import Sequence

from kubestudy_trial.environment import Fold
from kubestudy_trial.failures import InvalidArgument


def split_fold(labels: Sequence[float], fold: Fold) -> tuple[list[int], list[int]]:
    """Split the rows for one fold of a cross-validation.

    Args:
        labels: The label of each row; whole numbers if the fold is stratified.
        fold: Which one. Folds of the same count and seed are disjoint and cover all rows.

    Returns:
        The rows to train on and those held out.

    Raises:
        InvalidArgument: There are too few rows.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(labels) < fold.count:
        raise InvalidArgument(f"{len(labels)} rows cannot make {fold.count} folds")
    if fold.stratified and max(Counter(labels).values()) < fold.count:
        raise InvalidArgument(
            f"no label has as many as {fold.count} rows: take fewer folds, or stratified: false"
        )
    splitter = (StratifiedKFold if fold.stratified else KFold)(
        fold.count, shuffle=True, random_state=fold.seed
    )
    train, held_out = list(splitter.split(labels, labels))[fold.index]
    return train.tolist(), held_out.tolist()


def hold_out(
    labels: Sequence[float], count: int, seed: int, stratified: bool
) -> tuple[list[int], list[int]]:
    """Draw rows at random, of each label its share where that is possible.

    Args:
        labels: The label of each row.
        count: How many rows to draw.
        seed: The same seed draws the same rows.
        stratified: Whether to keep the labels' shares.

    Returns:
        The other rows, and those drawn; both in their order.
    """
    from sklearn.model_selection import train_test_split

    counts = Counter(labels)
    possible = (
        stratified and min(counts.values()) > 1 and len(counts) <= min(count, len(labels) - count)
    )
    rest, drawn = train_test_split(
        range(len(labels)),
        test_size=count,
        random_state=seed,
        stratify=labels if possible else None,
    )
    return sorted(rest), sorted(drawn)
