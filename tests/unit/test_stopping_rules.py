"""The rules of early stopping, each against its definition."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.api.trial import TrialStatus
from kubestudy.core.courses import course
from kubestudy.core.reports import Observation, RunReport
from kubestudy.stopping import available, signed_rank
from kubestudy.stopping.base import Course
from kubestudy.stopping.percentile import quantile
from kubestudy.stopping.signed_rank import EXACT_UP_TO, p_value
from tests.unit.build import study

VALUE = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0])
CURVE = st.lists(st.tuples(st.integers(0, 8), VALUE), min_size=1, max_size=8).map(
    lambda reports: sorted(dict(reports).items())
)
Reports = Sequence[tuple[float, float]]


def spec_of(rule: str, settings: dict[str, Any] | None = None, direction: str = "Maximize", **more):
    return study(
        objectives=[{"metric": "accuracy", "direction": direction}],
        earlyStopping={"type": rule, "settings": settings or {}},
        **more,
    ).spec


def told(reports: Reports) -> RunReport:
    report = RunReport(curve_metric="accuracy")
    for step, value in reports:
        report.add(Observation({"accuracy": value}, step))
    return report


def course_of(name: str, spec: Any, *folds: Reports, values: Sequence[float] = ()) -> Course:
    """A trial's course by fold; ``values`` are those of its folds that are done."""
    curve: list[Any] = []
    for fold, reports in enumerate(folds):
        curve = course(curve, told(reports), fold, spec)
    runs = [
        {
            "job": f"{name}-{fold}",
            "fold": fold,
            "outcome": "Succeeded",
            "objectives": [{"metric": "accuracy", "value": v}],
        }
        for fold, v in enumerate(values)
    ]
    mean = [{"metric": "accuracy", "value": statistics.fmean(values)}] if values else None
    status = {"curve": curve, "runs": runs, "objectives": mean}
    return Course(name, TrialStatus.model_validate(status))


def judged(spec: Any, trial: Course, completed: Sequence[Course] = (), fold: int = 0) -> str | None:
    kind = available()[spec.early_stopping.type]
    settings = kind.settings_model.model_validate(spec.early_stopping.settings)
    assert kind.check(settings, spec) == []
    return kind(settings, spec).judge(trial, fold, completed)


def straight(value: float, steps: int = 5) -> Reports:
    return [(step, value) for step in range(1, steps + 1)]


def test_each_rule_has_a_name_and_settings_with_descriptions() -> None:
    assert list(available()) == ["Median", "Patience", "Percentile", "Threshold", "Wilcoxon"]
    for kind in available().values():
        assert kind.__doc__
        for field in kind.settings_model.model_fields.values():
            assert field.description
            assert not field.is_required()


# Median and percentile.


@given(CURVE, st.lists(CURVE, max_size=6), st.sampled_from(["Maximize", "Minimize"]))
def test_the_median_rule_is_vizier_s(own: Reports, others: list[Reports], direction: str) -> None:
    spec = spec_of("Median", {"startupTrials": 1}, direction)
    completed = [course_of(str(i), spec, reports) for i, reports in enumerate(others)]
    step = own[-1][0]
    up_to = [[v for s, v in reports if s <= step] for reports in others]
    averages = [math.fsum(values) / len(values) for values in up_to if values]
    best = max if direction == "Maximize" else min
    at_best = best(v for _, v in own)
    expected = False
    if averages:
        median = statistics.median(averages)
        expected = at_best < median if direction == "Maximize" else at_best > median
        if math.isclose(at_best, median):
            return
    assert (judged(spec, course_of("own", spec, own), completed) is not None) == expected


def test_the_median_rule_names_its_numbers() -> None:
    spec = spec_of("Median", {"startupTrials": 4})
    completed = [course_of(str(v), spec, straight(v)) for v in (0.1, 0.5, 0.7, 0.9)]
    own = course_of("own", spec, [(1, 0.2), (2, 0.55), (3, 0.3)])
    assert judged(spec, own, completed) == (
        "accuracy 0.55 at step 3 is worse than the median 0.6 of 4 trials"
    )


def test_a_running_average_counts_what_came_before() -> None:
    spec = spec_of("Median", {"startupTrials": 1})
    late = course_of("late", spec, [(1, 0.0), (2, 0.0), (3, 0.9)])
    assert judged(spec, course_of("own", spec, straight(0.31, 3)), [late]) is None
    assert judged(spec, course_of("own", spec, straight(0.29, 3)), [late]) is not None


def test_as_good_as_the_median_is_good_enough() -> None:
    spec = spec_of("Median", {"startupTrials": 1})
    completed = [course_of(str(i), spec, straight(0.1)) for i in range(3)]
    assert judged(spec, course_of("own", spec, straight(0.1)), completed) is None


def test_others_that_have_not_reported_by_then_do_not_count() -> None:
    spec = spec_of("Median", {"startupTrials": 3})
    completed = [course_of(str(i), spec, straight(0.9)) for i in range(2)]
    completed.append(course_of("late", spec, [(50, 0.9)]))
    own = course_of("own", spec, straight(0.1))
    assert judged(spec, own, completed) is None
    assert judged(spec, own, [*completed, course_of("3", spec, straight(0.9))]) is not None


@pytest.mark.parametrize(
    ("steps", "stopped"), [(1, False), (4, False), (5, True), (6, True), (7, True)]
)
def test_no_trial_is_judged_before_min_steps(steps: int, stopped: bool) -> None:
    spec = spec_of("Median", {"startupTrials": 1, "minSteps": 5})
    completed = [course_of("0", spec, straight(0.9, 9))]
    assert (judged(spec, course_of("own", spec, straight(0.1, steps)), completed) is not None) == (
        stopped
    )


def test_with_an_interval_only_whole_intervals_are_judged() -> None:
    spec = spec_of("Median", {"startupTrials": 1, "minSteps": 1, "interval": 3})
    completed = [course_of("0", spec, straight(0.5, 9))]
    fallen_late = [(1, 0.5), (4, 0.6), (6, 0.9)]
    assert "step 4 is" in (
        judged(spec, course_of("own", spec, [(1, 0.1), (4, 0.2), (6, 0.9)]), completed) or ""
    )
    assert judged(spec, course_of("own", spec, fallen_late), completed) is None


def test_folds_are_compared_with_the_same_fold() -> None:
    spec = spec_of("Median", {"startupTrials": 1}, crossValidation={"folds": 3})
    completed = [course_of("0", spec, straight(0.9), straight(0.2))]
    own = course_of("own", spec, straight(0.95), straight(0.3))
    assert judged(spec, own, completed, fold=1) is None
    worse = judged(spec, course_of("own", spec, straight(0.5), straight(0.3)), completed)
    assert worse == "accuracy 0.5 at step 5 of fold 0 is worse than the median 0.9 of 1 trials"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3], 0.5, 3),
        ([1, 2], 0.5, 1.5),
        ([3, 1, 2], 0.5, 2),
        ([4, 1, 3, 2], 0.5, 2.5),
        ([1, 2, 3, 4, 5], 0.25, 4),
        ([1, 2, 3, 4, 5], 0.1, 4.6),
        ([1, 2, 3, 4, 5], 0.75, 2),
    ],
)
def test_a_quantile_is_interpolated(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share, best_is_largest=True) == pytest.approx(expected)
    mirrored = quantile([-v for v in values], share, best_is_largest=False)
    assert mirrored == pytest.approx(-expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.booleans())
def test_half_way_is_the_median(values: list[float], largest: bool) -> None:
    assert quantile(values, 0.5, largest) == pytest.approx(statistics.median(values))


@pytest.mark.parametrize(("percentile", "stopped"), [(10, True), (25, True), (50, False)])
def test_the_percentile_says_how_many_go_on(percentile: float, stopped: bool) -> None:
    spec = spec_of("Percentile", {"startupTrials": 1, "percentile": percentile})
    completed = [course_of(str(v), spec, straight(v / 10)) for v in range(1, 6)]
    said = judged(spec, course_of("own", spec, straight(0.35)), completed)
    assert (said is not None) == stopped
    assert not stopped or f"worse than the best {percentile} %" in str(said)


# Threshold.


@pytest.mark.parametrize(
    ("settings", "reports", "said"),
    [
        ({"lower": 0.3}, [(1, 0.2)], "accuracy 0.2 at step 1 is below lower, 0.3"),
        ({"lower": 0.3}, [(1, 0.3)], None),
        ({"upper": 2}, [(1, 1.0), (2, 2.5), (3, 1.0)], "accuracy 2.5 at step 2 is above upper, 2"),
        ({"lower": 0.3, "minSteps": 3}, [(1, 0.1), (2, 0.2), (3, 0.3)], None),
        (
            {"lower": 0.3, "upper": 0.9, "minSteps": 2},
            [(1, 0.1), (2, 0.1)],
            "accuracy 0.1 at step 2 is below lower, 0.3",
        ),
    ],
)
def test_beyond_a_threshold_a_trial_is_stopped(
    settings: dict[str, Any], reports: Reports, said: str | None
) -> None:
    spec = spec_of("Threshold", settings)
    assert judged(spec, course_of("own", spec, reports)) == said


# Patience.


@pytest.mark.parametrize(
    ("values", "settings", "stopped"),
    [
        ([1, 2, 3, 4, 5], {"patience": 1}, False),
        ([1, 1], {"patience": 1}, True),
        ([1, 2, 2, 2], {"patience": 3}, False),
        ([1, 2, 2, 2, 2], {"patience": 3}, True),
        ([1, 2, 0, 1, 3], {"patience": 3}, False),
        ([1, 1.05, 1.1, 1.15], {"patience": 3, "minDelta": 0.1}, False),
        ([1, 1.03, 1.06, 1.09], {"patience": 3, "minDelta": 0.1}, True),
        ([1, 1, 1], {"patience": 2, "minSteps": 4}, False),
    ],
)
@pytest.mark.parametrize("direction", ["Maximize", "Minimize"])
def test_patience_counts_reports_without_improvement(
    values: list[float], settings: dict[str, Any], stopped: bool, direction: str
) -> None:
    sign = 1 if direction == "Maximize" else -1
    spec = spec_of("Patience", settings, direction)
    own = course_of("own", spec, [(i + 1, sign * v) for i, v in enumerate(values)])
    assert (judged(spec, own) is not None) == stopped


def test_patience_never_ends_a_thinned_course_too_early() -> None:
    spec = spec_of("Patience", {"patience": 150})
    improving_at_333 = [(s, 0.1 + (s >= 333)) for s in range(483)]
    assert judged(spec, course_of("own", spec, improving_at_333)) is None
    said = judged(spec, course_of("own", spec, [*improving_at_333, *((s, 0) for s in (483, 490))]))
    assert said is None or "150" in said
    assert judged(spec, course_of("own", spec, [(s, 0.1 + (s >= 333)) for s in range(600)]))


# Wilcoxon.


def brute_force(differences: Sequence[float]) -> float:
    """The test by its definition: each choice of signs, ranks shared, zeros split."""
    sizes = [abs(d) for d in differences]
    ranks = [
        statistics.fmean(r for r, s in enumerate(sorted(sizes), 1) if s == size) for size in sizes
    ]
    zeros = sum(r for r, d in zip(ranks, differences, strict=True) if d == 0) / 2
    coins = [r for r, d in zip(ranks, differences, strict=True) if d]
    observed = zeros + sum(r for r, d in zip(ranks, differences, strict=True) if d > 0)
    sums = [
        zeros + sum(r for r, up in zip(coins, signs, strict=True) if up)
        for signs in itertools.product((False, True), repeat=len(coins))
    ]
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


@given(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9))
def test_the_signed_rank_test_is_exact(differences: list[float]) -> None:
    assert p_value(differences) == pytest.approx(brute_force(differences))


@pytest.mark.parametrize(
    ("n", "lowest"), [(1, 0.5), (4, 0.0625), (5, 0.03125), (10, 2**-10), (EXACT_UP_TO, 2**-50)]
)
def test_when_all_are_worse_the_probability_is_known(n: int, lowest: float) -> None:
    assert p_value([float(i + 1) for i in range(n)]) == pytest.approx(lowest)


def test_a_table_s_critical_value() -> None:
    """n = 10, one-sided: a sum of 10 against has p = 0.0420, of 11 p = 0.0527 (any textbook)."""
    ten = [-10.0, *(float(i) for i in range(1, 10))]
    eleven = [-10.0, -1.0, *(float(i) for i in range(2, 10))]
    assert p_value(ten) == pytest.approx(0.0420, abs=5e-5)
    assert p_value(eleven) == pytest.approx(0.0527, abs=5e-5)


@pytest.mark.parametrize("against", [0, 3, 10, 20, 25])
def test_the_normal_approximation_takes_over_smoothly(
    against: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = EXACT_UP_TO + 1
    differences = [float(-i if i % size < against else i) for i in range(1, size + 1)]
    approximate = p_value(differences)
    monkeypatch.setattr(signed_rank, "EXACT_UP_TO", size)
    assert approximate == pytest.approx(p_value(differences), abs=1e-3)
    assert approximate != p_value(differences)


def test_differences_of_zero_only_prove_nothing() -> None:
    assert p_value([0.0] * 5) == 1
    assert p_value([0.0] * (EXACT_UP_TO + 1)) == 1


FOLDS = {"crossValidation": {"folds": 6}}


def test_a_trial_that_is_worse_in_every_fold_is_stopped() -> None:
    spec = spec_of("Wilcoxon", **FOLDS)
    best = course_of("best", spec, values=[0.8, 0.9, 0.7, 0.85, 0.75, 0.8])
    other = course_of("other", spec, values=[0.1] * 6)
    three = course_of("own", spec, values=[0.79, 0.8, 0.6])
    four = course_of("own", spec, values=[0.79, 0.8, 0.6, 0.7])
    assert judged(spec, three, [other, best]) is None
    assert judged(spec, four, [other, best]) == (
        "the mean accuracy 0.7225 over 4 folds is worse than 0.8125 of best over the same"
        " (p = 0.062, by Wilcoxon's signed-rank test)"
    )
    assert judged(spec, four, []) is None


def test_a_trial_whose_mean_is_no_worse_is_never_stopped() -> None:
    spec = spec_of("Wilcoxon", {"pThreshold": 0.9}, **FOLDS)
    best = course_of("best", spec, values=[0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
    own = course_of("own", spec, values=[0.7, 0.7, 0.7, 1.2])
    assert judged(spec, own, [best]) is None


def test_without_folds_the_same_steps_are_compared() -> None:
    spec = spec_of("Wilcoxon", direction="Minimize")
    best = course_of("best", spec, [(s, 0.1 * s) for s in range(1, 6)], values=[0.1])
    worse = [(s, 0.1 * s + 0.01 * s) for s in range(1, 5)]
    assert judged(spec, course_of("own", spec, worse), [best]) is not None
    elsewhere = [(s + 0.5, v) for s, v in worse]
    assert judged(spec, course_of("own", spec, elsewhere), [best]) is None


@pytest.mark.parametrize("folds", range(2, 10))
def test_a_test_that_could_never_stop_anything_is_refused(folds: int) -> None:
    spec = spec_of("Wilcoxon", crossValidation={"folds": folds})
    kind = available()["Wilcoxon"]
    worst = course_of("worst", spec, values=[0.0] * (folds - 1))
    best = course_of("best", spec, values=[float(i + 1) for i in range(folds)])
    settings = kind.settings_model()
    can_stop = kind(settings, spec).judge(worst, 0, [best]) is not None
    assert bool(kind.check(settings, spec)) != can_stop
    if not can_stop:
        assert "use at least 5 folds" in kind.check(settings, spec)[0].message


# The course that is stored.


@pytest.mark.parametrize("folds", [1, 2, 3, 20])
def test_a_course_is_bounded_and_true_where_it_is_kept(folds: int) -> None:
    more = {"crossValidation": {"folds": folds}} if folds > 1 else {}
    spec = spec_of("Median", **more)
    reports = [(s, (s * 7919 % 1000) / 1000) for s in range(1234)]
    whole = course_of("own", spec, *[reports] * folds)
    assert len(whole.status.curve or ()) <= 400
    for fold in range(folds):
        for p in whole.points(fold):
            before = [v for s, v in reports if s <= p.step]
            assert p.value == before[-1]
            assert (p.best, p.reports) == (max(before), len(before))
            assert p.mean == pytest.approx(math.fsum(before) / len(before), abs=1e-15)
        assert whole.points(fold)[-1].step == 1233


@given(CURVE, st.integers(0, 9), st.data())
def test_a_pod_that_goes_on_from_a_checkpoint_counts_on(
    reports: Reports, saved: int, data: st.DataObject
) -> None:
    spec = spec_of("Median")
    cut = data.draw(st.integers(1, len(reports)))
    first, second = reports[:cut], [(s, v) for s, v in reports if s > saved]
    stored = course([], told(first), 0, spec)
    resumed = told(second)
    for _ in range(3):
        stored = course(stored, resumed, 0, spec)
    begun = second[0][0] if second else math.inf
    whole = course([], told([r for r in first if r[0] < begun] + list(second)), 0, spec)
    assert [(p.step, p.value, p.best, p.reports) for p in stored] == [
        (p.step, p.value, p.best, p.reports) for p in whole
    ]
    assert [p.mean for p in stored] == pytest.approx([p.mean for p in whole])


def test_a_pod_that_begins_anew_replaces_what_was_reported() -> None:
    spec = spec_of("Median")
    stored = course([], told(straight(0.9)), 0, spec)
    again = course(stored, told(straight(0.1, 2)), 0, spec)
    assert [(p.step, p.value) for p in again] == [(1, 0.1), (2, 0.1)]


def test_without_early_stopping_only_the_values_are_kept() -> None:
    kept = TrialStatus(curve=course([], told(straight(0.5, 1)), 0, study().spec))
    assert kept.to_json()["curve"] == [{"step": 1, "value": 0.5}]
