"""What is wrong is refused with the field named; what is an example is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubestudy.api import manifests
from kubestudy.api.validation import InvalidObject, parse_study
from kubestudy.core.acceptance import problems
from kubestudy.runtime.client import STUDIES, Object
from tests.support.controller_process import ROOT, ControllerProcess
from tests.support.kubectl import Namespace, Refused, condition, is_true, new_namespace
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(60)

WRONG = sorted((ROOT / "tests/wrong_manifests").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "manifests/examples").glob("*.yaml"))
SOON = 1.0


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, account: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Namespace]:
    """A namespace that a controller works on."""
    log = tmp_path_factory.mktemp("refusals") / "controller.log"
    with new_namespace(control_plane, "refusals") as namespace:
        options = (f"--watch-namespace={namespace.name}", "--no-leader-elect")
        with ControllerProcess(account, log, *options) as controller:
            controller.wait_for_log("caches are in")
            yield namespace


def expectation(text: str) -> tuple[str, str]:
    """The field and the words that a wrong manifest's first line asks for."""
    field, _, words = text.splitlines()[0].removeprefix("# expect:").partition("|")
    return field.strip(), words.strip()


def verdict(namespace: Namespace, text: str, name: str) -> str:
    """What kubectl says of a wrong manifest or else, within a second, its condition Accepted."""
    with Recorder(namespace, STUDIES) as studies:
        try:
            namespace.apply(text)
        except Refused as refused:
            return str(refused)
        until(
            lambda: [s for _, s in list(studies.seen) if condition(s, "Accepted")],
            what="the controller has a verdict",
        )
        told = list(studies.seen)
    (applied, _), (decided, study) = told[0], next(s for s in told if condition(s[1], "Accepted"))
    assert not is_true(study, "Accepted")
    assert decided - applied < SOON
    assert not namespace.jobs(name)
    message: str = condition(study, "Accepted")["message"]
    return message


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 25
    assert EXAMPLES


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_study_is_refused(place: Namespace, path: Path) -> None:
    text = path.read_text()
    field, words = expectation(text)
    name = manifests.load(text)["metadata"]["name"]
    said = verdict(place, text, name)
    assert field in said
    assert words.casefold() in said.casefold()


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_it_is_refused_offline_too(path: Path) -> None:
    text = path.read_text()
    field, words = expectation(text)
    said = refusal(manifests.load(text))
    assert field in said
    assert words.casefold() in said.casefold()


def refusal(document: Object) -> str:
    """What is said offline of a Study; empty where it would be accepted."""
    try:
        return "; ".join(map(str, problems(parse_study(document))))
    except InvalidObject as error:
        return str(error)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(place: Namespace, path: Path) -> None:
    for document in manifests.load_all(path.read_text()):
        assert refusal(document.data) == ""
        place.apply(document.data)
        name = document.data["metadata"]["name"]
        seen = place.wait_for_study(name, lambda s: condition(s, "Accepted"), "has a verdict")
        assert is_true(seen, "Accepted"), condition(seen, "Accepted")
        place.kubectl("delete", "study", name)


def test_all_that_is_wrong_is_told_at_once(place: Namespace) -> None:
    wrong = manifests.load((ROOT / "tests/wrong_manifests/min-above-max.yaml").read_text())
    wrong["spec"]["budget"] = {"parallelism": 0, "maxTrials": -1}
    with pytest.raises(Refused) as refused:
        place.apply(wrong)
    for field in ("spec.budget.parallelism", "spec.budget.maxTrials"):
        assert field in str(refused.value)
        assert field in refusal(wrong)


def test_what_is_likely_not_meant_is_told_in_the_condition_and_by_one_event(
    place: Namespace,
) -> None:
    args = ["--learning_rate=${parameters.learning_rate}"]
    asked = study("likely", trial={"image": "localhost/busybox:1", "args": args})
    place.apply(asked)
    told = place.wait_for_study("likely", lambda s: condition(s, "Accepted"), "has a verdict")
    accepted = condition(told, "Accepted")
    assert is_true(told, "Accepted")
    assert accepted["reason"] == "Valid"
    says = "has per_device_train_batch_size, num_train_epochs only if it reads KUBESTUDY_PARAMETERS"
    assert says in accepted["message"]

    of_it = "--field-selector=reason=SpecWarning,type=Warning"
    until(lambda: "study/likely" in place.kubectl("get", "events", of_it), what="an event")
    asked["spec"]["budget"]["parallelism"] = 2
    place.apply(asked)
    place.wait_for_study(
        "likely", lambda s: s["status"]["observedGeneration"] == 2, "has seen the edit"
    )
    events = place.kubectl("get", "events", of_it, "--no-headers").splitlines()
    assert len(events) == 1, "an edit that mends nothing says it no second time"
    assert says in events[0]
    place.kubectl("delete", "study", "likely")
