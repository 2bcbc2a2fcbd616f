"""The Studies that are held: packed, within a share, and what is wrong with the others."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.api.study import Study
from kubestudy.api.validation import parse_study
from kubestudy.runtime.objects import Identity, Object, Unreadable
from kubestudy.runtime.studies import LARGEST_SPEC, OVER_SHARE, RECENT, InvalidStudy, Studies
from tests.unit.build import study_document


def document(name: str, version: int, namespace: str = "team", **spec: Any) -> Object:
    found = study_document(**spec)
    found["metadata"] |= {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
    }
    return found


def template(size: int) -> Any:
    """A pod template with so many bytes that cannot be packed."""
    text = random.Random(size).randbytes(size // 2).hex()
    return {"template": {"spec": {"containers": [{"name": "t", "image": "i", "args": [text]}]}}}


def test_a_study_is_the_same_once_it_was_packed() -> None:
    studies = Studies()
    whole = document("a", 1)
    whole["status"] = {"seed": 3, "progress": "1/6"}
    studies.cache.put(whole)
    assert studies.get(("team", "a")) == parse_study(whole)
    assert studies.get(("team", "a")) is studies.get(("team", "a"))
    assert studies.get(("team", "b")) is None


def test_no_namespace_has_more_than_its_share_and_what_is_freed_is_had_again() -> None:
    studies = Studies(share=100_000, total=250_000)
    for i in range(5):
        studies.cache.put(document(f"s{i}", i + 1, trial=template(60_000)))
    held = [studies.get(("team", f"s{i}")) for i in range(5)]
    assert [isinstance(s, Study) for s in held] == [True, True, False, False, False]
    refused = held[2]
    assert isinstance(refused, InvalidStudy)
    assert refused.reason == OVER_SHARE
    assert "delete Studies" in refused.message
    studies.cache.put(document("other", 6, namespace="neighbour", trial=template(60_000)))
    assert studies.valid(("neighbour", "other")) is not None
    assert not studies.cache.has_room("team", refused.packed_size)
    studies.cache.remove(document("s0", 7, trial=template(60_000)))
    assert studies.cache.has_room("team", refused.packed_size)
    assert not studies.cache.put(document("s2", 3, trial=template(60_000)))
    assert studies.cache.put(document("s2", 3, trial=template(60_000)), again=True)
    assert studies.valid(("team", "s2")) is not None


def test_the_share_does_not_add_up_beyond_the_total() -> None:
    studies = Studies(share=100_000, total=150_000)
    for i, namespace in enumerate("abcd"):
        studies.cache.put(document("s", i + 1, namespace, trial=template(80_000)))
    found = [studies.valid((namespace, "s")) for namespace in "abcd"]
    assert [s is not None for s in found] == [True, True, True, False]


def test_few_are_held_unpacked() -> None:
    studies = Studies()
    size = 200_000
    for i in range(20):
        studies.cache.put(document(f"s{i}", i + 1, trial=template(size)))
        assert studies.valid(("team", f"s{i}")) is not None
    assert len(studies._recent) <= RECENT // size
    assert studies._recent_size <= RECENT


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trial": template(LARGEST_SPEC)}, "at most"),
        ({"parameters": []}, "spec.parameters"),
        ({"trial": {"template": 3}}, "spec.trial.template"),
        ({"algorithm": {"settings": {"a": float("inf")}}}, "JSON"),
        ({"unknown": "x" * 10_000}, "unknown field"),
    ],
)
def test_what_is_wrong_with_a_study_is_said_in_few_words(change: dict[str, Any], says: str) -> None:
    studies = Studies()
    studies.cache.put(document("a", 1))
    studies.cache.put(document("a", 2, **change))
    invalid = studies.get(("team", "a"))
    assert isinstance(invalid, InvalidStudy)
    assert invalid.identity.key == ("team", "a")
    assert says in invalid.message
    assert len(invalid.message) <= 1000
    studies.cache.put(document("a", 3))
    assert studies.valid(("team", "a")) is not None


def test_what_is_wrong_with_its_schema_is_said_once() -> None:
    studies, odd = Studies(), document("a", 1, parameters=[])
    studies.cache.put(odd)
    before = studies.get(("team", "a"))
    assert isinstance(before, InvalidStudy)
    assert before.message.startswith("spec.parameters: ")
    assert (before.identity.generation, before.said) == (1, False)
    said = {"type": "Accepted", "status": "False", "observedGeneration": 1, "reason": "Invalid"}
    said["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    again = document("a", 2, parameters=[])
    again["status"] = {"conditions": [said | {"message": before.message}]}
    studies.cache.put(again)
    after = studies.get(("team", "a"))
    assert isinstance(after, InvalidStudy)
    assert after.said


def test_a_study_that_says_already_what_is_wrong_is_known() -> None:
    studies, found = Studies(), Identity("team", "a", "u", 1, 3)
    error = Unreadable(found, "TooDeep", "too deep")
    said = {"type": "Accepted", "status": "False", "message": "too deep", "observedGeneration": 3}
    for version, condition, known in (
        (1, said, True),
        (2, said | {"message": "other"}, False),
        (3, said | {"observedGeneration": 2}, False),
        (4, "odd", False),
    ):
        error = Unreadable(Identity("team", "a", "u", version, 3), "TooDeep", "too deep")
        error.status = {"conditions": [condition]}
        studies.cache.put(error)
        invalid = studies.get(("team", "a"))
        assert isinstance(invalid, InvalidStudy)
        assert invalid.said is known


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(["spec", "status", "kind", "metadata"]), st.text(max_size=8), ANY)
def test_whatever_a_study_is_the_others_are_held(part: str, name: str, value: Any) -> None:
    studies = Studies()
    odd = document("odd", 1)
    if part == "kind":
        odd["kind"] = value
    elif part == "metadata":
        odd["metadata"][f"x{name}"] = value
    else:
        odd[part] = {**odd.get(part, {}), (name or "trial"): value}
    studies.cache.put(odd)
    studies.cache.put(document("good", 2))
    assert studies.valid(("team", "good")) is not None
    assert studies.get(("team", "odd")) is not None
    assert len(list(studies.summaries())) == 2


def test_of_its_labels_those_are_kept_that_its_jobs_have() -> None:
    studies, labelled = Studies(), document("a", 1)
    labelled["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "nlp", "team": "x" * 63}
    studies.cache.put(labelled)
    held = studies.valid(("team", "a"))
    assert held is not None
    assert held.metadata.labels == {"kueue.x-k8s.io/queue-name": "nlp"}
