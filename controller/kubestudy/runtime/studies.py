"""The Studies that were seen, packed: as Python objects one of 256 KiB may take eight MiB.

What cannot be run, since it cannot be read or is beyond a bound, is no more here than its name and
what is wrong with it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from kubestudy.api.meta import is_true
from kubestudy.api.study import Study
from kubestudy.api.validation import parse_study
from kubestudy.runtime.cache import Bound, Cache
from kubestudy.runtime.objects import Identity, Key, Object, Shape, Unreadable, identity_of, key_of
from kubestudy.workloads.job import JOB_LABELS

LARGEST_SPEC = 256 << 10
"""Bytes of a spec as JSON."""
SHARE = 8 << 20
"""Bytes that the Studies of a namespace may have, packed: some two thousand, or thirty at worst."""
TOTAL = 48 << 20
"""Bytes that all Studies may have."""
RECENT = 2 << 20
"""Bytes of JSON of those Studies that are kept unpacked since they were wanted last."""
LONGEST_MESSAGE = 1000
OVERHEAD = 2 << 10
"""What is counted for each Study beside its packed bytes: names, summary, places in tables."""
OVER_SHARE = "OverShare"

SHAPE = Shape(
    left_out=frozenset(
        {
            ("metadata", "managedFields"),
            ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"),
        }
    ),
    limits={"spec": LARGEST_SPEC},
)

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
)


@dataclass(frozen=True)
class Summary:
    """What is told of a Study whenever Prometheus asks.

    Attributes:
        key: Its namespace and name.
        state: What it does, in one word.
        best: The best trial's value of each objective.
        gpu_seconds: What its runs have used, and what it saved; None where that is not known yet.
    """

    key: Key
    state: str
    best: tuple[tuple[str, float], ...] = ()
    gpu_seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class InvalidStudy:
    """A Study that nothing can be decided about.

    Attributes:
        identity: Which one it is.
        reason: Why, in CamelCase.
        message: The same for a person.
        said: Whether its status says just that.
        packed_size: What it would take if there were room for it; 0 where that is not the reason.
    """

    identity: Identity
    reason: str
    message: str
    said: bool = False
    packed_size: int = 0

    @property
    def summary(self) -> Summary:
        """What is told of it."""
        return Summary(self.identity.key, "Refused")


@dataclass(frozen=True, eq=False)
class PackedStudy:
    """A Study that can be read.

    Attributes:
        identity: Which one it is.
        summary: What is told of it.
        packed: All of it.
        size: How long it is unpacked.
    """

    identity: Identity
    summary: Summary
    packed: bytes
    size: int

    def unpack(self) -> Study:
        """The Study; what is wrong with it was looked for when it was packed."""
        return Study.model_validate(json.loads(zlib.decompress(self.packed)))


Held = PackedStudy | InvalidStudy


class Studies:
    """All Studies.

    Args:
        share: Bytes that those of one namespace may have, packed.
        total: Bytes that all may have.

    Attributes:
        cache: What is held of them, each in a group of its own.
    """

    def __init__(self, share: int = SHARE, total: int = TOTAL):
        bound = Bound(_size, share, total, partial(_beyond, share))
        self.cache: Cache[Held] = Cache(_pack, key_of, unreadable=_invalid, bound=bound)
        self._recent: OrderedDict[Key, tuple[PackedStudy, Study]] = OrderedDict()
        self._recent_size = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Study | InvalidStudy | None:
        """A Study, or what is wrong with it; None where there is none."""
        held = self.cache.get(key)
        if not isinstance(held, PackedStudy):
            return held
        with self._lock:
            known = self._recent.get(key)
            if known is not None and known[0] is held:
                self._recent.move_to_end(key)
                return known[1]
        study = held.unpack()
        with self._lock:
            if (old := self._recent.pop(key, None)) is not None:
                self._recent_size -= old[0].size
            self._recent[key] = (held, study)
            self._recent_size += held.size
            while self._recent_size > RECENT:
                _, (oldest, _) = self._recent.popitem(last=False)
                self._recent_size -= oldest.size
        return study

    def valid(self, key: Key) -> Study | None:
        """A Study that something can be decided about."""
        study = self.get(key)
        return study if isinstance(study, Study) else None

    def summaries(self) -> Iterable[Summary]:
        """What is told of each."""
        return [held.summary for held in self.cache.values()]

    def __len__(self) -> int:
        return len(self.cache)


def _pack(obj: Object) -> Held:
    """What is held of a Study.

    Raises:
        ValueError: It is no valid Study.
    """
    metadata = obj["metadata"]
    document = {
        **{k: v for k, v in obj.items() if k in ("apiVersion", "kind", "spec", "status")},
        "metadata": {k: metadata[k] for k in _METADATA if k in metadata},
    }
    labels = metadata.get("labels") or {}
    if kept := {k: labels[k] for k in JOB_LABELS if k in labels}:
        document["metadata"]["labels"] = kept
    spec = len(_json(document.get("spec")))
    if spec > LARGEST_SPEC:
        raise ValueError(f"spec has {spec} bytes as JSON, and at most {LARGEST_SPEC}")
    study = parse_study(document)
    text = _json(document)
    return PackedStudy(identity_of(obj), _summary(study), zlib.compress(text, 1), len(text))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _summary(study: Study) -> Summary:
    status = study.status
    best = status.best.objectives if status and status.best else ()
    used = status.gpu_seconds if status else None
    return Summary(
        (study.metadata.namespace or "", study.metadata.name),
        _state(study),
        tuple((v.metric, float(v.value)) for v in best),
        (float(used.used), float(used.saved)) if used else None,
    )


def _state(study: Study) -> str:
    conditions = study.status.conditions if study.status else None
    for state in ("Complete", "Failed", "Suspended"):
        if is_true(conditions, state):
            return state
    if is_true(conditions, "Accepted"):
        return "Running"
    return "Refused" if conditions else "Waiting"


def _invalid(error: Unreadable) -> Held:
    identity = error.identity or Identity("", "")
    reason = "Invalid" if error.reason == "Unreadable" else error.reason
    message = str(error)[:LONGEST_MESSAGE]
    said = _says(error.status, "Accepted", (message, identity.generation))
    return InvalidStudy(identity, reason, message, said)


def _says(status: Object, type_: str, wanted: tuple[str, int]) -> bool:
    """Whether a status, of which nothing is certain, has a condition that says this."""
    conditions = status.get("conditions")
    for c in conditions if isinstance(conditions, list) else ():
        if isinstance(c, dict) and (c.get("type"), c.get("status")) == (type_, "False"):
            return (c.get("message"), c.get("observedGeneration", 0)) == wanted
    return False


def _size(held: Held) -> int:
    return OVERHEAD + (len(held.packed) if isinstance(held, PackedStudy) else 0)


def _beyond(share: int, held: Held) -> Held:
    if isinstance(held, InvalidStudy):
        return held
    message = (
        f"there is no room for it: all Studies of a namespace may have {share >> 20} MiB, packed;"
        " delete Studies that have ended, or make their templates smaller"
    )
    return InvalidStudy(held.identity, OVER_SHARE, message, packed_size=_size(held))
