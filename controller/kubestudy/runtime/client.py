"""The API server, spoken to in plain JSON.

The official client brings kubeconfig, credentials that renew themselves, TLS and proxies. Its
typed models are left out: a list of a thousand objects is read about ten times as fast as JSON,
and the objects of a custom resource have no model there anyway.
"""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from kubestudy.api.base import GROUP, VERSION
from kubestudy.runtime.clock import ServerClock
from kubestudy.runtime.json_cutter import JsonCutter, Piece
from kubestudy.runtime.objects import Key
from kubestudy.runtime.objects import Object as Object
from kubestudy.sources.terminal import drawn_last

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
# What a server asks us to wait is granted up to here.
LONGEST_RETRY_AFTER = 30.0
# API servers send a bookmark about once a minute; a watch that is silent for longer is dead.
WATCH_SILENCE = 90.0
FIELD_MANAGER = "kubestudy"
# Streams that are open at once, one for each log that is followed, and some beside them.
CONNECTIONS = 192
# The reason of an error: nothing has come for longer than was waited for.
SILENT = "Silent"

# Of a whole answer; lists that may be longer are read by ``listing``.
LARGEST_ANSWER = 64 << 20
# Of a list's objects, those that are asked for at once: the server holds a page as a whole.
PAGE = 100

# Within so many bytes ends the timestamp of a line of a log.
STAMP = 64


class Shortened(bytes):
    """A line before or in which something was left out.

    Attributes:
        left_out: How many bytes.
    """

    left_out: int

    @classmethod
    def by(cls, line: bytes, left_out: int) -> Self:
        """The line, with the number of bytes that are missing there."""
        shortened = cls(line)
        shortened.left_out = left_out
        return shortened


Batch = tuple[list[bytes], bool]
"""Lines, and whether the last one is whole."""


@dataclass(frozen=True)
class Resource:
    """A kind of object, as the API server's paths name it."""

    group: str
    version: str
    plural: str

    def path(
        self, namespace: str | None = None, name: str | None = None, sub: str | None = None
    ) -> str:
        """The path of a collection, an object or a part of one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(p, safe="") for p in (name, sub) if p is not None]
        return "/".join(parts)


STUDIES = Resource(GROUP, VERSION, "studies")
TRIALS = Resource(GROUP, VERSION, "trials")
JOBS = Resource("batch", "v1", "jobs")
PODS = Resource("", "v1", "pods")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
EVENTS = Resource("events.k8s.io", "v1", "events")


class ApiError(Exception):
    """The API server, or the way to it, refused a request.

    Attributes:
        status: The HTTP status; 0 where there was no answer.
        reason: Kubernetes' word for it, such as ``AlreadyExists`` or ``Conflict``.
        message: For a person.
        retry_after: Seconds that the server asks to wait, None where it does not.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message
        self.retry_after = retry_after


class KubeClient:
    """A connection to one API server, safe to share between threads.

    Args:
        configuration: Where it is and how to prove who we are.
        namespace: The namespace of requests that name none.

    Attributes:
        clock: The API server's.
    """

    def __init__(self, configuration: Configuration, namespace: str = "default"):
        configuration.connection_pool_maxsize = CONNECTIONS
        self._configuration = configuration
        self._pool = ApiClient(configuration).rest_client.pool_manager
        self.namespace = namespace
        self.clock = ServerClock()
        self._read_timeout = READ_TIMEOUT
        self.on_answer: Callable[[str, str, int], None] | None = None
        self._may_write: Callable[[], bool] | None = None

    @classmethod
    def connect(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """Connects as kubectl does: by the kubeconfig, or from inside a pod.

        Args:
            kubeconfig: Path of the file; ``$KUBECONFIG`` or ``~/.kube/config`` where None.
            context: Its context to use; the current one where None.

        Raises:
            kubernetes.config.ConfigException: There is no usable configuration.
        """
        configuration = Configuration()
        if kubeconfig is None and context is None:
            with contextlib.suppress(config.ConfigException):
                config.load_incluster_config(client_configuration=configuration)
                return cls(configuration, _pod_namespace())
        config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=configuration
        )
        return cls(configuration, _context_namespace(kubeconfig, context))

    def fenced(self, may_write: Callable[[], bool]) -> Self:
        """The same connection, which writes only while it may: asked before each request."""
        fenced = copy.copy(self)
        fenced._may_write = may_write
        return fenced

    def hasty(self, read_timeout: float) -> Self:
        """The same connection, which waits no longer than this many seconds for an answer."""
        hasty = copy.copy(self)
        hasty._read_timeout = read_timeout
        return hasty

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Reads one object."""
        return self._json("GET", resource.path(namespace, name))

    def list(
        self, resource: Resource, namespace: str | None = None, **query: str | int | None
    ) -> Object:
        """Reads a collection; a namespace of None means all of them.

        Args:
            resource: The kind.
            namespace: Where.
            query: Such as ``labelSelector``, ``limit`` and ``resourceVersion``.
        """
        return self._json("GET", resource.path(namespace), query=query)

    def listing(
        self,
        resource: Resource,
        namespace: str | None = None,
        page: int = PAGE,
        **query: str | None,
    ) -> Listing:
        """Reads a collection of any size, an object at a time.

        Args:
            resource: The kind.
            namespace: Where; None for everywhere.
            page: How many objects a request asks for.
            query: Such as ``labelSelector``.
        """
        return Listing(self, resource.path(namespace), {**query, "limit": page})

    def create(self, resource: Resource, body: Object) -> Object:
        """Creates an object."""
        namespace = body["metadata"].get("namespace") or self.namespace
        query = {"fieldManager": FIELD_MANAGER}
        return self._json("POST", resource.path(namespace), query=query, body=body)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        sub: str | None = None,
        content_type: str = MERGE,
    ) -> Object:
        """Changes an object by a merge patch, or by server-side apply (``APPLY``)."""
        query: dict[str, Any] = {"fieldManager": FIELD_MANAGER}
        if content_type == APPLY:
            query["force"] = "true"
        path = resource.path(namespace, name, sub)
        return self._json("PATCH", path, query=query, body=body, content_type=content_type)

    def apply_unread(
        self, resource: Resource, key: Key, body: Object, sub: str, manager: str
    ) -> None:
        """Applies a part of an object, whose answer is not read: it may be one that cannot be.

        Args:
            resource: Its kind.
            key: Its namespace and name.
            body: The part.
            sub: The subresource.
            manager: The field manager, whose this part is from now on.
        """
        query = {"fieldManager": manager, "force": "true"}
        path = resource.path(*key, sub)
        self._send("PATCH", path, query=query, body=body, content_type=APPLY).close()

    def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Writes a whole object; fails with Conflict if it has changed since it was read."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._json("PUT", resource.path(namespace, name), query=query, body=body)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        propagation: str = "Background",
        uid: str | None = None,
    ) -> None:
        """Deletes an object and what belongs to it; one that is gone already is no error."""
        body: Object = {"propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", resource.path(namespace, name), body=body)
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(
        self,
        resource: Resource,
        namespace: str | None,
        resource_version: str,
        timeout: int = 300,
        **query: str | int | None,
    ) -> Iterator[Object]:
        """Yields changes since a resource version, until the server ends the watch.

        Args:
            resource: The kind.
            namespace: Where; None for everywhere.
            resource_version: Of the list or event before.
            timeout: Seconds after which the server ends it.
            query: Such as ``labelSelector``.
        """
        events = self.watch_unread(resource, namespace, resource_version, timeout, **query)
        with contextlib.closing(events):
            for event in events:
                yield json.loads(event.raw)

    def watch_unread(
        self,
        resource: Resource,
        namespace: str | None,
        resource_version: str,
        timeout: int = 300,
        **query: str | int | None,
    ) -> Generator[Piece, None, None]:
        """Yields what ``watch`` does, each event as it came."""
        query |= {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": timeout,
        }
        response = self.open(resource.path(namespace), query=query, read_timeout=WATCH_SILENCE)
        with contextlib.closing(response):
            yield from pieces(response, JsonCutter())

    def logs(
        self,
        namespace: str,
        pod: str,
        *,
        follow: bool = False,
        read_timeout: float = READ_TIMEOUT,
        **query: str | int | None,
    ) -> Iterator[bytes]:
        """Yields the lines of a pod's log, without their ends.

        The last one may be cut, where the log or the way to it has ended within a line.

        Args:
            namespace: The pod's.
            pod: Its name.
            follow: Whether to go on until the container ends.
            read_timeout: Seconds of silence after which reading fails.
            query: Such as ``container``, ``sinceTime``, ``tailLines`` and ``timestamps``.
        """
        with contextlib.closing(
            self.log_batches(namespace, pod, follow=follow, read_timeout=read_timeout, **query)
        ) as stream:
            for batch, _ in stream:
                yield from batch

    def log_batches(
        self,
        namespace: str,
        pod: str,
        *,
        follow: bool,
        read_timeout: float,
        **query: str | int | None,
    ) -> Generator[Batch, None, None]:
        """Yields what ``logs`` does, the lines that arrived together at once."""
        if follow:
            query["follow"] = "true"
        path = PODS.path(namespace, pod, "log")
        response = self.open(path, query=query, read_timeout=read_timeout)
        with contextlib.closing(response):
            yield from batches(response)

    def open(
        self, path: str, *, query: Mapping[str, Any] | None = None, read_timeout: float
    ) -> urllib3.BaseHTTPResponse:
        """Opens a stream.

        Raises:
            ApiError: There was no answer, or a bad one.
        """
        return self._send("GET", path, query=query, read_timeout=read_timeout)

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        response = self._send(method, path, query=query, body=body, content_type=content_type)
        try:
            with contextlib.closing(response):
                text = response.read(LARGEST_ANSWER + 1)
            if len(text) > LARGEST_ANSWER:
                raise ValueError(f"it is more than {LARGEST_ANSWER >> 20} MiB")
            result: Object = json.loads(text)
        except (ValueError, RecursionError, urllib3.exceptions.HTTPError) as error:
            raise ApiError(0, "BadAnswer", f"{method} {path}: {error}") from error
        return result

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        read_timeout: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        headers = {
            "Accept": "application/json",
            "Content-Type": content_type,
            "User-Agent": "kubestudy",
        }
        credentials: Any = self._configuration.auth_settings()
        for credential in credentials.values():
            headers[credential["key"]] = credential["value"]
        if method != "GET" and self._may_write is not None and not self._may_write():
            raise ApiError(0, "NotLeading", f"{method} {path}: the lease may be another's by now")
        given = {k: v for k, v in (query or {}).items() if v is not None}
        url = f"{self._configuration.host}{path}"
        patience = self._read_timeout if read_timeout is None else read_timeout
        asked = time.monotonic()
        try:
            response = self._pool.request(
                method,
                f"{url}?{urlencode(given)}" if given else url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                preload_content=False,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=patience),
            )
            self.clock.heard(response.headers.get("Date"), asked, time.monotonic())
            if self.on_answer is not None:
                self.on_answer(method, path, response.status)
            if response.status >= 400:
                raise _api_error(response)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {error}") from error
        return response


class Listing:
    """A collection, read while it is iterated over.

    Attributes:
        version: Its resource version, once it has been read to its end.
    """

    def __init__(self, client: KubeClient, path: str, query: Mapping[str, Any]):
        self._client, self._path, self._query = client, path, query
        self.version = ""

    def __iter__(self) -> Iterator[Piece]:
        """Yields the objects, unread.

        Raises:
            ApiError: It cannot be read; with status 410 it took so long that a next page is not to
                be had any more.
        """
        token: str | None = None
        while True:
            query = {**self._query, "continue": token}
            response = self._client.open(self._path, query=query, read_timeout=READ_TIMEOUT)
            cutter = JsonCutter("items")
            with contextlib.closing(response):
                yield from pieces(response, cutter)
            try:
                metadata = json.loads(cutter.frame)["metadata"]
                token, self.version = metadata.get("continue"), str(metadata["resourceVersion"])
                int(self.version)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise ApiError(0, "BadAnswer", f"GET {self._path}: {error!r}") from error
            if not token:
                return


def pieces(response: urllib3.BaseHTTPResponse, cutter: JsonCutter) -> Generator[Piece, None, None]:
    """Cuts a stream of JSON into objects as they arrive.

    Raises:
        ApiError: The stream broke, was silent for too long (``SILENT``), or is no JSON.
    """
    try:
        # read1 gives what has arrived; read would wait for a whole buffer.
        while chunk := response.read1(1 << 16):
            yield from cutter.feed(chunk)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise ApiError(0, SILENT, str(error)) from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ApiError(0, "StreamBroken", str(error)) from error


def batches(
    response: urllib3.BaseHTTPResponse, longest: int = 1 << 20
) -> Generator[Batch, None, None]:
    """Splits a stream into lines, those that arrived together at once.

    Of a line beyond the longest, which a progress bar draws anew by carriage returns, only the
    timestamp and what was drawn last are kept; another one is cut there. Each batch comes with
    whether its last line is whole: that of the stream's end need not be.

    Raises:
        ApiError: The stream broke, or was silent for too long (``SILENT``).
    """
    rest = b""
    left_out = 0  # of the unfinished line, or before it
    skipping = False
    try:
        # read1 gives what has arrived; read would wait for a whole buffer.
        while chunk := response.read1(1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            if skipping and whole:
                left_out += len(whole.pop(0))
                skipping = False
            if whole and left_out:
                whole[0], left_out = Shortened.by(whole[0], left_out), 0
            if len(rest) > longest:
                kept = b"" if skipping else _shortened(rest)
                if len(kept) > longest:
                    whole.append(rest[:longest])
                    skipping, kept = True, b""
                    left_out = len(rest) - longest
                else:
                    left_out += len(rest) - len(kept)
                rest = kept
            if whole:
                yield whole, True
    except urllib3.exceptions.ReadTimeoutError as error:
        raise ApiError(0, SILENT, str(error)) from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise ApiError(0, "StreamBroken", str(error)) from error
    if rest and not skipping:
        yield [Shortened.by(rest, left_out) if left_out else rest], False


def _shortened(line: bytes) -> bytes:
    """An unfinished line without what a progress bar has drawn over."""
    drawn = drawn_last(line)
    return line[: line.find(b" ", 0, STAMP) + 1] + drawn if drawn else line


def _api_error(response: urllib3.BaseHTTPResponse) -> ApiError:
    text = response.data.decode(errors="replace")
    reason, message = response.reason or "", text.strip()
    with contextlib.suppress(ValueError, AttributeError):
        status = json.loads(text)
        reason, message = status.get("reason", reason), status.get("message", message)
    told = response.headers.get("Retry-After", "")
    after = min(float(told), LONGEST_RETRY_AFTER) if told.isdigit() else None
    return ApiError(response.status, reason, message, after)


def _pod_namespace() -> str:
    from pathlib import Path

    path = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return path.read_text().strip() if path.exists() else "default"


def _context_namespace(kubeconfig: str | None, context: str | None) -> str:
    contexts, active = config.list_kube_config_contexts(config_file=kubeconfig)
    chosen = next((c for c in contexts if c["name"] == context), active)
    namespace: str = chosen["context"].get("namespace") or "default"
    return namespace
