"""Studies in a cluster, read through its API server."""

from __future__ import annotations

import contextlib
import queue
import shlex
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes.config import ConfigException

from kubestudy.api.base import LABEL_RUN, LABEL_STUDY
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.api.validation import InvalidObject, Model, read
from kubestudy.cli.errors import NOT_FOUND, CommandError, NotFound
from kubestudy.cli.source import DEFAULT_RESULTS, Told
from kubestudy.cli.tables import warn
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
from kubestudy.runtime.objects import Key, Unreadable, key_of, read_json
from kubestudy.workloads.pod import main_name

# Long lists come in pages.
_PAGE = 500
# Seconds until an API server that did not answer is asked again.
_PAUSE = 2.0

_ADVICE = {
    401: "; it does not know you: log in to it again, or name another user by --context",
    403: "; ask its administrator for the role view of this namespace, or edit to change Studies",
}

_ALL, _GONE = "ALL", "DELETED"
_Change = tuple[Resource, str, list[Object]]
_Changes = queue.SimpleQueue[_Change | Exception]


class NoCluster(CommandError):
    """Nothing says where a cluster is."""


def connected(kubeconfig: str | None, context: str | None) -> KubeClient:
    """Connects as kubectl would with the same flags.

    Raises:
        NoCluster: Nothing says, in a form that can be read, where a cluster is.
    """
    try:
        return KubeClient.connect(kubeconfig, context)
    except (ConfigException, OSError) as error:
        if kubeconfig and not Path(kubeconfig).is_file():
            raise NoCluster(f"{kubeconfig}: there is no such kubeconfig file") from error
        raise NoCluster(
            f"there is no cluster to talk to ({error}); see --context and --kubeconfig"
        ) from error
    except Exception as error:  # The library takes any file for a kubeconfig.
        raise NoCluster(
            f"the kubeconfig cannot be read ({type(error).__name__}: {error}); does"
            " `kubectl config view` show it? see --kubeconfig"
        ) from error


class Gone(CommandError):
    """The API server has no such object."""

    exit_code = NOT_FOUND


class ClusterSource:
    """The Studies of one namespace, or of all of them.

    Args:
        client: The way to the API server.
        namespace: Where to look; None for everywhere.
        flags: What to add to a command line so that it finds the same place.

    Attributes:
        beside: Names of Studies that are in the results folder here, one of which may be meant.
    """

    def __init__(self, client: KubeClient, namespace: str | None, flags: str = ""):
        self._client, self._namespace, self.flags = client, namespace, flags
        self.beside: list[str] = []

    @classmethod
    def connect(
        cls,
        kubeconfig: str | None,
        context: str | None,
        namespace: str | None,
        all_namespaces: bool,
    ) -> ClusterSource:
        """Connects as kubectl would with the same flags."""
        client = connected(kubeconfig, context)
        given = {"--kubeconfig": kubeconfig, "--context": context, "-n": namespace}
        flags = "".join(f" {k} {shlex.quote(v)}" for k, v in given.items() if v)
        return cls(client, None if all_namespaces else namespace or client.namespace, flags)

    def where(self, study: Study) -> str:
        """The Study's namespace."""
        return f"namespace {study.metadata.namespace}"

    def studies(self) -> list[Study]:
        """All Studies."""
        found: list[Study] = []
        odd: list[tuple[Key, CommandError]] = []
        for obj in self._list(STUDIES):
            try:
                found.append(_study(obj))
            except CommandError as error:
                odd.append((key_of(obj), error))
        if odd and not found:
            raise odd[0][1]
        for key, why in odd:  # one odd Study hides none of the others
            _left_out(key, why)
        return found

    def study(self, name: str) -> Study:
        """One Study."""
        namespace = self._namespace or self._client.namespace
        try:
            with _answered():
                return _study(self._client.get(STUDIES, namespace, name))
        except Gone:
            known: list[str] = []
            with contextlib.suppress(CommandError):  # Who may get one may not list all.
                known = [o["metadata"]["name"] for o in self._list(STUDIES, namespace)]
            here = f" or {DEFAULT_RESULTS}/" if self.beside else ""
            where = f"namespace {namespace}{here}"
            raise NotFound(name, where, [*known, *self.beside]) from None
        except CommandError as error:
            missing = NotFound(name, f"{DEFAULT_RESULTS}/", self.beside)
            raise missing if missing.closest else error from None

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
        with _answered():
            for piece in self._client.listing(
                resource, namespace or self._namespace, _PAGE, **query
            ):
                try:
                    items.append(read_json(piece))
                except Unreadable as error:
                    _left_out(error.identity.key if error.identity else None, error)
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


def _left_out(key: Key | None, error: Exception) -> None:
    name = "/".join(key) if key else "an object"
    warn(f"{name} is left out: {error}")


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
    return _understood(Study, data)


def _trial(data: Object) -> Trial:
    return _understood(Trial, data)


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


def _understood(model: type[Model], data: Object) -> Model:
    try:
        return read(model, data)
    except InvalidObject as error:
        raise CommandError(
            f"the {model.__name__} {(data.get('metadata') or {}).get('name')} was written by"
            f" another version of kubestudy, or by hand: {error.errors[0]}; use the command line of"
            " the version that the cluster has"
        ) from error


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Words what the API server, or the way to it, refuses."""
    try:
        yield
    except ApiError as error:
        if error.status == 404 and error.reason == "NotFound" and "not found" in error.message:
            raise Gone(error.message) from error
        if error.status == 404:
            raise CommandError(
                "this cluster does not know Studies; install kubestudy in it first, or name another"
                " one by --context"
            ) from error
        if error.status == 0:
            raise CommandError(
                f"the cluster does not answer: {error.message}; is it the right one, and up? see"
                " `kubectl cluster-info`, --context and --kubeconfig"
            ) from error
        advice = _ADVICE.get(error.status, "")
        if error.status >= 500:
            advice = f"; it has a trouble of its own (status {error.status}), so try again"
        raise CommandError(f"the cluster refused: {error.message}{advice}") from error
