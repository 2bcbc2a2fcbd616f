"""Folds: disjoint, covering, stratified, and the same for every trial."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubestudy_trial.environment import Fold
from kubestudy_trial.failures import InvalidArgument

pytestmark = [
    pytest.mark.trainer,
    pytest.mark.filterwarnings("ignore:The least populated class"),
]  # scikit-learn is the trainer's.

LABELS = st.lists(st.integers(0, 2), min_size=15, max_size=60)


@settings(deadline=None)  # The first example loads scikit-learn.
@given(labels=LABELS, count=st.integers(2, 4), seed=st.integers(0, 99), stratified=st.booleans())
def test_they_are_disjoint_and_cover_all_rows(labels, count, seed, stratified) -> None:
    from kubestudy_trial.folds import split_fold

    held_out = []
    for index in range(count):
        train, held = split_fold(labels, Fold(index, count, seed, stratified))
        assert sorted([*train, *held]) == list(range(len(labels)))
        held_out += held
    assert sorted(held_out) == list(range(len(labels)))


def test_each_has_its_share_of_each_label() -> None:
    from kubestudy_trial.folds import split_fold

    labels = [0] * 60 + [1] * 30 + [2] * 9  # Sorted, as files often are.
    for index in range(3):
        _, held = split_fold(labels, Fold(index, 3, 5))
        assert Counter(labels[row] for row in held) == {0: 20, 1: 10, 2: 3}


def test_the_seed_alone_decides() -> None:
    from kubestudy_trial.folds import split_fold

    labels = [0, 1] * 20
    assert split_fold(labels, Fold(1, 4, 7)) == split_fold(labels, Fold(1, 4, 7))
    assert split_fold(labels, Fold(1, 4, 7)) != split_fold(labels, Fold(1, 4, 8))


@pytest.mark.parametrize(
    ("labels", "words"), [([0, 1], "2 rows"), ([0, 1, 2, 3, 4], "no label has as many as 3")]
)
def test_too_few_rows_are_told(labels: list[int], words: str) -> None:
    from kubestudy_trial.folds import split_fold

    with pytest.raises(InvalidArgument, match=words):
        split_fold(labels, Fold(0, 3))


@pytest.mark.parametrize("count", [1, 2, 10, 17, 19])
def test_rows_drawn_keep_the_shares_where_they_can(count: int) -> None:
    from kubestudy_trial.folds import hold_out

    labels = [0] * 10 + [1] * 10
    rest, drawn = hold_out(labels, count, 0, stratified=True)
    assert sorted([*rest, *drawn]) == list(range(20))
    assert len(drawn) == count
    if 2 <= count <= 18:
        shares = Counter(labels[row] for row in drawn)
        assert abs(shares[0] - shares[1]) <= 1
