"""What trials have pushed, read from their Jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kubestudy.api.base import ANNOTATION_PUSHED, LABEL_RUN, LABEL_STUDY
from kubestudy.core.pushed import Pushed
from kubestudy.core.reports import LastWord, RunReport
from kubestudy.runtime.cache import Cache, Key, key_of
from kubestudy.runtime.client import JOBS, ApiError, KubeClient, Object
from kubestudy.runtime.push_inbox import STORE_EVERY
from kubestudy.sources.termination import last_word
from kubestudy.workloads.pod import main_container, pod_ended, termination_message

LATE = STORE_EVERY + 5
"""How long a last post is waited for that should have come before the end, in seconds: longer than
the endpoint may hold one that it has taken."""


class PushedReports:
    """Reads what the endpoint has stored.

    Args:
        client: The API server, which is asked for the Job once its pod has ended: the watch of the
            Jobs may be behind that of the pods.
        jobs: The Jobs, by key.
        pods: The trials' pods, by key.
        wanted: Whether a pod's trial still waits for what it has pushed.
        news: Told the Study's key when there may be more.
    """

    def __init__(
        self,
        client: KubeClient,
        jobs: Cache[Object],
        pods: Cache[Object],
        wanted: Callable[[Object], bool],
        news: Callable[[Key, float], None],
    ):
        self._client, self._jobs, self._pods = client, jobs, pods
        self._wanted, self._news = wanted, news
        self._keys: dict[str, Key] = {}
        self._seen: dict[str, Pushed] = {}
        self._ended: dict[str, float] = {}
        self._closed: dict[str, RunReport] = {}

    def start(self) -> None:
        """There is nothing to begin: a Job that changes is news already."""

    def stop(self) -> None:
        """There is nothing to end."""

    def pod_changed(self, pod: Object) -> None:
        """Takes note of a pod."""
        if self._wanted(pod) and self._pods.get(key_of(pod)) is not None:
            self._keys[pod["metadata"]["uid"]] = key_of(pod)

    def report(self, pod_uid: str) -> RunReport | None:
        """What a pod has pushed so far; None where there is nothing of it.

        Raises:
            ApiError: It has ended, and what it has pushed cannot be read.
        """
        if pod_uid in self._closed:
            return self._closed[pod_uid]
        pod = self._pods.get(self._keys.get(pod_uid, ("", "")))
        if pod is None or pod["metadata"]["uid"] != pod_uid or not self._wanted(pod):
            return None
        key = (
            pod["metadata"]["namespace"],
            (pod["metadata"].get("labels") or {}).get(LABEL_RUN, ""),
        )
        if not pod_ended(pod):
            pushed = _pushed(self._jobs.get(key), pod_uid)
            if pushed is None:
                return None
            self._seen[pod_uid] = pushed
            return pushed.report
        job = self._job(key)
        pushed = _pushed(job, pod_uid) or self._seen.get(pod_uid)
        if pushed is None and job is None:
            problem = "its Job was deleted, and what it had pushed with it"
            return RunReport(complete=True, problem=problem)
        return self._last(pod, pushed)

    def forget(self, pod_uid: str) -> None:
        """Lets go of what a pod has pushed: it is stored now."""
        for known in (self._keys, self._seen, self._ended, self._closed):
            known.pop(pod_uid, None)

    def _job(self, key: Key) -> Object | None:
        """A Job as it is now; None where it is gone, as one that somebody has deleted."""
        try:
            return self._client.get(JOBS, *key)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def _last(self, pod: Object, pushed: Pushed | None) -> RunReport:
        """What a pod that has ended has pushed, complete once nothing more can come."""
        uid = pod["metadata"]["uid"]
        report = pushed.report if pushed else RunReport(hint="nothing was pushed")
        terminated = (main_container(pod).get("state") or {}).get("terminated") or {}
        unfinished = terminated.get("exitCode") == 0 and not (pushed and pushed.final)
        left = self._ended.setdefault(uid, time.monotonic()) + LATE - time.monotonic()
        if unfinished and left > 0:
            study = (pod["metadata"].get("annotations") or {}).get(LABEL_STUDY, "")
            self._news((pod["metadata"]["namespace"], study), left)
            return report
        word = last_word(termination_message(pod))
        # What became of the trial it says itself; its values are what it has pushed.
        report.close(replace(word, metrics={}, seq=None) if word else LastWord({}))
        report.cut_off = unfinished
        self._closed[uid] = report
        return report


def _pushed(job: Object | None, pod_uid: str) -> Pushed | None:
    annotations = (job or {}).get("metadata", {}).get("annotations") or {}
    pushed = Pushed.read(annotations.get(ANNOTATION_PUSHED))
    return pushed if pushed and pushed.pod == pod_uid else None
