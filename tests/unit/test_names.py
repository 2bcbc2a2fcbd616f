"""Names: valid, the same for the same thing, and never the same for two."""

from __future__ import annotations

import re

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kubestudy.core.facts import RunKey
from kubestudy.core.names import job_name, label_value, trial_name

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

part = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
study_names = st.lists(part, min_size=1, max_size=4).map(".".join).filter(lambda n: len(n) <= 200)
close = st.from_regex(r"a{0,70}[.-]?[0-9][.-]?[0-9]{0,2}", fullmatch=True).filter(
    lambda n: n[0] not in ".-" and n[-1] not in ".-" and not re.search(r"\.-|-\.|\.\.", n)
)
names = st.one_of(study_names, close)
index = st.integers(0, 100_000)
small = st.integers(0, 30)
keys = st.builds(
    lambda name, i, r, f, a: RunKey(trial_name(name, i), r, f, a), names, index, small, small, small
)


@given(keys)
@settings(deadline=None)
def test_a_job_has_a_valid_name(run: RunKey) -> None:
    assert DNS_LABEL.fullmatch(job_name(run))
    assert LABEL_VALUE.fullmatch(label_value(run.trial))
    assert job_name(run) == job_name(run)


@given(st.lists(keys, min_size=2, max_size=30, unique=True))
@settings(deadline=None)
def test_two_runs_never_share_a_name(runs: list[RunKey]) -> None:
    assert len({job_name(r) for r in runs}) == len(runs)


@given(names, names, index, index)
@settings(deadline=None)
def test_two_trials_never_share_a_name(a: str, b: str, i: int, j: int) -> None:
    assume((a, i) != (b, j))
    assert trial_name(a, i) != trial_name(b, j)


def test_names_that_differ_in_a_point_or_beyond_the_cut_differ() -> None:
    long = "s" * 80
    pairs = [("a.b", "a-b"), (f"{long}a", f"{long}b"), (f"{long}.a", f"{long}-a")]
    for a, b in pairs:
        assert job_name(RunKey(f"{a}-0")) != job_name(RunKey(f"{b}-0"))


def test_a_name_that_fits_is_kept() -> None:
    assert job_name(RunKey("demo-3", 1, 2, 4)) == "demo-3-1-2-4"
    assert label_value("a.b") == "a.b"
