"""Studies in a cluster, read through its API server."""

from __future__ import annotations

import contextlib
import queue
import shlex
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from kubernetes.config import ConfigException
from pydantic import ValidationError

from kubestudy.api.base import LABEL_RUN, LABEL_STUDY
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.cli.errors import CommandError, NotFound
from kubestudy.cli.source import Told
from kubestudy.core.facts import RunKey
from kubestudy.core.names import job_name, label_value
from kubestudy.local.engine import Moment
from kubestudy.runtime.client import (
    EVENTS,
    PODS,
    STUDIES,
    TRIALS,
    ApiError,
    KubeClient,
    Object,
    Resource,
)
from kubestudy.workloads.pod import main_name

# Long lists come in pages.
_PAGE = 500
# Seconds until an API server that did not answer is asked again.
_PAUSE = 2.0

_ALL, _GONE = "ALL", "DELETED"
_Change = tuple[Resource, str, list[Object]]
_Changes = queue.SimpleQueue[_Change | Exception]


class ClusterSource:
    """The Studies of one namespace, or of all of them.

    Args:
        client: The way to the API server.
        namespace: Where to look; None for everywhere.
        flags: What to add to a command line so that it finds the same place.
    """

    def __init__(self, client: KubeClient, namespace: str | None, flags: str = ""):
        self._client, self._namespace, self.flags = client, namespace, flags

    @classmethod
    def connect(
        cls,
        kubeconfig: str | None,
        context: str | None,
        namespace: str | None,
        all_namespaces: bool,
    ) -> ClusterSource:
        """Connects as kubectl would with the same flags."""
        try:
            client = KubeClient.connect(kubeconfig, context)
        except (ConfigException, OSError) as error:
            raise CommandError(
                f"there is no cluster to talk to ({error}), and no folder results/ with this"
                " Study here; see --results, --context and --kubeconfig"
            ) from error
        given = {"--kubeconfig": kubeconfig, "--context": context, "-n": namespace}
        flags = "".join(f" {k} {shlex.quote(v)}" for k, v in given.items() if v)
        return cls(client, None if all_namespaces else namespace or client.namespace, flags)

    def where(self, study: Study) -> str:
        """The Study's namespace."""
        return f"namespace {study.metadata.namespace}"

    def studies(self) -> list[Study]:
        """All Studies."""
        return [_study(o) for o in self._list(STUDIES)]

    def study(self, name: str) -> Study:
        """One Study."""
        namespace = self._namespace or self._client.namespace
        try:
            with _answered():
                return _study(self._client.get(STUDIES, namespace, name))
        except NotFound:
            known = [o["metadata"]["name"] for o in self._list(STUDIES)]
            raise NotFound(name, f"namespace {namespace}", known) from None

    def trials(self, study: Study) -> list[Trial]:
        """The trials of a Study, sorted by index."""
        found = self._list(TRIALS, _namespace(study), labelSelector=_selector(study))
        return sorted((_trial(o) for o in found), key=lambda t: t.spec.index)

    def events(self, study: Study, trial: Trial | None) -> list[Told]:
        """What happened, the oldest first."""
        kind, name = ("Trial", trial.metadata.name) if trial else ("Study", study.metadata.name)
        selector = f"regarding.kind={kind},regarding.name={name}"
        told = [
            Told(_when(o), o.get("type", ""), o.get("reason", ""), o.get("note", ""))
            for o in self._list(EVENTS, _namespace(study), fieldSelector=selector)
        ]
        return sorted(told, key=lambda t: t.when)

    def logs(self, study: Study, trial: Trial, follow: bool) -> Iterator[str]:
        """The lines of a trial's last run."""
        runs = (trial.status.runs if trial.status else None) or []
        job = runs[-1].job if runs else job_name(RunKey(trial.metadata.name))
        pods = self._list(PODS, _namespace(study), labelSelector=f"{LABEL_RUN}={job}")
        if not pods:
            raise CommandError(f"the pod of {job} is gone, and its log with it")
        pod = max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]))
        with _answered():
            for line in self._lines(pod, follow):
                yield line.decode(errors="replace")

    def _lines(self, pod: Object, follow: bool) -> Iterator[bytes]:
        while True:
            try:
                yield from self._client.logs(
                    pod["metadata"]["namespace"],
                    pod["metadata"]["name"],
                    follow=follow,
                    read_timeout=3600 if follow else 30,
                    container=main_name(pod),
                )
                return
            except ApiError as error:
                if not (follow and error.status == 400 and "waiting to start" in error.message):
                    raise
                time.sleep(1)

    def follow(self, study: Study) -> Iterator[Moment]:
        """How a Study stands, whenever an object of it has changed."""
        changes: _Changes = queue.SimpleQueue()
        for resource, query in (
            (STUDIES, {"fieldSelector": f"metadata.name={study.metadata.name}"}),
            (TRIALS, {"labelSelector": _selector(study)}),
        ):
            arguments = (resource, _namespace(study), query, changes)
            threading.Thread(target=self._watch, args=arguments, daemon=True).start()
        trials: dict[str, Trial] = {}
        listed: set[Resource] = set()
        while True:
            for change in _batch(changes):
                if isinstance(change, Exception):
                    raise change
                resource, kind, items = change
                listed.add(resource)
                if resource is TRIALS:
                    if kind == _ALL:
                        trials.clear()
                    for trial in map(_trial, items):
                        trials[trial.metadata.name] = trial
                        if kind == _GONE:
                            del trials[trial.metadata.name]
                elif kind == _GONE or not items:
                    raise CommandError(f"the Study {study.metadata.name} was deleted")
                else:
                    study = _study(items[0])
            if len(listed) < 2:
                continue
            yield Moment(study, sorted(trials.values(), key=lambda t: t.spec.index))
            if study.ended:
                return

    def change(self, study: Study, patch: dict[str, Any]) -> None:
        """Changes a Study by a merge patch."""
        with _answered():
            self._client.patch(STUDIES, _namespace(study), study.metadata.name, patch)

    def delete(self, study: Study) -> None:
        """Deletes a Study; its trials and their pods go with it."""
        with _answered():
            self._client.delete(
                STUDIES, _namespace(study), study.metadata.name, uid=study.metadata.uid
            )

    def _list(self, resource: Resource, namespace: str | None = None, **query: str) -> list[Object]:
        items: list[Object] = []
        token: str | None = None
        while True:
            with _answered():
                page = self._client.list(
                    resource,
                    namespace or self._namespace,
                    limit=_PAGE,
                    **query,
                    **{"continue": token},
                )
            items += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return items

    def _watch(
        self, resource: Resource, namespace: str, query: dict[str, str], changes: _Changes
    ) -> None:
        """Tells all objects, then their changes, until this process ends."""
        try:
            while True:
                with _answered(), _patient():
                    start = self._client.list(resource, namespace, **query)
                    changes.put((resource, _ALL, start["items"]))
                    version = start["metadata"]["resourceVersion"]
                    for event in self._client.watch(
                        resource, namespace, version, timeout=300, **query
                    ):
                        if event["type"] == "ERROR":
                            break  # The version is too old: list anew.
                        if event["type"] != "BOOKMARK":
                            changes.put((resource, event["type"], [event["object"]]))
        except Exception as error:
            changes.put(error)


def _batch(changes: _Changes) -> Iterator[_Change | Exception]:
    """Waits for a change, and takes those that have come with it."""
    yield changes.get()
    with contextlib.suppress(queue.Empty):
        while True:
            yield changes.get(timeout=0.05)


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Lets pass what will pass: an API server that restarts or is busy."""
    try:
        yield
    except ApiError as error:
        if error.status in (400, 401, 403, 404):
            raise
        time.sleep(_PAUSE)


def _study(data: Object) -> Study:
    with _understood():
        return Study.model_validate(data)


def _trial(data: Object) -> Trial:
    with _understood():
        return Trial.model_validate(data)


def _namespace(study: Study) -> str:
    return study.metadata.namespace or "default"


def _selector(study: Study) -> str:
    return f"{LABEL_STUDY}={label_value(study.metadata.name)}"


def _when(event: Object) -> datetime:
    series = event.get("series") or {}
    text = (
        series.get("lastObservedTime")
        or event.get("eventTime")
        or event.get("deprecatedLastTimestamp")
        or event["metadata"].get("creationTimestamp")
    )
    return datetime.fromisoformat(text) if text else datetime.now(UTC)


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise CommandError(
            f"an object was written by another version of kubestudy ({field}: {first['msg']})"
        ) from error


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Words what the API server, or the way to it, refuses."""
    try:
        yield
    except ApiError as error:
        if error.status == 404 and error.reason == "NotFound" and "not found" in error.message:
            raise NotFound(error.message, "the cluster") from error
        if error.status == 404:
            raise CommandError(
                "this cluster does not know Studies; install kubestudy in it first"
            ) from error
        if error.status == 0:
            raise CommandError(f"the cluster does not answer: {error.message}") from error
        raise CommandError(f"the cluster refused: {error.message}") from error
