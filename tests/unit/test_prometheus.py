"""What is made of Prometheus' answers, and of several sources together."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.core.reports import MetricTrack, Observation, RunReport
from kubestudy.sources.preference import preferred
from kubestudy.sources.prometheus import MOST_KINDS, SeriesReader, query_of
from tests.unit.build import study

SPEC = study().spec


def series(samples: dict[float, float | str], **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [[t, str(v)] for t, v in samples.items()]}


def metric(name: str, samples: dict[float, float | str], **labels: str) -> dict[str, Any]:
    return series(samples, __name__="kubestudy_trial_metric", metric=name, **labels)


def step(name: str, samples: dict[float, float | str]) -> dict[str, Any]:
    return series(samples, __name__="kubestudy_trial_metric_step", metric=name)


def epoch(name: str, samples: dict[float, float | str]) -> dict[str, Any]:
    return series(samples, __name__="kubestudy_trial_metric_epoch", metric=name)


def test_a_value_that_was_scraped_twice_counts_once() -> None:
    reader = SeriesReader(SPEC)
    answer = [
        metric("accuracy", {1: 0.5, 2: 0.5, 3: 0.5, 4: 0.6}),
        step("accuracy", {1: 10, 2: 10, 3: 20, 4: 30}),
    ]
    expected = [
        Observation({"accuracy": 0.5}, 10),
        Observation({"accuracy": 0.5}, 20),
        Observation({"accuracy": 0.6}, 30),
    ]
    assert reader.read(answer) == expected
    assert reader.read(answer) == []
    assert reader.hint is None


def test_metrics_of_different_steps_are_different_reports() -> None:
    answer = [
        metric("accuracy", {1: 0.5}),
        step("accuracy", {1: 10}),
        metric("loss", {1: 2}),
        step("loss", {1: 12}),
    ]
    assert SeriesReader(SPEC).read(answer) == [
        Observation({"accuracy": 0.5}, 10),
        Observation({"loss": 2.0}, 12),
    ]


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({}, "accuracy"),
        ({"__name__": "anything"}, "accuracy"),
        ({"__name__": "accuracy"}, "accuracy"),
        ({"__name__": "x", "metric": "f1"}, "f1"),
    ],
)
def test_a_series_of_a_query_is_of_the_objective_unless_it_says_otherwise(
    labels: dict[str, str], name: str
) -> None:
    (report,) = SeriesReader(SPEC).read([series({1: 0.5}, **labels)])
    assert report.metrics == {name: 0.5}


def test_several_series_are_none() -> None:
    reader = SeriesReader(SPEC)
    answer = [
        metric("accuracy", {1: 0.5}, instance="a"),
        metric("accuracy", {1: 0.6}, instance="b"),
        metric("f1", {1: 0.7}, instance="a"),
    ]
    assert reader.read(answer) == [Observation({"f1": 0.7})]
    assert reader.ambiguous == {"accuracy"}
    assert "several series of accuracy" in str(reader.hint)


def test_what_is_not_finite_is_told_where_it_matters() -> None:
    answer = [metric("accuracy", {1: "NaN"}), metric("grad_norm", {1: "+Inf"})]
    (report,) = SeriesReader(SPEC).read(answer)
    assert list(report.metrics) == ["accuracy"]
    assert math.isnan(report.metrics["accuracy"])


@pytest.mark.parametrize("bad", [{}, {"values": [[], [1], ["x", "y"], None]}, {"metric": None}])
def test_an_answer_of_another_shape_holds_nothing(bad: dict[str, Any]) -> None:
    reader = SeriesReader(SPEC)
    assert reader.read([bad]) == []
    assert reader.hint == "Prometheus has no such series of this pod; is it scraped?"


def test_the_query_is_the_users_or_for_what_the_library_exports() -> None:
    default = query_of(study(metrics=[{"type": "Prometheus"}]).spec, "team", "a-0")
    assert default.plain
    assert "kubestudy_trial_metric|" in default.text
    assert default.text.endswith('namespace="team",pod="a-0"}')
    custom = query_of(study(metrics=[{"type": "Prometheus", "query": "max(x)"}]).spec, "n", "p")
    assert custom.text == 'max(x{namespace="n",pod="p"})'


# The resource of an algorithm with rungs.


def spent(answer: list[dict[str, Any]], **resource: str) -> list[tuple[dict, Any, Any]]:
    """The metrics, step and resource of each observation, where rungs go by a resource."""
    algorithm = {"type": "ASHA", "resource": {"max": 9, **resource}}
    reader = SeriesReader(study(algorithm=algorithm, metrics=[{"type": "Prometheus"}]).spec)
    return [(o.metrics, o.step, o.resource) for o in reader.read(answer)]


def test_a_metric_counts_at_its_own_epoch_and_step() -> None:
    answer = [
        metric("accuracy", {1: 0.5, 2: 0.5, 3: 0.5}),
        step("accuracy", {1: 10, 2: 10, 3: 20}),
        epoch("accuracy", {1: 1, 2: 1, 3: 2}),
        metric("loss", {2: 3}),
        step("loss", {2: 15}),
        epoch("loss", {2: 1.5}),
    ]
    by_epoch = [
        ({"accuracy": 0.5}, 10, 1),
        ({"loss": 3}, 15, 1.5),
        ({"accuracy": 0.5}, 20, 2),
    ]
    assert spent(answer, name="num_train_epochs") == by_epoch
    by_step = [(metrics, at, at) for metrics, at, _ in by_epoch]
    assert spent(answer, name="max_steps") == by_step


def test_a_resource_of_its_own_name_counts_for_the_metrics_of_its_report() -> None:
    answer = [
        metric("accuracy", {1: 0.5, 2: 0.5}),
        step("accuracy", {1: 10, 2: 10}),
        metric("samples", {1: 320, 2: 480}),
        step("samples", {1: 10, 2: 15}),
    ]
    assert spent(answer, name="samples") == [
        ({"accuracy": 0.5, "samples": 320}, 10, 320),
        ({"samples": 480}, 15, 480),
    ]


@pytest.mark.parametrize("label", ["__name__", "metric"])
def test_a_query_tells_the_resource_by_a_second_series(label: str) -> None:
    def named(name: str, samples: dict[float, float | str]) -> dict[str, Any]:
        return series(samples, **{label: name})

    same = {1: 0.5, 2: 0.5, 3: 0.5}
    answer = [named("accuracy", same), named("epoch", {1: 1, 2: 1, 3: 2})]
    expected = [({"accuracy": 0.5}, 1, 1), ({"accuracy": 0.5}, 2, 2)]
    assert spent(answer, name="num_train_epochs") == expected
    answer = [named("accuracy", same), named("samples", {1: 32, 2: 32, 3: 64})]
    assert [told[2] for told in spent(answer, name="samples")] == [32, 64]


@pytest.mark.parametrize("untold", ["NaN", "+Inf", "-Inf"])
def test_a_place_that_is_no_number_is_not_told(untold: str) -> None:
    answer = [metric("accuracy", {1: 0.5}), epoch("accuracy", {1: untold})]
    assert spent(answer, name="num_train_epochs") == [({"accuracy": 0.5}, None, None)]


# Several sources.


def told(complete: bool = True, hint: str | None = None, **metrics: float) -> RunReport:
    tracks = {n: MetricTrack(v, v, v, None) for n, v in metrics.items()}
    return RunReport("accuracy", metrics=tracks, complete=complete, hint=hint)


OWED = frozenset({"accuracy"})


@pytest.mark.parametrize(
    ("reports", "accuracy", "complete"),
    [
        ([told(accuracy=1)], 1, True),
        ([told(accuracy=1), told(accuracy=2)], 1, True),
        ([told(accuracy=1), None], 1, True),
        ([told(accuracy=1, complete=False), None], 1, False),
        ([None, told(accuracy=2)], 2, False),
        ([told(f1=1), told(accuracy=2)], 2, True),
        ([told(f1=1), told(accuracy=2, complete=False)], 2, False),
        ([told(f1=1), None], None, False),
    ],
)
def test_the_first_source_that_has_a_metric_counts(
    reports: list[RunReport | None], accuracy: float | None, complete: bool
) -> None:
    merged = preferred(reports, OWED)
    assert merged is not None
    track = merged.metrics.get("accuracy")
    assert (track.latest if track else None) == accuracy
    assert merged.complete is complete


def test_the_course_comes_from_the_first_source_that_has_the_objective() -> None:
    logs, series = told(), RunReport.of(["accuracy"], levels=[1])
    series.add(Observation({"accuracy": 0.5}, step=7, resource=1))
    merged = preferred([logs, series], OWED)
    assert merged is not None
    assert merged.curve == series.curve
    assert merged.newest == series.newest
    assert merged.rungs == series.rungs
    assert list(merged.rungs) == [1]


def test_hints_of_all_sources_are_told_and_nothing_is_changed() -> None:
    logs, series = told(hint="no log"), told(hint="no series")
    merged = preferred([logs, series], OWED)
    assert merged is not None
    assert merged.hint == "no log; no series"
    assert (logs.hint, series.hint) == ("no log", "no series")
    assert preferred([None, None], OWED) is None


def test_names_beyond_a_number_are_dropped_and_those_that_are_asked_for_are_not() -> None:
    reader = SeriesReader(SPEC)
    for scrape in range(5):
        many = [metric(f"m{scrape}-{i}", {scrape: 0.5}, label="x" * 100) for i in range(1000)]
        reader.read([*many, metric("accuracy", {scrape: 0.5 + scrape})])
    held = [len(known) for known in (reader._labels, reader._read_to, reader._last)]
    assert max(held) <= MOST_KINDS + 1
    assert reader._last["accuracy"][0] == 4.5


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["metric", "values", "0", "__name__"]), inner)
        ),
        max_leaves=8,
    )
)
def test_samples_of_any_kind_are_read_or_left_out(values: Any) -> None:
    labels = {"__name__": "kubestudy_trial_metric", "metric": "accuracy"}
    some = values if isinstance(values, list) else [values]
    for report in SeriesReader(SPEC).read([{"metric": labels, "values": some}]):
        assert set(report.metrics) == {"accuracy"}
