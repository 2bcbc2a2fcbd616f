"""Names that are always the same for the same thing.

Requirements: a name is a function of what it names, so that making a thing twice is noticed by
the API server; it is a valid DNS label (63 characters) where a label value or a pod's host name
is made from it; names that must be cut do not collide.
"""

from __future__ import annotations

import hashlib

from kubestudy.core.facts import RunKey

LABEL_LENGTH = 63
_HASH_LENGTH = 8


def trial_name(study: str, index: int) -> str:
    """The name of a Study's trial."""
    return f"{study}-{index}"


def job_name(run: RunKey) -> str:
    """The name of the Job that executes a run; a point in it becomes a dash and adds a hash."""
    name = f"{run.trial}-{run.rung}-{run.fold}-{run.attempt}"
    return _cut(name).replace(".", "-") if "." in name else label_value(name)


def label_value(name: str) -> str:
    """A name as a label's value: itself, or cut to 63 characters with a hash of all of it."""
    return name if len(name) <= LABEL_LENGTH else _cut(name)


def _cut(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: LABEL_LENGTH - _HASH_LENGTH - 1].rstrip('-.')}-{digest}"
