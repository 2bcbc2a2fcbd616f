"""Values that bite reach the container exactly as they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubestudy.runtime.client import Object
from tests.support.kubectl import Namespace, count
from tests.support.studies import study

pytestmark = pytest.mark.timeout(240, func_only=True)

BITES = [
    '"; rm -rf /',
    "'; reboot; '",
    "$(HOME)",
    "$$(HOME)",
    "$$$(HOME)",
    "${HOME}",
    "$HOME `id` $",
    "${parameters.bite}",
    "no",
    "1e-4",
    "null",
    "",
    " two  spaces ",
    "a\nb\n",
    "tab\tand\rreturn",
    "ünï ☃ 🎲",
    "--help",
    "-n",
    "back\\slash\\n",
    "{a: [b, *c]} # &d",
    "%s%n",
]

# Prints what the container was given, in hexadecimal, so that nothing on the way changes it.
TELL = """\
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \\n'; }
for word in "$@"; do echo "arg $(hex "$word")"; done
echo "env $(hex "$BITE")"
echo "json $(hex "$KUBESTUDY_PARAMETERS")"
echo '{"accuracy": 1}'"""

COMMAND = ["sh", "-c", TELL, "sh"]
IMAGE = {"image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent"}

SHORT = {**IMAGE, "command": COMMAND}
WITH_PLACEHOLDERS = {
    **SHORT,
    "args": ["${parameters.bite}", "<${parameters.bite}>${parameters.bite}"],
    "env": [{"name": "BITE", "value": "${parameters.bite}"}],
}
TEMPLATE = {
    "template": {
        "metadata": {"annotations": {"bite": "${parameters.bite}"}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    **IMAGE,
                    "command": COMMAND,
                    "args": ["${parameters.bite}", "<${parameters.bite}>${parameters.bite}"],
                    "env": [{"name": "BITE", "value": "${parameters.bite}"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
}


def told(place: Namespace, pod: Object) -> tuple[list[str], str, Any]:
    """The arguments, the variable BITE and the JSON that a pod says it was given."""
    lines = [
        line.decode().partition(" ")
        for line in place.client.logs(place.name, pod["metadata"]["name"])
        if not line.startswith(b"{")
    ]
    given = [(kind, bytes.fromhex(code).decode()) for kind, _, code in lines]
    of_kind = {kind: text for kind, text in given if kind != "arg"}
    arguments = [text for kind, text in given if kind == "arg"]
    return arguments, of_kind["env"], json.loads(of_kind["json"])


def test_values_reach_the_container_exactly(place: Namespace) -> None:
    forms = {"short": SHORT, "placeholders": WITH_PLACEHOLDERS, "template": TEMPLATE}
    for name, form in forms.items():
        place.apply(study(name, {"bite": BITES}, trial=form, budget={"parallelism": 3}))
    for name in forms:
        done = place.wait_for_end(name, timeout=180)
        assert count(done, "succeeded") == len(BITES)
        stored = {
            t["metadata"]["name"]: t["spec"]["parameters"]["bite"] for t in place.trials(name)
        }
        assert sorted(stored.values()) == sorted(BITES)
        for pod in place.pods(name):
            bite = stored[pod["metadata"]["annotations"]["kubestudy.dev/trial"]]
            arguments, variable, parameters = told(place, pod)
            assert parameters == {"bite": bite}
            if name == "short":
                assert arguments == [f"--bite={bite}"]
            else:
                assert arguments == [bite, f"<{bite}>{bite}"]
                assert variable == bite
            if name == "template":
                assert pod["metadata"]["annotations"]["bite"] == bite


def test_numbers_are_written_as_programs_read_them(place: Namespace) -> None:
    parameters = {"rate": [1e-5, 0.5], "batch": [16]}
    place.apply(study("numbers", parameters, trial=SHORT))
    place.wait_for_end("numbers")
    arguments = {tuple(told(place, pod)[0]) for pod in place.pods("numbers")}
    assert arguments == {("--rate=1.0e-05", "--batch=16"), ("--rate=0.5", "--batch=16")}
