"""Jobs: how a run is built, and how it is seen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubestudy.api.parameters import Parameter
from kubestudy.core import placeholders
from kubestudy.core.facts import RunKey, RunState
from kubestudy.workloads.job import build, observe, observe_without_job
from kubestudy.workloads.pod import LOST_AFTER, STUCK_AFTER, main_name, termination_message
from kubestudy.workloads.pod_template import JobSettings
from tests.unit.build import at, study, trial

KEY = RunKey("demo-0", attempt=2)
NOW = at(60)


def built(point: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return build(study(**spec), trial(parameters=point), KEY, JobSettings("default:1"))


def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return found


def env(job: dict[str, Any]) -> dict[str, str]:
    """The container's environment as the kubelet gives it to the process."""
    known: dict[str, str] = {}
    for variable in container(job)["env"]:
        known[variable["name"]] = kubelet_expands(variable.get("value", ""), known)
    return known


def kubelet_expands(text: str, known: dict[str, str]) -> str:
    """An independent model: ``$$`` is ``$``; ``$(X)`` is X's value where X is defined."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replaced, text)


# Building.


def test_a_short_form_pod_is_restricted() -> None:
    job = built()
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(job)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_a_job_is_found_by_its_trial_and_never_retries_by_itself() -> None:
    job = built()
    assert job["metadata"]["name"] == "demo-0-0-0-2"
    assert job["metadata"]["namespace"] == "team"
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Trial", "trial-uid-0", True)
    assert job["spec"]["backoffLimit"] == 0
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule == {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}
    labels = job["metadata"]["labels"]
    assert labels.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    facts = observe(job | {"status": {}}, [], NOW)
    assert facts is not None
    assert facts.key == KEY


@pytest.mark.parametrize(
    ("timeout", "of_template", "seconds"),
    [
        ("1h30m", None, 5400),
        ("1h30m", 60, 5400),
        (None, 60, 60),
        (None, None, None),
        ("99999d", None, 2**31 - 1),
    ],
)
def test_the_time_of_a_run_is_limited_in_its_pod(
    timeout: str | None, of_template: int | None, seconds: int | None
) -> None:
    pod: dict[str, Any] = {"containers": [{"name": "t", "image": "i"}]}
    if of_template is not None:
        pod["activeDeadlineSeconds"] = of_template
    spec = built(trial={"template": {"spec": pod}, "timeout": timeout})["spec"]
    assert spec["template"]["spec"].get("activeDeadlineSeconds") == seconds
    assert "activeDeadlineSeconds" not in spec  # which would count the wait for a GPU


def test_gpus_are_requested_and_limited_beside_the_users_resources() -> None:
    resources = {"requests": {"cpu": 2}, "limits": {"memory": "8Gi"}}
    job = built(trial={"gpus": 2, "gpuResource": "amd.com/gpu", "resources": resources})
    assert container(job)["resources"] == {
        "requests": {"cpu": 2, "amd.com/gpu": 2},
        "limits": {"memory": "8Gi", "amd.com/gpu": 2},
    }
    assert {"name": "shm", "mountPath": "/dev/shm"} in container(job)["volumeMounts"]


def test_without_gpus_none_are_requested() -> None:
    assert "resources" not in container(built())


def test_the_parameters_follow_the_arguments() -> None:
    job = built(trial={"args": ["--task=mrpc"]})
    assert container(job)["args"] == ["--task=mrpc", "--lr=0.1", "--size=s"]
    assert container(job)["image"] == "default:1"


@pytest.mark.parametrize(
    "short_form",
    [
        {"args": ["${parameters.lr}"]},
        {"command": ["train", "--x=${parameters.size}"]},
        {"env": [{"name": "LR", "value": "${parameters.lr}"}]},
    ],
)
def test_a_placeholder_anywhere_replaces_the_arguments(short_form: dict[str, Any]) -> None:
    job = built(trial={"image": "i"} | short_form)
    assert "--lr=0.1" not in container(job).get("args", [])
    assert "${" not in json.dumps(job)


def test_the_container_is_told_what_the_contract_says() -> None:
    told = env(
        built(
            trial={"checkpoints": {"claimName": "c"}, "outputs": {"claimName": "o"}},
        )
    )
    assert json.loads(told["KUBESTUDY_PARAMETERS"]) == {"lr": 0.1, "size": "s"}
    assert told["KUBESTUDY_STUDY"] == "demo"
    assert told["KUBESTUDY_TRIAL"] == "demo-0"
    assert told["KUBESTUDY_ATTEMPT"] == "2"
    assert "demo-0" in told["KUBESTUDY_CHECKPOINT_DIR"]
    assert "demo-0" in told["KUBESTUDY_OUTPUT_DIR"]


TEMPLATE = {
    "metadata": {"labels": {"team": "nlp"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "i",
                "args": ["--lr", "${parameters.lr}", "--tag=${parameters.size}!"],
                "env": [
                    {"name": "KUBESTUDY_TRIAL", "value": "a lie"},
                    {"name": "MINE", "value": "$(KUBESTUDY_TRIAL)"},
                ],
            },
            {"name": "side", "image": "i"},
        ],
        "terminationGracePeriodSeconds": "${parameters.lr}",
    },
}


@pytest.mark.parametrize(
    ("metrics", "linger"),
    [
        ([{"type": "Prometheus"}], "35"),
        ([{"type": "Prometheus", "lingerSeconds": 3}], "3"),
        ([{"type": "Prometheus", "lingerSeconds": 0}], "0"),
        ([{"type": "Logs"}, {"type": "Prometheus"}], "0"),
        ([{"type": "Logs"}], None),
        (None, None),
    ],
)
def test_a_pod_is_scraped_where_the_study_asks_for_it(metrics: Any, linger: str | None) -> None:
    settings = JobSettings(linger_seconds=35)
    job = build(study(metrics=metrics), trial(), KEY, settings)
    assert env(job).get("KUBESTUDY_LINGER_SECONDS") == linger
    port = 9464 if linger is not None else None
    assert env(job).get("KUBESTUDY_METRICS_PORT") == (port and str(port))
    assert container(job).get("ports") == (port and [{"name": "metrics", "containerPort": port}])
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations.get("prometheus.io/port") == (port and str(port))
    assert annotations["kubestudy.dev/study"] == "demo"


def test_a_port_of_the_users_own_stays() -> None:
    mine = [{"name": "metrics", "containerPort": 80}]
    pod = {"containers": [{"name": "a", "image": "b", "ports": mine}]}
    template = {"metadata": {"annotations": {"prometheus.io/port": "80"}}, "spec": pod}
    asked = study(metrics=[{"type": "Prometheus"}], trial={"template": template})
    job = build(asked, trial(), KEY, JobSettings())
    assert container(job)["ports"] == mine
    assert job["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == "80"


def test_a_template_is_filled_and_keeps_what_is_its_own() -> None:
    job = built(trial={"template": TEMPLATE})
    template = job["spec"]["template"]
    assert container(job)["args"] == ["--lr", "0.1", "--tag=s!"]
    assert template["metadata"]["labels"]["team"] == "nlp"
    assert template["spec"]["terminationGracePeriodSeconds"] == 0.1
    assert [c["name"] for c in template["spec"]["containers"]] == ["main", "side"]
    assert env(job)["KUBESTUDY_TRIAL"] == env(job)["MINE"] == "demo-0"
    assert TEMPLATE["spec"]["terminationGracePeriodSeconds"] == "${parameters.lr}"


def test_null_fields_of_a_template_are_as_good_as_none() -> None:
    main = {"name": "m", "image": "i", "env": None, "args": None, "volumeMounts": None}
    pod = {"containers": [main], "volumes": None, "initContainers": None}
    job = built(
        trial={"template": {"metadata": None, "spec": pod}, "checkpoints": {"claimName": "c"}}
    )
    assert job["spec"]["template"]["metadata"]["labels"]
    assert [v["name"] for v in job["spec"]["template"]["spec"]["volumes"]] == ["checkpoints"]


def test_a_run_is_built_the_same_each_time() -> None:
    assert built() == built()


# Values that bite.

BITING = [
    '"; rm -rf /',
    "$(HOME)",
    "$(KUBESTUDY_TRIAL)",
    "$$(KUBESTUDY_TRIAL)",
    "$$",
    "$",
    "(KUBESTUDY_TRIAL)",
    "no",
    "1e-4",
    "ünï ☃ 漢",
    "two\nlines\t",
    "${parameters.lr}",
    "--flag=x",
    "",
    "\\",
]
values = st.one_of(st.sampled_from(BITING), st.text(alphabet="$(){}ab\\'\" \n", max_size=12))


def filled(text: str, value: str) -> str:
    """What a process gets that is started with a text of a template."""
    space = {"x": Parameter(name="x", choices=[value])}
    written = placeholders.fill(text, {"x": value}, space, for_container=True)
    return kubelet_expands(written, {"KUBESTUDY_TRIAL": "EXPANDED", "ab": "EXPANDED"})


@pytest.mark.parametrize("value", BITING)
@pytest.mark.parametrize("where", ["{}", "a {} b", "{}{}", "$${}", "$${}(ab)", "$$$${}"])
def test_a_value_reaches_the_process_as_it_is(value: str, where: str) -> None:
    text = where.replace("{}", "${parameters.x}")
    assert filled(text, value) == where.replace("$$", "$").replace("{}", value)


@given(value=values)
@settings(max_examples=300, deadline=None)
def test_any_value_reaches_the_process_as_it_is(value: str) -> None:
    assert filled("${parameters.x}", value) == value
    assert filled("a=${parameters.x};", value) == f"a={value};"
    assert filled("$$${parameters.x}", value) == f"${value}"


@given(dollars=st.integers(1, 9), value=values)
@settings(deadline=None)
def test_dollars_before_braces_are_halved_as_the_kubelet_does(dollars: int, value: str) -> None:
    """Two are the text of one; one that is left makes the braces a placeholder."""
    text, kept = "$" * dollars + "{parameters.x}", "$" * (dollars // 2)
    written = value if dollars % 2 else "{parameters.x}"
    assert filled(f"a{text}b", value) == f"a{kept}{written}b"
    space = {"x": Parameter(name="x", choices=[value])}
    assert placeholders.fill(f"a{text}b", {"x": value}, space) == f"a{kept}{written}b"
    assert list(placeholders.names(text)) == ["parameters.x"] * (dollars % 2)


@pytest.mark.parametrize("value", BITING)
def test_a_value_comes_through_arguments_and_environment(value: str) -> None:
    space = [{"name": "x", "choices": [value]}]
    job = built({"x": value}, parameters=space)
    assert json.loads(env(job)["KUBESTUDY_PARAMETERS"]) == {"x": value}
    (argument,) = container(job)["args"]
    assert kubelet_expands(argument, env(job)) == f"--x={value}"


CONDITIONAL = [
    {"name": "optim", "choices": ["sgd", "adam"]},
    {"name": "momentum", "values": [0.8, 0.9], "when": {"parameter": "optim", "choices": ["sgd"]}},
]


def test_an_inactive_parameter_is_not_passed() -> None:
    job = built({"optim": "adam"}, parameters=CONDITIONAL)
    assert container(job)["args"] == ["--optim=adam"]
    assert env(job)["KUBESTUDY_PARAMETERS"] == '{"optim": "adam"}'


@pytest.mark.parametrize("whole", [False, True])
def test_an_argument_or_variable_that_names_an_inactive_parameter_is_left_out(whole: bool) -> None:
    started: dict[str, Any] = {
        "args": ["--o=${parameters.optim}", "--m=${parameters.momentum}", "last"],
        "env": [
            {"name": "O", "value": "${parameters.optim}"},
            {"name": "M", "value": "${parameters.momentum}"},
        ],
    }
    template = {"spec": {"containers": [{"name": "t", "image": "i"} | started]}}
    spec = {"template": template} if whole else {"image": "i"} | started
    adam = built({"optim": "adam"}, parameters=CONDITIONAL, trial=spec)
    assert container(adam)["args"] == ["--o=adam", "last"]
    assert env(adam)["O"] == "adam"
    assert "M" not in env(adam)
    sgd = built({"optim": "sgd", "momentum": 0.9}, parameters=CONDITIONAL, trial=spec)
    assert container(sgd)["args"] == ["--o=sgd", "--m=0.9", "last"]
    assert env(sgd)["M"] == "0.9"


@pytest.mark.parametrize(
    ("parameter", "value", "whole", "text"),
    [
        ({"values": [1, 2]}, 1, 1, "1"),
        ({"values": [1, 2.5]}, 1, 1.0, "1.0"),
        ({"min": 0, "max": 1}, 1, 1.0, "1.0"),
        ({"min": 0, "max": 1}, 1e-5, 1e-5, "1.0e-05"),
        ({"min": 0, "max": 9, "type": "Int"}, 3.0, 3, "3"),
        ({"choices": ["no", "1"]}, "no", "no", "no"),
        ({"choices": ["no", "1"]}, "1", "1", "1"),
    ],
)
def test_a_whole_placeholder_is_typed_and_a_part_is_text(
    parameter: dict[str, Any], value: Any, whole: Any, text: str
) -> None:
    space = {"x": Parameter.model_validate({"name": "x"} | parameter)}
    got = placeholders.fill({"a": ["${parameters.x}", "<${parameters.x}>"]}, {"x": value}, space)
    assert got == {"a": [whole, f"<{text}>"]}
    assert type(got["a"][0]) is type(whole)


@pytest.mark.parametrize(
    "text", ["${HOME}", "${parameters.unknown}", "${}", "$(x)", "$parameters.x"]
)
def test_what_is_no_placeholder_of_ours_stays(text: str) -> None:
    assert placeholders.fill(text, {"x": "v"}, {"x": Parameter(name="x", choices=["v"])}) == text


# Observing.


def job(*conditions: dict[str, Any], **meta: Any) -> dict[str, Any]:
    made = built()
    made["metadata"] |= {"uid": "j", "creationTimestamp": "2026-01-01T00:00:00Z"} | meta
    return made | {"status": {"conditions": list(conditions)}}


def says(type_: str, reason: str = "", status: str = "True", when: int = 50) -> dict[str, Any]:
    moment = at(when).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": type_, "status": status, "reason": reason, "lastTransitionTime": moment}


def pod(
    phase: str, state: dict[str, Any] | None = None, made: int = 1, **more: Any
) -> dict[str, Any]:
    deleted, name = more.pop("deleted", False), more.pop("name", "pod")
    node = more.pop("node", "n1")
    moment = at(made).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"phase": phase, **more}
    if state is not None:
        status["containerStatuses"] = [
            {"name": "side", "state": {"running": {"startedAt": moment}}},
            {"name": "trial", "state": state},
        ]
    return {
        "metadata": {"name": name, "uid": f"{name}-uid", "creationTimestamp": moment}
        | ({"deletionTimestamp": moment} if deleted else {}),
        "spec": {"nodeName": node, "containers": [{"name": "trial"}, {"name": "side"}]},
        "status": status,
    }


def terminated(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    times = {"startedAt": "2026-01-01T00:00:05Z", "finishedAt": "2026-01-01T00:00:40Z"}
    return {"terminated": {"exitCode": code, "reason": reason} | times | more}


def disrupted(reason: str) -> list[dict[str, Any]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason}]


DISRUPTED = disrupted("EvictionByEvictionAPI")
FAILED_JOB = says("Failed", "BackoffLimitExceeded")
P, R, S, F = RunState.PENDING, RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED

SEEN = {
    "no pod yet": (job(), [], P, None, None),
    "pod waits": (job(), [pod("Pending")], P, None, None),
    "unschedulable": (
        job(),
        [pod("Pending", conditions=[says("PodScheduled", "Unschedulable", "False")])],
        P,
        "Unschedulable",
        None,
    ),
    "image": (
        job(),
        [pod("Pending", {"waiting": {"reason": "ImagePullBackOff"}})],
        P,
        "ImagePullFailed",
        None,
    ),
    "runs": (job(), [pod("Running", {"running": {}})], R, None, None),
    "succeeded": (job(), [pod("Succeeded", terminated(0, "Completed"))], S, None, 0),
    "failed": (job(), [pod("Failed", terminated(64))], F, "Error", 64),
    "oom": (job(), [pod("Failed", terminated(137, "OOMKilled"))], F, "OutOfMemory", 137),
    "evicted": (job(), [pod("Failed", reason="Evicted", message="disk")], F, "Evicted", None),
    "pod deleted": (job(), [pod("Failed", terminated(137), deleted=True)], F, "Deleted", 137),
    "disrupted": (
        job(),
        [pod("Failed", terminated(143), conditions=DISRUPTED, deleted=True)],
        F,
        "Evicted",
        143,
    ),
    "disrupted, and done before": (
        job(),
        [pod("Succeeded", terminated(0, "Completed"), conditions=DISRUPTED)],
        S,
        None,
        0,
    ),
    "disrupted, and gave in": (
        job(),
        [pod("Failed", terminated(0, "Completed"), conditions=DISRUPTED)],
        F,
        "Evicted",
        0,
    ),
    "disrupted, on its way": (
        job(),
        [pod("Running", terminated(143), conditions=DISRUPTED, deleted=True, made=50)],
        P,
        None,
        None,
    ),
    "preempted": (
        job(),
        [pod("Failed", conditions=disrupted("PreemptionByScheduler"))],
        F,
        "Preempted",
        None,
    ),
    "tainted": (
        job(),
        [pod("Failed", conditions=disrupted("DeletionByTaintManager"))],
        F,
        "NodeLost",
        None,
    ),
    "node pressure": (
        job(),
        [pod("Failed", reason="Evicted", conditions=disrupted("TerminationByKubelet"))],
        F,
        "Evicted",
        None,
    ),
    "node shutdown": (
        job(),
        [
            pod(
                "Failed",
                terminated(143),
                reason="Terminated",
                conditions=disrupted("TerminationByKubelet"),
            )
        ],
        F,
        "NodeShutdown",
        143,
    ),
    "kubelet preempts": (job(), [pod("Failed", reason="Preempting")], F, "Preempted", None),
    "own storage limit": (
        job(),
        [pod("Failed", reason="Evicted", message="Usage of EmptyDir volume exceeds the limit")],
        F,
        "StorageLimitExceeded",
        None,
    ),
    "not admitted": (
        job(),
        [pod("Failed", reason="UnexpectedAdmissionError")],
        F,
        "NotAdmitted",
        None,
    ),
    "no room on the node": (
        job(),
        [pod("Failed", reason="OutOfnvidia.com/gpu")],
        F,
        "NotAdmitted",
        None,
    ),
    "node unknown": (job(), [pod("Unknown", {"running": {}})], F, "NodeLost", None),
    "deleted after it failed": (
        job(),
        [pod("Failed", terminated(64), deleted=True, made=50)],
        F,
        "Error",
        64,
    ),
    "invalid image": (
        job(),
        [pod("Pending", {"waiting": {"reason": "InvalidImageName"}})],
        F,
        "ImagePullFailed",
        None,
    ),
    "scheduling gate": (
        job(),
        [pod("Pending", conditions=[says("PodScheduled", "SchedulingGated", "False")])],
        P,
        "SchedulingGated",
        None,
    ),
    "taken away while nobody looked": (
        job(says("Failed", "PodFailurePolicy")),
        [],
        F,
        "PodFailurePolicy",
        None,
    ),
    "deadline of a Job of an earlier version": (
        job(says("Failed", "DeadlineExceeded")),
        [],
        F,
        "DeadlineExceeded",
        None,
    ),
    "at work until such a deadline": (
        job(says("FailureTarget", "DeadlineExceeded")),
        [pod("Running", {"running": {}})],
        F,
        "DeadlineExceeded",
        None,
    ),
    "pod tells more than its Job": (
        job(FAILED_JOB),
        [pod("Failed", terminated(71))],
        F,
        "Error",
        71,
    ),
    "deleted pod of a failed Job": (
        job(FAILED_JOB),
        [pod("Failed", terminated(137), deleted=True)],
        F,
        "Deleted",
        137,
    ),
    "complete, pod gone": (job(says("Complete")), [], S, None, None),
    "failed, pod gone": (job(FAILED_JOB), [], F, "BackoffLimitExceeded", None),
    "not complete": (job(says("Complete", status="False")), [], P, None, None),
    "resumed, the old pod goes": (
        job(says("Suspended", "JobResumed", "False", when=50)),
        [pod("Failed", terminated(143), made=1, deleted=True)],
        P,
        None,
        None,
    ),
    "resumed, and said so a second after the new pod was made": (
        job(says("Suspended", "JobResumed", "False", when=51)),
        [pod("Failed", deleted=True), pod("Running", {"running": {}}, made=50, name="b")],
        R,
        None,
        None,
    ),
    "resumed, the new pod runs": (
        job(says("Suspended", "JobResumed", "False", when=50)),
        [pod("Failed", deleted=True), pod("Running", {"running": {}}, made=50, name="b")],
        R,
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_a_run_is_seen(name: str) -> None:
    seen_job, pods, state, reason, code = SEEN[name]
    facts = observe(seen_job, pods, NOW)
    assert facts is not None
    assert (facts.state, facts.reason, facts.exit_code) == (state, reason, code)
    assert observe(seen_job, pods[::-1], NOW) == facts


def test_a_container_that_cannot_be_started_is_given_up_after_a_while() -> None:
    waits = pod("Pending", {"waiting": {"reason": "ErrImagePull", "message": "no such tag"}})
    before = observe(job(), [waits], NOW)
    assert before is not None
    assert before.message == "ErrImagePull: no such tag"
    assert before.gives_up == at(1) + STUCK_AFTER
    after = observe(job(), [waits], before.gives_up)
    assert after is not None
    assert (after.state, after.reason, after.message) == (F, "ImagePullFailed", before.message)
    assert after.silent
    # Its pod is still there: it holds the slot until it is stopped.
    assert after.active
    assert not after.at_rest


def test_an_init_container_that_cannot_be_started_is_seen() -> None:
    waits = pod("Pending", {"waiting": {"reason": "PodInitializing"}})
    stuck = {"waiting": {"reason": "CreateContainerConfigError", "message": 'no secret "s"'}}
    waits["status"]["initContainerStatuses"] = [{"name": "init", "state": stuck}]
    facts = observe(job(), [waits], NOW)
    assert facts is not None
    assert (facts.state, facts.reason) == (P, "ContainerNotStarted")
    assert "no secret" in facts.message


def test_a_deleted_pod_that_does_not_go_is_on_a_lost_node() -> None:
    gone = pod("Running", {"running": {"startedAt": "2026-01-01T00:00:05Z"}}, deleted=True, made=55)
    facts = observe(job(), [gone], NOW)
    assert facts is not None
    assert (facts.state, facts.gives_up) == (R, at(55) + LOST_AFTER)
    facts = observe(job(), [gone], facts.gives_up)
    assert facts is not None
    assert (facts.state, facts.reason, facts.ended) == (F, "NodeLost", at(55))
    assert not facts.active
    assert not facts.at_rest  # or the Job would make another pod one day


def test_a_deleted_pod_that_was_on_no_node_is_not_waited_for() -> None:
    facts = observe(job(), [pod("Pending", deleted=True, made=55, node=None)], NOW)
    assert facts is not None
    assert (facts.state, facts.reason, facts.message) == (F, "Deleted", "its pod was deleted")
    assert facts.silent
    assert not facts.at_rest  # its Job would wait for it


LATE, IN_TIME = 39, 40
"""Seconds that end when the container does, and a second later."""


def limited(
    seconds: int, phase: str, state: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A pod with a limit; the kubelet took it one second after the beginning of time."""
    made = pod(phase, state, startTime="2026-01-01T00:00:01Z", **more)
    made["spec"]["activeDeadlineSeconds"] = seconds
    return made


TOLD = {
    "reason": "DeadlineExceeded",
    "message": "Pod was active on the node longer than the specified deadline",
}


@pytest.mark.parametrize("asked", [None, "File"])
def test_a_template_is_quoted_by_its_last_lines_unless_it_says_otherwise(asked: str | None) -> None:
    main = {"name": "main", "image": "i"}
    if asked is not None:
        main["terminationMessagePolicy"] = asked
    job = built(trial={"template": {"spec": {"containers": [main]}}})
    assert container(job)["terminationMessagePolicy"] == (asked or "FallbackToLogsOnError")


def test_the_last_lines_of_a_container_are_kept_as_it_left_them() -> None:
    lines = "usage: a\na: error: unrecognized arguments: --lr=1\n"
    facts = observe(job(), [pod("Failed", terminated(2, message=lines))], NOW)
    assert facts is not None
    assert (facts.tail, facts.message) == (lines, lines.splitlines()[-1])


@pytest.mark.parametrize("code", [0, 1, 75, 137, 143])
def test_a_run_that_is_out_of_time_failed_for_that_whatever_its_exit_code(code: int) -> None:
    told = limited(LATE, "Failed", terminated(code), **TOLD)
    not_yet_told = limited(LATE, "Running", terminated(code))
    for each in (told, not_yet_told):
        facts = observe(job(), [each], NOW)
        assert facts is not None
        assert (facts.state, facts.reason, facts.exit_code) == (F, "DeadlineExceeded", code)
        assert facts.message == "it was not done after 39 s"


def test_a_run_that_is_out_of_time_holds_its_slot_until_its_pod_has_ended() -> None:
    facts = observe(job(), [limited(5, "Running", {"running": {}})], NOW)
    assert facts is not None
    assert (facts.state, facts.reason, facts.active) == (R, None, True)
    facts = observe(job(), [limited(5, "Failed", terminated(75), **TOLD)], NOW)
    assert facts is not None
    assert (facts.reason, facts.active) == ("DeadlineExceeded", False)


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"waiting": {"reason": "ImagePullBackOff"}},
        {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": None}},
    ],
)
def test_a_run_is_out_of_time_also_where_nothing_is_known_of_its_container(
    state: dict[str, Any] | None,
) -> None:
    facts = observe(job(), [limited(5, "Failed", state, **TOLD)], NOW)
    assert facts is not None
    assert (facts.state, facts.reason) == (F, "DeadlineExceeded")
    assert facts.message == "it was not done after 5 s"


@pytest.mark.parametrize(
    ("phase", "code", "state"),
    [
        ("Running", 0, S),
        ("Running", 64, F),
        ("Failed", 0, S),
        ("Failed", 64, F),
        ("Succeeded", 0, S),
    ],
)
def test_what_had_ended_in_time_counts_though_its_pod_is_told_to_be_late(
    phase: str, code: int, state: RunState
) -> None:
    facts = observe(job(), [limited(IN_TIME, phase, terminated(code, message="bye"), **TOLD)], NOW)
    assert facts is not None
    assert (facts.state, facts.reason, facts.message) == (state, "Error" if code else None, "bye")


def test_what_was_taken_away_and_saves_its_work_for_too_long_was_taken_away() -> None:
    saves = limited(LATE, "Failed", terminated(75), conditions=DISRUPTED, **TOLD)
    facts = observe(job(), [saves], NOW)
    assert facts is not None
    assert (facts.state, facts.reason) == (F, "Evicted")


@pytest.mark.parametrize(
    ("asked", "code", "reason"),
    [(39, 1, "Deleted"), (45, 1, "Deleted"), (46, 1, "Error"), (55, 143, "Deleted")],
)
def test_a_pod_that_its_kubelet_has_let_go_of_was_deleted_before(
    asked: int, code: int, reason: str
) -> None:
    facts = observe(job(), [pod("Failed", terminated(code), deleted=True, made=asked)], NOW)
    assert facts is not None
    assert (facts.ended, facts.reason) == (at(40), reason)


def of_no_job(*pods: dict[str, Any]) -> list[dict[str, Any]]:
    template = built()["spec"]["template"]["metadata"]
    for each in pods:
        each["metadata"] |= template
    return list(pods)


def test_the_pod_of_a_deleted_job_is_at_work_until_it_has_ended() -> None:
    times = {"startedAt": "2026-01-01T00:00:05Z"}
    facts = observe_without_job(
        of_no_job(pod("Running", {"running": times}, deleted=True, made=50)), NOW
    )
    assert facts is not None
    assert (facts.key, facts.job) == (KEY, job()["metadata"]["name"])
    assert (facts.state, facts.active, facts.at_rest) == (R, True, True)
    facts = observe_without_job(of_no_job(pod("Failed", terminated(75), deleted=True)), NOW)
    assert facts is not None
    assert (facts.state, facts.active) == (F, False)
    assert (facts.reason, facts.message) == ("Deleted", f"Job {facts.job} was deleted")


def test_what_was_done_to_a_pod_is_told() -> None:
    evicted = disrupted("EvictionByEvictionAPI")
    evicted[0]["message"] = "Eviction API: evicting"
    full = pod("Failed", terminated(137, "OOMKilled", message="step 3"))
    unlimited = pod("Failed", terminated(137, "OOMKilled"))
    full["spec"]["containers"][0]["resources"] = {"limits": {"memory": "32Mi"}}
    told = {
        "its pod was deleted": pod("Failed", terminated(75, message="bye"), deleted=True),
        "Eviction API: evicting": pod("Failed", terminated(75), conditions=evicted),
        "The node was low on memory": pod(
            "Failed", reason="Evicted", message="The node was low on memory", conditions=evicted
        ),
        "the container used more memory than its limit of 32Mi": full,
        "the container used more memory than its node had": unlimited,
        "bye": pod("Failed", terminated(1, message="so long\nbye")),
    }
    for message, of_pod in told.items():
        facts = observe(job(), [of_pod], NOW)
        assert facts is not None
        assert facts.message == message


def test_a_sidecar_that_lives_on_does_not_keep_a_run_at_work() -> None:
    facts = observe(job(), [pod("Running", terminated(0, "Completed"))], NOW)
    assert facts is not None
    assert (facts.state, facts.exit_code, facts.ended) == (S, 0, at(40))
    assert facts.lingering
    assert facts.active
    alone = pod("Running", terminated(0, "Completed"))
    alone["status"]["containerStatuses"].pop(0)
    facts = observe(job(), [alone], NOW)
    assert facts is not None
    assert facts.at_rest


def injected(of: dict[str, Any], container: str | None, proxy: dict[str, Any]) -> dict[str, Any]:
    """A pod into which a webhook has put a proxy first, as meshes do that hold the program back.

    Args:
        of: The pod.
        container: What it is told to be the container that trains.
        proxy: The state of the proxy.
    """
    of["spec"]["containers"].insert(0, {"name": "proxy"})
    # The kubelet sorts the statuses by name.
    of["status"].setdefault("containerStatuses", []).insert(0, {"name": "proxy", "state": proxy})
    of["metadata"]["annotations"] = {"kubestudy.dev/container": container} if container else None
    return of


AT_WORK = {"running": {"startedAt": "2026-01-01T00:00:02Z"}}


@pytest.mark.parametrize("container", ["trial", None])
def test_the_container_that_trains_is_known_by_its_name(container: str | None) -> None:
    word = {"message": '{"metrics":{}}'}
    ended = injected(pod("Running", terminated(0, "Completed", **word)), container, AT_WORK)
    facts = observe(job(), [ended], NOW)
    assert facts is not None
    assert (facts.state, facts.exit_code) == (S, 0)
    assert (facts.started, facts.ended) == (at(5), at(40))
    assert facts.lingering
    assert main_name(ended) == "trial"
    assert termination_message(ended) == word["message"]

    killed = injected(pod("Running", terminated(137, "OOMKilled")), container, AT_WORK)
    killed["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
    killed["spec"]["containers"][1]["resources"] = {"limits": {"memory": "32Mi"}}
    facts = observe(job(), [killed], NOW)
    assert facts is not None
    assert (facts.state, facts.reason) == (F, "OutOfMemory")
    assert facts.message == "the container used more memory than its limit of 32Mi"


def test_a_proxy_that_ended_or_cannot_be_started_says_nothing_of_the_run() -> None:
    gone = injected(pod("Running", AT_WORK), "trial", terminated(1))
    facts = observe(job(), [gone], NOW)
    assert facts is not None
    assert (facts.state, facts.started) == (R, at(2))
    image = {"waiting": {"reason": "ErrImagePull", "message": "no such proxy"}}
    creating = {"waiting": {"reason": "ContainerCreating"}}
    waits = injected(pod("Pending", creating), "trial", image)
    facts = observe(job(), [waits], at(1) + 2 * STUCK_AFTER)
    assert facts is not None
    assert (facts.state, facts.reason) == (P, "ContainerCreating")


def test_injected_init_containers_are_not_the_one_that_trains() -> None:
    native = pod("Running", terminated(0, "Completed"))
    native["spec"]["initContainers"] = [{"name": "trial-init"}, {"name": "proxy"}]
    native["status"]["initContainerStatuses"] = [
        {"name": "trial-init", "state": terminated(0, "Completed")},
        {"name": "proxy", "state": AT_WORK},
    ]
    facts = observe(job(), [native], NOW)
    assert facts is not None
    assert (facts.state, facts.ended) == (S, at(40))


def test_a_jobs_pods_say_which_container_trains() -> None:
    def told(job: dict[str, Any]) -> str:
        template = job["spec"]["template"]
        template["spec"]["containers"].insert(0, {"name": "proxy"})
        return main_name(template)

    assert told(built()) == "trial"
    containers = [{"name": "main", "image": "i"}, {"name": "trial", "image": "side"}]
    theirs = {"spec": {"containers": containers}}
    theirs |= {"metadata": {"annotations": {"kubestudy.dev/container": "trial"}}}
    assert told(built(trial={"template": theirs})) == "main"


def test_a_pod_of_an_earlier_version_trains_in_its_first_container() -> None:
    old = pod("Running", terminated(0, "Completed"))
    old["spec"]["containers"] = [{"name": "side"}, {"name": "main"}]
    assert main_name(old) == "side"


def test_a_sidecar_that_fails_takes_nothing_from_the_run() -> None:
    facts = observe(job(FAILED_JOB), [pod("Failed", terminated(0, "Completed"))], NOW)
    assert facts is not None
    assert facts.state == S


def test_times_and_places_are_seen() -> None:
    facts = observe(job(), [pod("Failed", terminated(1))], NOW)
    assert facts is not None
    assert (facts.created, facts.started, facts.ended) == (at(0), at(5), at(40))
    assert (facts.pod, facts.pod_uid, facts.node) == ("pod", "pod-uid", "n1")


def test_a_suspended_job_has_no_pod_and_holds_no_slot() -> None:
    held = job()
    held["metadata"]["annotations"]["kubestudy.dev/suspended"] = "true"
    held["spec"]["suspend"] = True
    facts = observe(held, [pod("Running", {"running": {}})], NOW)
    assert facts is not None
    assert facts.suspended
    assert facts.pod is None
    assert not facts.active


def test_a_job_on_its_way_out_still_holds_its_slot() -> None:
    facts = observe(job(deletionTimestamp="2026-01-01T00:00:50Z"), [pod("Running")], NOW)
    assert facts is not None
    assert facts.deleting
    assert facts.active


def test_a_job_of_somebody_else_is_not_ours() -> None:
    theirs = job()
    theirs["metadata"]["annotations"] = None
    assert observe(theirs, [], NOW) is None


def test_the_last_word_is_that_of_the_container_that_trains() -> None:
    assert termination_message(pod("Failed", terminated(1, message="{}"))) == "{}"
    assert termination_message(pod("Pending")) is None


def test_a_program_without_a_last_word_is_quoted_by_its_log() -> None:
    pod = {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "trial"}]},
        "status": {
            "phase": "Failed",
            "containerStatuses": [
                {
                    "name": "trial",
                    "state": {
                        "terminated": {
                            "exitCode": 1,
                            "reason": "Error",
                            "message": "Traceback:\nKeyError: 'label'\n",
                        }
                    },
                }
            ],
        },
    }
    job = {
        "metadata": {
            "name": "demo-0-0-0-0",
            "uid": "j",
            "annotations": {"kubestudy.dev/trial": "demo-0", "kubestudy.dev/run": "0/0/0"},
        },
        "spec": {},
    }
    facts = observe(job, [pod], NOW)
    assert facts is not None
    assert facts.message == "KeyError: 'label'"
