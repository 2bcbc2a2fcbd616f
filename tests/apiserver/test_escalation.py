"""Whoever has only the role edit in one namespace gets nothing more out of kubestudy."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubestudy.runtime.client import JOBS, PODS, TRIALS, Object
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, Refused, condition, is_true, new_namespace
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(60)

ONE = {"learning_rate": [1e-5]}
OURS = {"app.kubernetes.io/managed-by": "kubestudy"}
CONTAINER = {"name": "trial", "image": "localhost/busybox:1"}
TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, account: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Namespace]:
    """A namespace with a controller, and in it a Study `victim` whose one trial runs."""
    log = tmp_path_factory.mktemp("escalation") / "controller.log"
    with new_namespace(control_plane, "escalation") as namespace:
        options = (f"--watch-namespace={namespace.name}", "--no-leader-elect")
        with ControllerProcess(account, log, *options) as controller:
            namespace.kubectl("create", "rolebinding", "m", "--clusterrole=edit", "--user=mallory")
            namespace.apply(study("victim", ONE))
            until(lambda: namespace.pods("victim"), what="a pod was made", timeout=30)
            yield namespace
            assert controller.running


@pytest.fixture(scope="module")
def mallory(control_plane: ControlPlane, place: Namespace) -> Namespace:
    """Somebody with the role edit in that namespace, and no other right."""
    return Namespace(control_plane.kubeconfig_for("mallory"), place.name)


def with_pod(container: Object | None = None, metadata: Object | None = None, **pod: Any) -> Object:
    """A Study with a pod template."""
    spec = {"containers": [CONTAINER | (container or {})], **pod}
    template = {"spec": spec} | ({"metadata": metadata} if metadata else {})
    return study("attack", ONE, trial={"template": template})


def confined(**context: Any) -> Object:
    return with_pod({"securityContext": context})


def injected(**pod: Any) -> Object:
    """A Study whose template becomes dangerous only once a parameter's value is put in."""
    attack = with_pod(**pod)
    attack["spec"]["parameters"] = [{"name": "x", "choices": ["true", "admin", "Unconfined"]}]
    return attack


def asking(query: str) -> Object:
    """A Study that reads its metric from Prometheus."""
    return study("attack", ONE, metrics=[{"type": "Prometheus", "query": query}])


TEMPLATES: dict[str, Object] = {
    "a privileged container": confined(privileged=True),
    "a privileged init container": with_pod(
        initContainers=[CONTAINER | {"name": "init", "securityContext": {"privileged": True}}]
    ),
    "added capabilities": confined(capabilities={"add": ["SYS_ADMIN"]}),
    "an unmasked proc": confined(procMount="Unmasked"),
    "no seccomp": with_pod(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    "sysctls": with_pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    "the node's files": with_pod(volumes=[{"name": "root", "hostPath": {"path": "/"}}]),
    "the node's network": with_pod(hostNetwork=True),
    "the node's processes": with_pod(hostPID=True),
    "the node's IPC": with_pod(hostIPC=True),
    "a port of the node": with_pod({"ports": [{"containerPort": 80, "hostPort": 80}]}),
    "a chosen node": with_pod(nodeName="node1"),
    "a foreign service account": with_pod(serviceAccountName="admin"),
    "the same by the field's old name": with_pod(serviceAccount="admin"),
    "a token": with_pod(automountServiceAccountToken=True),
    "a projected token": with_pod(volumes=[{"name": "token", **TOKEN}]),
    "reserved labels": with_pod(metadata={"labels": {"kubestudy.dev/study": "victim"}}),
    "reserved annotations": with_pod(metadata={"annotations": {"kubestudy.dev/run": "0/0/0"}}),
    "a service account injected": injected(serviceAccountName="${parameters.x}"),
    "the node's network injected": injected(hostNetwork="${parameters.x}"),
    "no seccomp injected": injected(
        securityContext={"seccompProfile": {"type": "${parameters.x}"}}
    ),
    "an object of another kind": study(
        "attack",
        ONE,
        trial={
            "manifest": {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "attack"},
            }
        },
    ),
    "a query for another's pod": asking('accuracy{namespace="another", pod="model"}'),
    "a query that is an address": asking("http://169.254.169.254/latest/meta-data"),
    "a shell that reads a value as code": study(
        "attack", ONE, trial={"command": ["sh", "-c", "train ${parameters.learning_rate}"]}
    ),
}


@pytest.mark.parametrize("what", TEMPLATES)
def test_no_pod_comes_of_a_study_with(place: Namespace, mallory: Namespace, what: str) -> None:
    try:
        mallory.apply(TEMPLATES[what])
    except Refused:
        return
    try:
        seen = place.wait_for_study("attack", lambda s: condition(s, "Accepted"), "has a verdict")
        assert not is_true(seen, "Accepted")
        assert not place.jobs("attack")
    finally:
        place.kubectl("delete", "study", "attack", "--ignore-not-found")


def of_victim(place: Namespace) -> Object:
    (trial,) = place.trials("victim")
    return trial


def owned(trial: Object) -> list[Object]:
    name, uid = trial["metadata"]["name"], trial["metadata"]["uid"]
    kind = {"apiVersion": "kubestudy.dev/v1alpha1", "kind": "Trial", "name": name, "uid": uid}
    return [kind | {"controller": True}]


def job(name: str, **metadata: Any) -> Object:
    pod = {"restartPolicy": "Never", "containers": [CONTAINER]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **metadata},
        "spec": {"template": {"spec": pod}},
    }


def a_trial_by_hand(place: Namespace, mallory: Namespace) -> None:
    by_hand = copy.deepcopy(of_victim(place))
    by_hand["metadata"] = {"name": "victim-1", "ownerReferences": owned(by_hand)}
    mallory.kubectl("create", "-f", "-", stdin=json.dumps(by_hand))


def a_result(place: Namespace, mallory: Namespace) -> None:
    patch = {"status": {"objectives": [{"metric": "accuracy", "value": 1}]}}
    words = ("patch", "trial", "victim-0", "--subresource=status", "--type=merge")
    mallory.kubectl(*words, f"--patch={json.dumps(patch)}")


def a_studys_status(place: Namespace, mallory: Namespace) -> None:
    patch = {"status": {"trials": {"created": 0}}}
    words = ("patch", "study", "victim", "--subresource=status", "--type=merge")
    mallory.kubectl(*words, f"--patch={json.dumps(patch)}")


def other_parameters_of_a_trial(place: Namespace, mallory: Namespace) -> None:
    patch = {"spec": {"parameters": {"learning_rate": 1}}}
    mallory.kubectl("patch", "trial", "victim-0", "--type=merge", f"--patch={json.dumps(patch)}")


def a_job_that_claims_to_be_a_run(place: Namespace, mallory: Namespace) -> None:
    keys = {"kubestudy.dev/study": "victim", "kubestudy.dev/trial": "victim-0"}
    mallory.apply(job("false", labels=OURS, annotations=keys | {"kubestudy.dev/run": "0/0/1"}))


def a_job_owned_by_a_trial(place: Namespace, mallory: Namespace) -> None:
    mallory.apply(job("victim-0-0-0-1", ownerReferences=owned(of_victim(place))))


def a_job_that_becomes_owned_by_a_trial(place: Namespace, mallory: Namespace) -> None:
    mallory.apply(job("harmless"))
    patch = {"metadata": {"ownerReferences": owned(of_victim(place))}}
    mallory.kubectl("patch", "job", "harmless", "--type=merge", f"--patch={json.dumps(patch)}")


def claiming(study: str = "victim") -> Object:
    """A pod template whose pods say of themselves that they are a run."""
    trial = f"{study}-0"
    annotations = {"kubestudy.dev/trial": trial, "kubestudy.dev/run": "0/0/0"}
    labels = annotations | {"kubestudy.dev/run": f"{trial}-0-0-0"}
    shared = {"kubestudy.dev/study": study}
    keys = {"labels": OURS | labels | shared, "annotations": annotations | shared}
    return {"metadata": keys, "spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}


def a_job_whose_pods_claim_to_be_runs(place: Namespace, mallory: Namespace) -> None:
    false = job("false")
    false["spec"]["template"] = claiming()
    mallory.apply(false)


def a_job_whose_pods_bear_one_label(place: Namespace, mallory: Namespace) -> None:
    false = job("false")
    false["spec"]["template"]["metadata"] = {"labels": OURS}
    mallory.apply(false)


def a_cron_job_whose_jobs_claim_to_be_runs(place: Namespace, mallory: Namespace) -> None:
    keys = claiming()["metadata"]
    mallory.apply(cron_job({"metadata": keys, "spec": job("")["spec"]}))


def a_cron_job_whose_pods_claim_to_be_runs(place: Namespace, mallory: Namespace) -> None:
    mallory.apply(cron_job({"spec": {"template": claiming()}}))


def cron_job(template: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "false"},
        "spec": {"schedule": "* * * * *", "jobTemplate": template},
    }


def workload(kind: str) -> Callable[[Namespace, Namespace], None]:
    """A workload of some kind whose pods claim to be runs."""

    def deed(place: Namespace, mallory: Namespace) -> None:
        pods = claiming()
        pods["metadata"]["labels"]["app"] = "false"
        pods["spec"]["restartPolicy"] = "Always"
        made: Object = {
            "apiVersion": "v1" if kind == "ReplicationController" else "apps/v1",
            "kind": kind,
            "metadata": {"name": "false"},
            "spec": {"selector": {"matchLabels": {"app": "false"}}, "template": pods},
        }
        if kind == "ReplicationController":
            made["spec"]["selector"] = {"app": "false"}
        mallory.apply(made)

    deed.__name__ = f"a_{kind}_whose_pods_claim_to_be_runs"
    return deed


def a_template_that_is_changed_to_claim_it(place: Namespace, mallory: Namespace) -> None:
    harmless = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": harmless},
    }
    mallory.apply(made)
    mallory.kubectl("scale", "deployment", "web", "--replicas=2")
    patch = {"spec": {"template": claiming() | {"spec": None}}}
    del patch["spec"]["template"]["spec"]
    mallory.kubectl("patch", "deployment", "web", f"--patch={json.dumps(patch)}")


def a_pod_that_claims_to_be_a_run(place: Namespace, mallory: Namespace) -> None:
    (true,) = place.pods("victim")
    false = {"labels": true["metadata"]["labels"], "annotations": true["metadata"]["annotations"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "false", **false},
        "spec": {"containers": [CONTAINER]},
    }
    mallory.apply(pod)


def another_run_by_annotation(place: Namespace, mallory: Namespace) -> None:
    (pod,) = place.pods("victim")
    words = ("annotate", "pod", pod["metadata"]["name"], "--overwrite")
    mallory.kubectl(*words, "kubestudy.dev/trial=another")


def another_report_by_annotation(place: Namespace, mallory: Namespace) -> None:
    (made,) = place.jobs("victim")
    mallory.kubectl("annotate", "job", made["metadata"]["name"], "kubestudy.dev/pushed={}")


def a_run_without_its_label(place: Namespace, mallory: Namespace) -> None:
    (made,) = place.jobs("victim")
    mallory.kubectl("label", "job", made["metadata"]["name"], "app.kubernetes.io/managed-by-")


def a_run_without_its_owner(place: Namespace, mallory: Namespace) -> None:
    (made,) = place.jobs("victim")
    patch = json.dumps({"metadata": {"ownerReferences": None}})
    mallory.kubectl("patch", "job", made["metadata"]["name"], "--type=merge", f"--patch={patch}")


def a_study_in_another_namespace(place: Namespace, mallory: Namespace) -> None:
    Namespace(mallory.kubeconfig, "kubestudy-system").apply(study("attack", ONE))


def a_study_that_says_it_is_elsewhere(place: Namespace, mallory: Namespace) -> None:
    attack = study("attack", ONE)
    attack["metadata"]["namespace"] = "kubestudy-system"
    path = f"/apis/kubestudy.dev/v1alpha1/namespaces/{place.name}/studies"
    mallory.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(attack))


def the_policies_gone(place: Namespace, mallory: Namespace) -> None:
    mallory.kubectl("delete", "validatingadmissionpolicies", "kubestudy-studies")


def the_controllers_token(place: Namespace, mallory: Namespace) -> None:
    words = ("-n", "kubestudy-system", "create", "token", "kubestudy-controller")
    mallory.kubectl(*words)


def a_hold_of_the_controllers(place: Namespace, mallory: Namespace) -> None:
    (made,) = place.jobs("victim")
    words = ("annotate", "job", made["metadata"]["name"])
    mallory.kubectl(*words, "kubestudy.dev/suspended=true")


TEMPLATE_DEEDS: list[Callable[[Namespace, Namespace], None]] = [
    a_job_whose_pods_claim_to_be_runs,
    a_job_whose_pods_bear_one_label,
    a_cron_job_whose_jobs_claim_to_be_runs,
    a_cron_job_whose_pods_claim_to_be_runs,
    *map(workload, ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")),
    workload("ReplicationController"),
    a_template_that_is_changed_to_claim_it,
]


DEEDS: list[Callable[[Namespace, Namespace], None]] = [
    a_trial_by_hand,
    a_result,
    a_studys_status,
    other_parameters_of_a_trial,
    a_job_that_claims_to_be_a_run,
    a_job_owned_by_a_trial,
    a_job_that_becomes_owned_by_a_trial,
    a_pod_that_claims_to_be_a_run,
    another_run_by_annotation,
    another_report_by_annotation,
    a_hold_of_the_controllers,
    a_run_without_its_label,
    a_run_without_its_owner,
    a_study_in_another_namespace,
    a_study_that_says_it_is_elsewhere,
    the_policies_gone,
    the_controllers_token,
]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_nobody_gets(
    place: Namespace, mallory: Namespace, deed: Callable[[Namespace, Namespace], None]
) -> None:
    with pytest.raises(Refused):
        deed(place, mallory)


@pytest.mark.parametrize("deed", TEMPLATE_DEEDS, ids=lambda deed: deed.__name__)
def test_no_workload_makes_pods_that_claim_to_be_runs(
    place: Namespace, mallory: Namespace, deed: Callable[[Namespace, Namespace], None]
) -> None:
    with pytest.raises(Refused, match="kubestudy controller"):
        deed(place, mallory)


def test_a_pod_of_another_job_is_not_believed_whatever_it_says_of_itself(place: Namespace) -> None:
    """If the policies are not installed, or came later: here its author may do anything."""
    false = job("older-than-the-policies")
    false["spec"]["template"] = claiming("believed")
    place.apply(false)
    (pod,) = until(lambda: place.pods("believed"), what="the Job controller made its pod")
    track = {"latest": 1, "min": 1, "max": 1, "step": 1}
    end = {
        "exitCode": 0,
        "reason": "Completed",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:01Z",
        "message": json.dumps({"seq": 0, "step": 1, "metrics": {"accuracy": track}}),
    }
    container = {"name": "trial", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    container["state"] = {"terminated": end}
    status = {"status": {"phase": "Succeeded", "containerStatuses": [container]}}
    place.client.patch(PODS, place.name, pod["metadata"]["name"], status, sub="status")

    place.apply(study("believed", ONE))
    until(lambda: len(place.pods("believed")) == 2, what="its own pod was made", timeout=30)
    (trial,) = place.trials("believed")
    assert not is_true(trial, "Succeeded")
    assert not (trial.get("status") or {}).get("objectives")
    place.kubectl("delete", "job/older-than-the-policies", "study/believed", "--wait=false")


def made_by_the_controller(trial: Object, **pod: Any) -> Object:
    """A Job as the controller makes it, or as somebody would who has its account."""
    made = job("by-its-account", labels=OURS, ownerReferences=owned(trial))
    made["spec"]["template"]["spec"] |= {"automountServiceAccountToken": False, **pod}
    return made


def test_whoever_has_the_controllers_account_makes_no_other_jobs_than_it_does(
    place: Namespace, account: Path
) -> None:
    stolen, trial = Namespace(account, place.name), of_victim(place)
    privileged = [CONTAINER | {"securityContext": {"privileged": True}}]
    attacks = {
        "Trials only": job("by-its-account"),
        "privileged": made_by_the_controller(trial, containers=privileged),
        "hostPath": made_by_the_controller(
            trial, volumes=[{"name": "root", "hostPath": {"path": "/"}}]
        ),
        "serviceAccountName": made_by_the_controller(trial, serviceAccountName="admin"),
        "automountServiceAccountToken": made_by_the_controller(
            trial, automountServiceAccountToken=True
        ),
        "must be false": made_by_the_controller(trial, automountServiceAccountToken=None),
    }
    for message, attack in attacks.items():
        with pytest.raises(Refused, match=message):
            stolen.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(attack))
    harmless = json.dumps(made_by_the_controller(trial))
    stolen.kubectl("create", "--dry-run=server", "-f", "-", stdin=harmless)


def test_there_are_enough_of_them() -> None:
    assert len(TEMPLATES) + len(DEEDS) + len(TEMPLATE_DEEDS) >= 45


def test_trials_stay_the_controllers_even_for_those_with_all_rights_to_them(
    control_plane: ControlPlane, place: Namespace
) -> None:
    rights = ("--verb=*", "--resource=trials.kubestudy.dev,trials.kubestudy.dev/status")
    place.kubectl("create", "role", "everything", *rights)
    place.kubectl("create", "rolebinding", "everything", "--role=everything", "--user=eve")
    eve = Namespace(control_plane.kubeconfig_for("eve"), place.name)
    for deed in (a_trial_by_hand, a_result):
        with pytest.raises(Refused, match="written by the kubestudy controller alone"):
            deed(place, eve)


def test_a_study_needs_the_right_to_make_what_it_makes(
    control_plane: ControlPlane, place: Namespace
) -> None:
    rights = ("--verb=get,create,patch,delete", "--resource=studies.kubestudy.dev")
    place.kubectl("create", "role", "studies-only", *rights)
    place.kubectl("create", "rolebinding", "studies-only", "--role=studies-only", "--user=bob")
    bob = Namespace(control_plane.kubeconfig_for("bob"), place.name)
    with pytest.raises(Refused, match="needs the right to create both"):
        bob.apply(study("bobs", ONE))
    with pytest.raises(Refused, match="needs the right to create both"):
        bob.edit("victim", {"budget": {"parallelism": 2}})
    bob.kubectl("label", "study", "victim", "team=bob")


def test_what_the_cluster_itself_does_goes_on(place: Namespace, mallory: Namespace) -> None:
    place.apply(study("going", ONE))
    until(lambda: place.pods("going"), what="the Job controller made its pod", timeout=30)
    mallory.kubectl("delete", "study", "going", "--cascade=foreground")
    until(
        lambda: [
            o["metadata"]["name"]
            for kind in (TRIALS, JOBS, PODS)
            for o in place.client.list(kind, place.name)["items"]
            if o["metadata"]["name"].startswith("going")
        ],
        lambda names: not names,
        what="garbage collection removed what belonged to it",
        timeout=40,
    )


def test_a_queue_may_hold_a_job_back_and_place_its_pods_but_not_say_that_it_was_us(
    control_plane: ControlPlane, place: Namespace
) -> None:
    account = "system:serviceaccount:kueue-system:kueue-controller-manager"
    verbs, jobs = "get,list,watch,update,patch,delete", "jobs.batch,jobs.batch/status"
    place.kubectl("create", "role", "kueue", f"--verb={verbs}", f"--resource={jobs}")
    place.kubectl("create", "rolebinding", "kueue", "--role=kueue", f"--user={account}")
    kueue = Namespace(control_plane.kubeconfig_for(account), place.name)
    place.apply(study("queued", ONE))
    (made,) = until(lambda: place.jobs("queued"), what="it has a Job")
    name = made["metadata"]["name"]

    def patch(change: Object, *options: str) -> None:
        words = ("patch", "job", name, "--type=merge", f"--patch={json.dumps(change)}")
        kueue.kubectl(*words, *options)

    patch({"spec": {"suspend": True}})
    until(lambda: place.pods("queued"), lambda pods: not pods, what="its pod is gone")
    label, node = {"kueue.x-k8s.io/podset": "main"}, {"kubernetes.io/hostname": "node1"}
    template = {"metadata": {"labels": label}, "spec": {"nodeSelector": node}}
    # As Kueue does: what has never started may be placed, in the write that lets it go.
    patch({"status": {"startTime": None}}, "--subresource=status")
    patch({"metadata": {"labels": label}, "spec": {"suspend": False, "template": template}})
    (pod,) = until(lambda: place.pods("queued"), what="it has a pod again")
    assert pod["spec"]["nodeSelector"] == node
    assert label.items() <= pod["metadata"]["labels"].items()
    for forbidden in (
        {"annotations": {"kubestudy.dev/suspended": "true"}},
        {"labels": {"kubestudy.dev/study": "victim"}},
        {"ownerReferences": None},
    ):
        with pytest.raises(Refused, match="set by the kubestudy controller alone"):
            patch({"metadata": forbidden})
