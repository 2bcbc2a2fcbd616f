"""What is fuzzed: each target reads something odd, and may only refuse it as it says it does."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from kubestudy.api import manifests
from kubestudy.api.validation import InvalidObject, parse_study
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunKey, RunState
from kubestudy.core.plan import CreateTrial, Snapshot, StartRun
from kubestudy.core.pushed import Pushed
from kubestudy.core.reports import RunReport
from kubestudy.runtime.client import batches
from kubestudy.runtime.json_cutter import JsonCutter
from kubestudy.runtime.kept_logs import KeptLog
from kubestudy.runtime.pod_log import Cursor, PodLog
from kubestudy.runtime.prometheus import series_of
from kubestudy.sources import push
from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.prometheus import SeriesReader
from kubestudy.sources.termination import last_word
from kubestudy.workloads.job import build, observe, observe_without_job
from kubestudy.workloads.pod import termination_message
from kubestudy.workloads.pod_template import JobSettings
from tests.fuzz.mutations import TEXTS, VALUES, mutated, of_the_same_type
from tests.support.controller_process import ROOT
from tests.unit import build as b


@dataclass(frozen=True)
class Target:
    """Something that is fuzzed.

    Attributes:
        inputs: What it is given.
        read: Reads that; any exception that it lets through is a failure.
    """

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], object]


def _documents() -> list[Any]:
    """The Studies that are there: examples, and those that are wrong in one place."""
    folders = ("manifests/examples", "tests/wrong_manifests")
    files = [f for folder in folders for f in sorted((ROOT / folder).glob("*.yaml"))]
    found = [manifests.load(f.read_text()) for f in files]
    pods = b.study_document(trial={"template": TEMPLATE})
    return [*found, b.study_document(), pods, pods]


TEMPLATE = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"why": "x"}},
    "spec": {
        "serviceAccountName": "default",
        "nodeSelector": {"gpu": "a100"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
                    ]
                }
            }
        },
        "initContainers": [{"name": "init", "image": "busybox", "command": ["true"]}],
        "containers": [
            {
                "name": "trial",
                "image": "busybox",
                "command": ["sh", "-c", 'train "$@"', "sh"],
                "args": ["--lr=${parameters.lr}", "--size=${parameters.size}"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "${parameters.lr}"}],
                "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": "500m"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "ports": [{"containerPort": 8000, "name": "http"}],
                "securityContext": {"capabilities": {"drop": ["ALL"]}},
            },
            {"name": "beside", "image": "busybox"},
        ],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
}


def study(document: Any) -> None:
    """A Study is refused with the field named, or it is decided and its Jobs are built."""
    document = json.loads(json.dumps(document))
    try:
        found = parse_study(document)
    except InvalidObject as error:
        assert error.errors
        return
    if wrong := problems(found):
        assert all(e.field.startswith("spec") and e.message for e in wrong)
        return
    plan = decide(Snapshot(found, [], [], {}, b.at(0)))
    for action in plan.actions:
        if isinstance(action, CreateTrial):
            trial = action.trial.model_copy(
                update={"metadata": action.trial.metadata.model_copy(update={"uid": "u"})}
            )
            json.dumps(build(found, trial, RunKey(trial.metadata.name), JobSettings()))
        else:
            assert isinstance(action, StartRun)


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
ENDED = {
    "terminated": {
        "exitCode": 1,
        "reason": "Error",
        "message": '{"seq": 3, "metrics": {"accuracy": {"latest": 0.5}}, "reason": "Failed"}',
        "startedAt": "2026-01-01T00:00:05Z",
        "finishedAt": "2026-01-01T00:00:09Z",
    }
}


def _pod(phase: str, state: Any) -> Any:
    return {
        "metadata": {
            "name": "demo-0-0-0-0-x",
            "namespace": "team",
            "uid": "pod-uid",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:01Z",
            "deletionTimestamp": "2026-01-01T00:00:30Z",
            "deletionGracePeriodSeconds": 30,
            "labels": {"app.kubernetes.io/managed-by": "kubestudy"},
            "annotations": {"kubestudy.dev/trial": "demo-0", "kubestudy.dev/run": "0/0/0"},
            "ownerReferences": [{"kind": "Job", "name": "j", "uid": "job-uid", "controller": True}],
        },
        "spec": {
            "nodeName": "node1",
            "activeDeadlineSeconds": 100,
            "containers": [{"name": "trial", "resources": {"limits": {"memory": "1Gi"}}}],
        },
        "status": {
            "phase": phase,
            "reason": "Evicted",
            "message": "The node was low on memory",
            "startTime": "2026-01-01T00:00:02Z",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "True",
                    "reason": "x",
                    "lastTransitionTime": "2026-01-01T00:00:02Z",
                },
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"},
            ],
            "initContainerStatuses": [{"name": "init", "state": {"waiting": {"reason": "x"}}}],
            "containerStatuses": [
                {"name": "trial", "state": state, "restartCount": 0},
                {"name": "beside", "state": RUNNING},
            ],
        },
    }


def _job() -> Any:
    made = build(b.study(), b.trial(), RunKey("demo-0"), JobSettings("image:1"))
    made["metadata"] |= {"uid": "job-uid", "creationTimestamp": "2026-01-01T00:00:00Z"}
    made["status"] = {
        "conditions": [
            {
                "type": "Failed",
                "status": "True",
                "reason": "BackoffLimitExceeded",
                "message": "no",
                "lastTransitionTime": "2026-01-01T00:00:30Z",
            }
        ]
    }
    return made


PODS = [
    _pod("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}),
    _pod("Running", RUNNING),
    _pod("Running", ENDED),
    _pod("Failed", ENDED),
]


def pod(given: Any) -> None:
    """Whatever a pod and its Job say, it is one of the states, and a decision can be made."""
    job, one = given
    of, now = b.study(), b.at(60)
    for facts in (observe(job, [one], now), observe_without_job([one], now)):
        if facts is None:
            continue
        assert isinstance(facts.state, RunState)
        word = last_word(termination_message(one), frozenset({"accuracy"}))
        report = RunReport.empty(of.spec)
        report.close(word)
        trial = b.trial(runs=[b.run()], state="Running")
        decide(Snapshot(of, [trial], [facts], {facts.pod_uid or "": report}, now))


class _Stream:
    """A log as the API server sends it, in pieces of any size."""

    def __init__(self, data: bytes, sizes: list[int]):
        self._data, self._sizes = data, sizes

    def read1(self, amount: int) -> bytes:
        size = min(amount, self._sizes.pop() if self._sizes else amount)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


LINES = [
    b'{"accuracy": 0.5, "step": 3, "seq": 1}',
    b"{'eval_accuracy': '0.8031', 'epoch': 1.0}",
    b"accuracy=0.5 step=3 epoch=1/10",
    b"  accuracy        = 1,234.5",
    b"\rEpoch 1: 50%|#####     | 1/2 [00:01<00:01, accuracy=0.5]",
    b"accuracy: tensor(0.93, device='cuda:0') np.float64(0.1)",
]
PIECES = (
    st.sampled_from(LINES)
    | st.binary(max_size=60)
    | st.sampled_from(
        [b"\n", b"\r", b"=", b": ", b"accuracy", b"0" * 500, b"{" * 300, b"\xff\xfe", b"," * 100]
    )
)
LOGS = st.tuples(
    st.lists(st.tuples(st.integers(0, 3), PIECES), max_size=30),
    st.lists(st.integers(1, 200), max_size=30),
    st.sampled_from([None, r"accuracy\W+(?P<value>\S+)", r"(?P<name>\w+)=(?P<value>\S+)"]),
)


def log(given: Any) -> None:
    """Whatever a program prints, its log is read to the end, and its report stays bounded."""
    pieces, sizes, regex = given
    source = {"type": "Logs", "formats": ["Regex"], "regex": regex}
    of = b.study(metrics=[source]) if regex else b.study()
    data = b""
    for i, (ends, piece) in enumerate(pieces):
        stamp = f"2026-01-01T00:00:{i // 4:02d}.{i % 4}Z ".encode()
        data += stamp + piece + b"\n" * (ends > 0)
    read = PodLog(("team", "demo"), LineReader(of.spec), RunReport.empty(of.spec), 1.0)
    stream: Any = _Stream(data, list(sizes))
    for lines, _ in batches(stream):
        read.take(lines)
    assert len(read.report.metrics) <= 65
    text = KeptLog("pod-uid", *read.so_far()).text()
    assert KeptLog.read(text, "pod-uid", of.spec) is not None


def kept(given: Any) -> None:
    """Whatever stands in the annotations of a Job, it is read or is as good as not there."""
    packed, text, value = given
    of = b.study()
    body = json.dumps(value).encode()
    if packed:
        text = base64.b64encode(zlib.compress(body)).decode()
    for found in (KeptLog.read(text, "pod-uid", of.spec), Pushed.read(text)):
        if found is not None and isinstance(found, KeptLog):
            found.report.add(_observation())
            decide(_with_report(of, found.report))
    pushed = Pushed.read(body.decode())
    if pushed is not None:
        pushed.by("another").text()


def _observation() -> Any:
    observation = LineReader(b.study().spec).read('{"accuracy": 0.5}')
    assert observation is not None
    return observation


def _with_report(of: Any, report: RunReport) -> Snapshot:
    facts = b.facts(0, RunState.RUNNING)
    trial = b.trial(runs=[b.run()], state="Running")
    return Snapshot(of, [trial], [facts], {facts.pod_uid or "": report}, b.at(60))


def _kept_values() -> list[Any]:
    report = RunReport.empty(b.study().spec)
    report.add(_observation())
    packed = KeptLog("pod-uid", Cursor(5, 1, 10), report).text()
    return [
        json.loads(zlib.decompress(base64.b64decode(packed))),
        json.loads(Pushed.nothing(b.study().spec).text()),
    ]


def post(given: Any) -> None:
    """Whatever is posted, it is taken or refused, and what is kept stays bounded."""
    pushed = Pushed.nothing(b.study().spec).by("pod-uid")
    for body in given:
        read = push.read_post(body if isinstance(body, bytes) else json.dumps(body).encode())
        if read is not None:
            push.take(pushed, read)
    text = pushed.text()
    assert len(text) < 128 * 1024
    assert Pushed.read(text) is not None


POST = {
    "trainerStatus": {
        "progressPercentage": 40,
        "metrics": [{"name": "accuracy", "value": "0.5"}, {"name": "epoch", "value": "1"}],
    }
}
SERIES = [
    {
        "metric": {"__name__": "kubestudy_trial_metric", "metric": "accuracy", "pod": "p"},
        "values": [[1.0, "0.5"], [6.0, "0.6"]],
    },
    {
        "metric": {"__name__": "kubestudy_trial_metric_step", "metric": "accuracy"},
        "values": [[1.0, "1"], [6.0, "2"]],
    },
]


def prometheus(given: Any) -> None:
    """Whatever a Prometheus answers, its samples are read or passed over."""
    of = b.study(metrics=[{"type": "Prometheus"}])
    reader, report = SeriesReader(of.spec), RunReport.empty(of.spec)
    for answer in given:
        body = json.dumps({"data": {"result": answer if isinstance(answer, list) else [answer]}})
        pieces = JsonCutter("result").feed(body.encode(errors="replace"))
        series = [s for piece in pieces if (s := series_of(piece)) is not None and reader.takes(s)]
        for observation in reader.read(series):
            report.add(observation)
    assert len(report.metrics) <= 65
    assert reader.hint is None or len(reader.hint) < 10_000


def yaml(text: str) -> None:
    """Whatever a file holds, it is JSON data or refused with a line."""
    text = text.encode(errors="replace").decode()  # A file is read as UTF-8.
    try:
        manifests.load_all(text)
    except manifests.ManifestError as error:
        assert str(error)


def _yaml_pieces() -> Iterator[str]:
    yield from ("a: ", "- ", "&a ", "*a", "<<: ", "? ", "! ", "!!int ", "|\n", "{", "}", "[", "]")
    yield from ("\n", "\n  ", "\t", "'", '"', "#", "1e5", ".inf", "010", "y", "~", ",", ": ", "%")


TARGETS: dict[str, Target] = {
    "study": Target(mutated(_documents()), study),
    "pod": Target(st.tuples(of_the_same_type([_job()]), of_the_same_type(PODS)), pod),
    "log": Target(LOGS, log),
    "kept": Target(st.tuples(st.booleans(), TEXTS, mutated(_kept_values())), kept),
    "post": Target(st.lists(mutated([POST]) | st.binary(max_size=200), max_size=4), post),
    "prometheus": Target(st.lists(mutated([SERIES]) | VALUES, max_size=3), prometheus),
    "yaml": Target(
        st.lists(st.sampled_from(list(_yaml_pieces())) | TEXTS, max_size=30).map("".join), yaml
    ),
}
