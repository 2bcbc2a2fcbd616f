"""How parameters reach the program, and what is said of a Study that loses one on the way."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubestudy.core.acceptance import problems, warnings
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunKey
from kubestudy.core.shell_scripts import Script
from kubestudy.core.status import blocked
from kubestudy.workloads.job import build
from kubestudy.workloads.pod_template import JobSettings
from tests.unit.build import at, snapshot, study, trial

LR, SIZE = "${parameters.lr}", "${parameters.size}"
FLAGS = [
    {"name": "amp", "choices": ["yes", "no"]},
    {"name": "flag", "choices": ["--amp"], "when": {"parameter": "amp", "choices": ["yes"]}},
    {"name": "pool", "choices": ["a", "b"], "when": {"parameter": "amp", "choices": ["yes"]}},
    {"name": "lr", "values": [0.1]},
]
FLAG, POOL = "${parameters.flag}", "${parameters.pool}"


def pod(*containers: dict[str, Any], **of_pod: Any) -> dict[str, Any]:
    """A trial with a pod template."""
    whole = [{"name": f"c{i}", "image": "i"} | c for i, c in enumerate(containers)]
    return {"template": {"spec": {"containers": whole} | of_pod}}


def told(found: list[Any]) -> str:
    return "; ".join(map(str, found))


# A shell's script.


@pytest.mark.parametrize(
    ("command", "args", "lost"),
    [
        (["sh", "-c", 'train "$@"'], [], "--lr=..."),
        (["/bin/bash", "-lc"], ["set -e; train $*"], "--lr=..."),
        (["busybox", "sh", "-euc", "train ${1:-0.1} ${2}"], [], "--lr=..."),
        (["env", "A=b", "bash", "--norc", "-c", "train $1"], [], "--lr=..."),
        (["bash", "--rcfile", "rc", "-c", "while [ $# -gt 0 ]; do shift; done"], [], "--lr=..."),
        (["sh", "-c", 'train "$@"'], ["--task=mrpc"], "--task=mrpc"),
        (["sh", "-c", 'train "$1"'], [LR, SIZE], LR),
        (["sh", "-c", 'train "$@"'], [f"--lr={LR}", f"--size={SIZE}"], f"--lr={LR}"),
        (
            ["sh", "-c", 'exec "$@"', "sh", "bash", "-c", "for a in x; do y $a; done; z $@"],
            [],
            "lr",
        ),
        (["sh", "-c", "for a; do echo $a; done"], [], "--lr=..."),
        (["sh", "-c", "awk '{print $0}' x; train \"$@\""], [], "--lr=..."),
    ],
)
def test_a_script_whose_first_argument_is_its_name_is_refused(
    command: list[str], args: list[str], lost: str
) -> None:
    (error,) = problems(study(trial={"command": command, "args": args}))
    assert lost in error.message
    assert "put a word such as sh between them" in error.message


def test_a_template_loses_what_is_written_in_it() -> None:
    command = ["sh", "-c", 'train "$@"']
    assert not problems(study(trial=pod({"command": command}))), "nothing follows by itself"
    (error,) = problems(study(trial=pod({"command": command, "args": [LR, SIZE]})))
    assert error.field == "spec.trial.template.spec.containers[0].command[2]"


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", 'train "$@"', "sh"],
        ["sh", "-c", 'train "$@"', "--"],
        ["bash", "-c", 'train "$@"', "train.sh", "--task=mrpc"],
        ["sh", "-c", 'echo "$0 $*"'],
        ["sh", "-c", 'exec python3 train.py "${0}" "$@"'],
        ["sh", "train.sh"],
        ["bash", "-e", "train.sh", "-c"],
        ["python3", "-c", "import sys; print(sys.argv)"],
        ["fish", "-c", "train $argv"],
    ],
)
def test_a_script_that_has_all_of_its_arguments_is_accepted(command: list[str]) -> None:
    of = study(trial={"command": command})
    assert not problems(of)
    assert not warnings(of)


@pytest.mark.parametrize(
    ("script", "uses"),
    [
        ('train "$@"', True),
        ("train $1", True),
        ("train ${1}", True),
        ("train ${10:-x}", True),
        ("echo $#", True),
        ("echo ${#}", True),
        ("echo ${#@}", True),
        ("echo ${@:2}", True),
        ("echo ${!1}", True),
        ("set -- a; shift", True),
        ("while getopts ab: o; do :; done", True),
        ("for word\ndo echo $word; done", True),
        ('echo "it\'s $1"', True),
        ("# don't\ntrain $@", True),
        ("set -e; cd .; python3 train.py", False),
        ("train | awk '{print $1}'", False),
        ('train "\\$1"', False),
        ("train \\$1", False),
        ("# uses $@ one day\ntrain", False),
        ("train # $1", False),
        ("echo $$ $? $! $- $HOME ${PIPESTATUS[0]} ${#HOME}", False),
        ("for f in *; do echo $f; done", False),
    ],
)
def test_which_scripts_use_their_arguments(script: str, uses: bool) -> None:
    assert Script(script).uses_arguments is uses


@given(st.text(alphabet="\"'\\$#1@ {}a\n;", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_script_can_be_looked_into(text: str) -> None:
    script = Script(text)
    assert script.uses_arguments or not script.numbers
    assert "$" in text or not script.unset_variables


LONG = [
    "'" * 32768,
    '"' * 32767,
    '"' + '\\"' * 16000,
    "for " * 8000,
    "$" * 32768,
    "${" * 16000,
    "# ' " * 8000,
    "$a;" * 10000,
    "{{" + "a" * 32000,
    "$(" * 16000,
    "for a" + " " * 32000,
    "$" + "a." * 16000,
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_a_long_text_is_looked_into_once(text: str) -> None:
    """The controller does this at each decision: it must not take the square of the length."""
    steps = Script(text)
    assert steps.unset_variables <= {"a"}
    of = study(trial={"command": ["sh", "-c", text, "sh"], "args": [text]})
    assert len(problems(of)) <= 20


@pytest.mark.parametrize("script", ['set -- "$0" "$@"; echo "$@"', 'echo "$@"'])
def test_a_real_shell_takes_the_first_word_for_the_name(script: str) -> None:
    words = ["sh", "-c", script, "--lr=0.1", "--size=s"]
    given = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert (given == words[3:]) is Script(script).uses_its_name


@pytest.mark.parametrize(
    ("trial_spec", "field", "says"),
    [
        (
            {"command": ["sh", "-c", "set -e; train"]},
            "command[2]",
            "has lr, size only if it reads KUBESTUDY_PARAMETERS",
        ),
        ({"command": ["bash", "-c"], "args": ["train", "x", LR, SIZE]}, "args[0]", "has lr, size"),
        ({"command": ["sh", "-c", "train --lr=$lr $@", "sh"]}, "command[2]", "$lr is no variable"),
        ({"command": ["sh", "-c", "train lr=$lr $@", "sh"]}, "command[2]", "$lr is no variable"),
        ({"command": ["sh", "-c", "train ${size} $@", "sh"]}, "command[2]", "$size is no variable"),
    ],
)
def test_a_script_that_loses_parameters_is_warned_about(
    trial_spec: dict[str, Any], field: str, says: str
) -> None:
    of = study(trial=trial_spec)
    assert not problems(of)
    (warning,) = warnings(of)
    assert warning.field == f"spec.trial.{field}"
    assert says in warning.message


@pytest.mark.parametrize(
    "trial_spec",
    [
        {"command": ["sh", "-c", 'train "$KUBESTUDY_PARAMETERS"']},
        {"command": ["sh", "-c", "train  # reads KUBESTUDY_PARAMETERS"]},
        {"command": ["sh", "-c", "lr=$1; train $lr $2", "sh", LR, SIZE]},
        {"command": ["sh", "-c", "set -e && lr=$1 size=$2 train $lr $size", "sh", LR, SIZE]},
        {"command": ["sh", "-c", "if true; then export lr=$1; fi; train $lr $2", "sh", LR, SIZE]},
        {"command": ["sh", "-c", ": ${lr:=$1}; train $lr $2", "sh", LR, SIZE]},
        {"command": ["sh", "-c", "for lr in $@; do train $lr; done", "sh"]},
        {"command": ["sh", "-c", "read -r lr size < f; train $lr $size $@", "sh"]},
        {
            "command": ["sh", "-c", "train --lr=$lr --size=$size"],
            "env": [{"name": "lr", "value": LR}, {"name": "size", "value": SIZE}],
        },
        pod({"command": ["sh", "-c", "train $lr $@", "sh", LR, SIZE], "envFrom": [{}]}),
    ],
)
def test_a_script_that_has_its_parameters_otherwise_is_not(trial_spec: dict[str, Any]) -> None:
    of = study(trial=trial_spec)
    assert not problems(of)
    assert not warnings(of)


# Parameters that no placeholder names.


@pytest.mark.parametrize(
    ("trial_spec", "field", "missing"),
    [
        ({"args": [f"--lr={LR}"]}, "args[0]", "size"),
        (
            {"env": [{"name": "A", "value": "b"}, {"name": "S", "value": SIZE}]},
            "env[1].value",
            "lr",
        ),
        ({"command": ["train", LR]}, "command[1]", "size"),
        (pod({}), "template.spec.containers[0].args", "lr, size"),
        (pod({"args": [LR]}, {"args": ["x"]}), "template.spec.containers[0].args[0]", "size"),
        (pod({}, {"args": [LR]}), "template.spec.containers[1].args[0]", "size"),
        (pod({}, hostname=SIZE), "template.spec.hostname", "lr"),
    ],
)
def test_a_parameter_that_no_placeholder_names_is_warned_about(
    trial_spec: dict[str, Any], field: str, missing: str
) -> None:
    of = study(trial=trial_spec)
    assert not problems(of)
    (warning,) = warnings(of)
    assert warning.field == f"spec.trial.{field}"
    assert f"the program has {missing} only if it reads KUBESTUDY_PARAMETERS" in warning.message


@pytest.mark.parametrize(
    "trial_spec",
    [
        {},
        {"args": ["--task=mrpc"], "resources": {"limits": {"cpu": LR}}},
        {"args": [f"--lr={LR}", f"--size={SIZE}"]},
        {"args": [f"--lr={LR}"], "env": [{"name": "S", "value": SIZE}]},
        {"args": [f"--lr={LR}", "--all=$(KUBESTUDY_PARAMETERS)"]},
        pod({"args": [LR]}, {"args": [SIZE]}),
        pod({"env": [{"name": "P", "value": "$(KUBESTUDY_PARAMETERS)"}]}),
        pod({"args": [LR, SIZE]}, hostname="a"),
    ],
)
def test_parameters_that_all_are_named_or_follow_are_not(trial_spec: dict[str, Any]) -> None:
    of = study(trial=trial_spec)
    assert not problems(of)
    assert not warnings(of)


def test_what_decides_about_another_parameter_is_told_by_that_one() -> None:
    args = [FLAG, f"--pool={POOL}", f"--lr={LR}"]
    assert not warnings(study(parameters=FLAGS, trial={"args": args}))
    (warning,) = warnings(study(parameters=FLAGS, trial={"args": [f"--lr={LR}"]}))
    assert "has amp, flag, pool only" in warning.message


def test_the_seed_of_a_confirming_trial_reaches_the_program_as_well() -> None:
    confirm = {"seeds": 2}
    args = [f"--lr={LR}", f"--size={SIZE}"]
    (warning,) = warnings(study(confirm=confirm, trial={"args": args}))
    assert "has seed only" in warning.message
    for more in ("--seed=${parameters.seed}", "$(KUBESTUDY_SEED)"):
        assert not warnings(study(confirm=confirm, trial={"args": [*args, more]}))


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (["--lr=0.1"], "args[0]"),
        (["x", "--lr", "0.1"], "args[1]"),
        (["--size"], "args[0]"),
    ],
)
def test_an_argument_that_is_given_twice_is_warned_about(args: list[str], field: str) -> None:
    (warning,) = warnings(study(trial={"args": args}))
    assert warning.field == f"spec.trial.{field}"
    assert "is given as well as the parameter" in warning.message


def test_an_option_is_the_same_with_hyphens() -> None:
    space = [{"name": "learning_rate", "values": [0.1]}]
    resource = {"type": "Hyperband", "resource": {"name": "num_train_epochs", "max": 9}}
    args = ["--learning-rate=0.5", "--num_train_epochs=3", "--lr=1", "-l", "learning_rate"]
    found = warnings(study(parameters=space, algorithm=resource, trial={"args": args}))
    assert [w.field for w in found] == ["spec.trial.args[0]", "spec.trial.args[1]"]


def test_the_variables_are_those_of_the_container_that_trains() -> None:
    script = ["sh", "-c", 'echo "$KUBESTUDY_PARAMETERS" > /in/config.json']
    first = [{"name": "prepare", "image": "i", "command": script}]
    of = study(trial=pod({"args": [LR, SIZE]}, initContainers=first))
    (warning,) = warnings(of)
    assert warning.field == "spec.trial.template.spec.initContainers[0].command[2]"


def test_a_study_is_warned_about_so_much_at_once() -> None:
    assert len(warnings(study(trial={"args": ["--lr=1"] * 256}))) == 20


def test_a_choice_of_nothing_is_an_empty_argument() -> None:
    space = [{"name": "amp", "choices": ["--amp", ""]}]
    (warning,) = warnings(study(parameters=space, trial={"args": ["${parameters.amp}"]}))
    assert "by when, which leaves it out" in warning.message
    assert not warnings(study(parameters=space))


# What is no placeholder.


@pytest.mark.parametrize(
    ("word", "says"),
    [
        (
            "--lr=${lr}",
            "unknown placeholder ${lr}; write ${parameters.lr}, or $${lr} for this text",
        ),
        ("${ parameters.lr }", "write ${parameters.lr}"),
        ("${trialParameters.lr}", "write ${parameters.lr}"),
        ("${hyperparameters.lr}", "write ${parameters.lr}"),
        ("${params.lrs}", "write ${parameters.lrs} (did you mean lr?)"),
        ("${config.lr}", "write ${parameters.lr}"),
        ("${parameters.lrs}", "names no parameter (did you mean lr?); there are lr, size"),
        ("${parameters.lr:-1}", "names no parameter (did you mean lr?)"),
        ("${args}", "leave it out, since the parameters follow as --name=value"),
        ("${args_no_hyphens}", "leave it out"),
        ("${HOME}/out", "${parameters.NAME} for a parameter, $(HOME) for a variable, or $${HOME}"),
        ("${sizes}", "for a parameter (did you mean size?)"),
        ("${oc.env:HOME}", "or $${oc.env:HOME} for this text"),
        ("${}", "is no placeholder"),
        ("${" + "x" * 9999 + "}", "xxx..."),
        ("--lr={{lr}}", "{{lr}} is no placeholder, and would be passed on as it stands; write"),
        ("{{ parameters.lr }}", "write ${parameters.lr}"),
        ("{{inputs.parameters.lr}}", "write ${parameters.lr}"),
        ("{{workflow.parameters.lrs}}", "write ${parameters.lrs} (did you mean lr?)"),
        ("{{ .Values.lr | quote }}", "write ${parameters.lr}"),
        ("${{ parameters.lr }}", "write ${parameters.lr}"),
        ("$(parameters.lr)", "env has none of this name; write ${parameters.lr}, or $$(param"),
        ("$(params.lr)", "write ${parameters.lr}"),
        ("$(lr)", "write ${parameters.lr}"),
        ("--lr=$lr", "$lr is passed on as it stands, since no shell reads it; write ${parameters"),
        ("$parameters.lr", "write ${parameters.lr}"),
        ("$RATE", "write $(RATE), or $$RATE for this text"),
    ],
)
def test_what_would_be_passed_on_as_text_is_refused(word: str, says: str) -> None:
    env = [{"name": "RATE", "value": "1"}]
    for place, of_trial in (
        ("args[1]", {"args": ["x", word], "env": env}),
        ("template.spec.containers[0].args[1]", pod({"args": ["x", word], "env": env})),
        ("env[1].value", {"env": [*env, {"name": "A", "value": word}]}),
        ("command[0]", {"command": [word], "env": env}),
    ):
        (error,) = problems(study(trial=of_trial))
        assert error.field == f"spec.trial.{place}"
        assert says in error.message
        assert len(error.message) < 400


ON_PURPOSE = (
    "$${lr} $${HOME} $$lr $$(lr) $$${parameters.lr} $$$$${parameters.lr} {{epoch}} {lr} $HOME"
    " $(HOME) $(RATE) a$ $$ {{range.Items}} %(lr)s ($lrs)"
)


@pytest.mark.parametrize("word", ON_PURPOSE.split())
def test_what_is_text_on_purpose_is_accepted(word: str) -> None:
    env = [{"name": "RATE", "value": LR}, {"name": "SIZE", "value": SIZE}]
    assert not problems(study(trial={"args": ["x", word], "env": env}))
    assert not problems(study(trial=pod({"args": ["x", word], "env": env})))


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        ("echo ${HOME} ${lr} $lr $(lr) ${x%.lr} ${#x} $1", False),
        ("echo ${params.lr} $1", True),
        ("echo {{lr}} $1", True),
        ("echo $(parameters.lr) $1", True),
    ],
)
def test_a_script_is_the_shells_business(script: str, refused: bool) -> None:
    command = ["sh", "-c", script, "sh", LR]
    assert bool(problems(study(trial={"command": command}))) is refused
    probe = {"exec": {"command": ["sh", "-c", script]}}
    of = study(trial=pod({"args": [LR], "livenessProbe": probe}))
    assert bool(problems(of)) is ("params." in script), "no kubelet reads $(NAME) there"


FIRST = {"name": "first", "image": "i", "args": ["${lr}"]}


@pytest.mark.parametrize(
    ("trial_spec", "field"),
    [
        ({"image": "train:${tag}"}, "image"),
        ({"resources": {"limits": {"cpu": "${lr}"}}}, "resources.limits.cpu"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "${lr}"}}}]}, None),
        (pod({"workingDir": "/${lr}"}), "template.spec.containers[0].workingDir"),
        (pod({}, hostname="${gpu}"), "template.spec.hostname"),
        (pod({}, securityContext={LR: 1}), f"template.spec.securityContext.{LR}"),
        (pod({}, volumes=[{"name": "${lr}"}]), "template.spec.volumes[0].name"),
        (pod({}, initContainers=[FIRST]), "template.spec.initContainers[0].args[0]"),
        ({"checkpoints": {"claimName": f"x-{SIZE}"}}, "checkpoints.claimName"),
    ],
)
def test_every_part_of_the_template_is_looked_at(
    trial_spec: dict[str, Any], field: str | None
) -> None:
    found = {error.field for error in problems(study(trial=trial_spec))}
    assert f"spec.trial.{field or 'env[0].valueFrom.fieldRef.fieldPath'}" in found


def test_a_literal_placeholder_reaches_the_annotation_and_the_program_alike() -> None:
    template = pod({"args": ["$${dim}", LR, SIZE]})["template"]
    template["metadata"] = {"annotations": {"mine": "$${dim} $$HOME"}}
    of = study(trial={"template": template})
    assert not problems(of)
    job = build(of, trial(), RunKey("demo-0"), JobSettings())
    made = job["spec"]["template"]
    assert made["metadata"]["annotations"]["mine"] == "${dim} $$HOME"
    # The kubelet makes $$ a $.
    assert made["spec"]["containers"][0]["args"][0] == "$${dim}"


# Arguments that are left out.


def arguments(args: list[str], point: dict[str, Any]) -> list[str]:
    of = study(parameters=FLAGS, trial={"args": args})
    assert not problems(of), told(problems(of))
    job = build(of, trial(parameters=point), RunKey("demo-0"), JobSettings())
    made: list[str] = job["spec"]["template"]["spec"]["containers"][0].get("args", [])
    return made


@pytest.mark.parametrize(
    "args",
    [
        [FLAG, f"--lr={LR}"],
        ["--lr", LR, FLAG],
        ["train.py", FLAG, "data.txt"],
        ["train.py", POOL],
        ["train.py", POOL, "--lr", LR],
        ["train.py", POOL, FLAG],
        ["--task=mrpc", POOL],
        [f"--pool={POOL}", "last"],
    ],
)
def test_an_argument_of_its_own_is_there_or_not(args: list[str]) -> None:
    given = {
        FLAG: "--amp",
        POOL: "a",
        LR: "0.1",
        f"--lr={LR}": "--lr=0.1",
        f"--pool={POOL}": "--pool=a",
    }
    point = {"amp": "yes", "flag": "--amp", "pool": "a", "lr": 0.1}
    assert arguments(args, point) == [given.get(word, word) for word in args]
    without = [given.get(word, word) for word in args if FLAG not in word and POOL not in word]
    assert arguments(args, {"amp": "no", "lr": 0.1}) == without


@pytest.mark.parametrize(
    ("args", "field", "says"),
    [
        (["--pool", POOL], "args[1]", "but not --pool before it: write --pool=${parameters.pool}"),
        (["-p", POOL], "args[1]", "but not -p before it: write -p${parameters.pool}"),
        ([POOL, LR], "args[0]", "those after it move into its place: put it last"),
        ([POOL, "data.txt"], "args[0]", "put it last, write --pool=${parameters.pool}, or give it"),
    ],
)
def test_an_argument_that_would_leave_a_gap_is_refused_with_what_helps(
    args: list[str], field: str, says: str
) -> None:
    (error,) = problems(study(parameters=FLAGS, trial={"args": args}))
    assert error.field == f"spec.trial.{field}"
    assert says in error.message


@pytest.mark.parametrize(
    ("script", "args", "moved"),
    [
        ('train $1 "$2"', [FLAG, LR], "$2"),
        ("train $1 ${3}", [f"--pool={POOL}", "x", LR], "$3"),
        ('train "$@"', [FLAG, LR], None),
        ("train $1 $2", [LR, FLAG], None),
        ("while [ $1 ]; do case $1 in --lr) a=$2; shift 2;; esac; done", [FLAG, "--lr", LR], None),
    ],
)
def test_numbers_of_a_script_stay_those_of_their_arguments(
    script: str, args: list[str], moved: str | None
) -> None:
    command = ["sh", "-c", script, "sh"]
    found = problems(study(parameters=FLAGS, trial={"command": command, "args": args}))
    assert [e.field for e in found] == (["spec.trial.args[0]"] if moved else [])
    assert (moved or "") in told(found)


# On the Study.


def test_the_study_says_what_is_likely_not_meant_once() -> None:
    of = study(trial={"args": [f"--lr={LR}"]})
    plan = decide(snapshot(of))
    warned = [e for e in plan.events if e.reason == "SpecWarning"]
    assert [(e.warning, "has size only if" in e.message) for e in warned] == [(True, True)]
    assert plan.status is not None
    accepted = next(c for c in plan.status.conditions or () if c.type == "Accepted")
    assert (accepted.status, accepted.reason) == ("True", "Valid")
    assert accepted.message == f"the Study can be run; warning: {warned[0].message}"

    known = of.model_copy(update={"status": plan.status})
    later = decide(snapshot(known, now=500))
    assert not [e for e in later.events if e.reason == "SpecWarning"]
    stuck = blocked(known, None, "QuotaExceeded", "none left", at(600))
    assert next(c for c in stuck.conditions or () if c.type == "Accepted") == accepted

    mended = study(trial={"args": [LR, SIZE]}).model_copy(update={"status": plan.status})
    again = decide(snapshot(mended, now=700))
    assert again.status is not None
    assert json.dumps(again.status.to_json()).count("warning") == 0
    assert not again.events
