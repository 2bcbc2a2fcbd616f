"""What the logs of running pods have said so far, kept on their Jobs.

What was read of a log is in the memory of this process until it is stored on the Trial, and a
kubelet gives out the newest file of a log only. So that a restart loses nothing of the older ones,
a log that is long enough for that is kept: its report, and the place up to where it was read.

A log that is never that long, which most are, costs no write, and one in which nothing new was
reported costs no other.

Who may edit Jobs may edit this text where the policies do not prevent it; who may do that may also
let a pod print what they like. So it is worth no more than that: it is believed of the very pod
that it is of, for the metrics of its Study, within the bounds of what a log can have said, and is
as good as not there otherwise.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from kubestudy.api.base import ANNOTATION_LOG, LABEL_RUN
from kubestudy.api.study import StudySpec
from kubestudy.core.reports import RunReport
from kubestudy.runtime.cache import Cache, Key
from kubestudy.runtime.client import JOBS, ApiError, KubeClient, Object
from kubestudy.runtime.pod_log import Cursor, PodLog
from kubestudy.workloads.job import controller_of

log = logging.getLogger(__name__)

MUCH = 1 << 20
"""Bytes of a log that may be unkept; kubelets rotate at 10 MiB, unless they are told otherwise."""
LOOK_EVERY = 1.0
KEEP_EVERY = 15.0
"""Seconds between two writes of one pod."""
PATIENCE = 4.0
"""Seconds to wait for an answer, and for what is left to be kept when this process ends."""
LONGEST = 112 * 1024
"""Characters of a text. The annotations of a Job have 256 KiB, and what it pushes has its share."""
LARGEST = 1 << 20
"""Bytes that a text may stand for."""


@dataclass
class KeptLog:
    """How far the log of a pod was read, and what it had reported up to there.

    Attributes:
        pod: UID of the pod.
        cursor: The place.
        report: What was reported.
    """

    pod: str
    cursor: Cursor
    report: RunReport

    def text(self) -> str:
        """The same as text: packed, since the course of each of many folds is long."""
        data = json.dumps(_ADAPTER.dump_python(self, mode="json", exclude_defaults=True))
        return base64.b64encode(zlib.compress(data.encode())).decode()

    @classmethod
    def read(cls, text: str, pod: str, spec: StudySpec) -> KeptLog | None:
        """What a text says of a pod of a Study; None where it says nothing of it."""
        if len(text) > LONGEST:
            return None
        try:
            packed = base64.b64decode(text, validate=True)
            kept = _ADAPTER.validate_json(zlib.decompressobj().decompress(packed, LARGEST))
        except (ValueError, zlib.error):
            return None
        if kept.pod != pod or not kept.cursor.sound or not kept.report.fits(RunReport.empty(spec)):
            return None
        kept.report.complete = False  # Its end is read again, and so is the termination message.
        return kept


_ADAPTER = TypeAdapter(KeptLog)


class LogKeeper:
    """Keeps what logs have said, and finds it again after a restart.

    Args:
        client: The API server.
        jobs: The Jobs, by key.
        pods: The trials' pods, by key.
        unstored: Whether what becomes of a pod's run is not stored on its Trial yet.
    """

    def __init__(
        self,
        client: KubeClient,
        jobs: Cache[Object],
        pods: Cache[Object],
        unstored: Callable[[Object], bool],
    ):
        self._client, self._jobs, self._pods, self._unstored = client, jobs, pods, unstored
        self._logs: Mapping[str, PodLog] = {}
        self._stopping = threading.Event()
        # Alone, so that no text overtakes another one.
        self._thread = threading.Thread(target=self._work, name="kept-logs", daemon=True)

    def start(self, logs: Mapping[str, PodLog]) -> None:
        """Begins to keep.

        Args:
            logs: Those that are read, by the UID of their pod.
        """
        self._logs = logs
        self._thread.start()

    def stop(self) -> None:
        """Keeps what it has of long logs, as far as it can be done at once, and ends."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def find(self, pod: Object, spec: StudySpec) -> KeptLog | None:
        """What was kept of a pod's log; None where nothing was.

        Raises:
            ApiError: There is something, and it cannot be read now.
        """
        job = self._jobs.get(_job_key(pod))
        if job is None or ANNOTATION_LOG not in _annotations(job):
            return None
        # Long texts of many Jobs, each of which is wanted once, are not held in memory.
        text = _annotations(self._client.get(JOBS, *_job_key(pod))).get(ANNOTATION_LOG, "")
        return KeptLog.read(text, pod["metadata"]["uid"], spec)

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            self._keep_all()
        self._keep_all(at_end=True)

    def _keep_all(self, at_end: bool = False) -> None:
        for pod in self._pods.values():
            pod_log = self._logs.get(pod["metadata"]["uid"])
            try:
                if pod_log is not None and _is_due(pod_log, at_end) and self._unstored(pod):
                    self._keep(pod, pod_log)
            except ApiError as error:
                # A Conflict or NotFound only says that the Job is gone.
                level = logging.INFO if error.status in (404, 409) else logging.WARNING
                log.log(level, "the log of %s/%s is not kept: %s", *_job_key(pod), error)
                if error.status == 0:
                    return  # The others would not get through either.
            except Exception:
                log.exception("keeping the log of %s/%s failed", *_job_key(pod))

    def _keep(self, pod: Object, pod_log: PodLog) -> None:
        """Keeps what a log has said up to now.

        Raises:
            ApiError: It is not kept, and is tried again later.
        """
        pod_log.keep_after = time.monotonic() + KEEP_EVERY
        pod_log.news = False
        kept = KeptLog(pod["metadata"]["uid"], *pod_log.so_far())
        text = kept.text()
        if len(text) > LONGEST:
            log.warning(
                "what %s/%s has reported is too much to be kept over a restart: %d bytes",
                *_job_key(pod),
                len(text),
            )
        else:
            owner = controller_of(pod) or {}
            body = {"metadata": {"uid": owner["uid"], "annotations": {ANNOTATION_LOG: text}}}
            try:
                self._client.hasty(PATIENCE).patch(JOBS, *_job_key(pod), body)
            except ApiError:
                pod_log.news = True
                raise
        pod_log.kept = kept.cursor.size


def _is_due(pod_log: PodLog, at_end: bool) -> bool:
    """Whether a log has something new to be kept, and is long enough for that."""
    if not pod_log.news:
        return False
    if at_end:
        return pod_log.cursor.size >= MUCH
    return pod_log.cursor.size - pod_log.kept >= MUCH and time.monotonic() >= pod_log.keep_after


def _annotations(job: Object) -> dict[str, str]:
    return job["metadata"].get("annotations") or {}


def _job_key(pod: Object) -> Key:
    return pod["metadata"]["namespace"], (pod["metadata"].get("labels") or {}).get(LABEL_RUN, "")
