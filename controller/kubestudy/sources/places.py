"""Where in training a line says that it is: ``epoch=3``, ``Epoch 3/10``, ``Epoch: [3][40/100]``."""

from __future__ import annotations

import re

from kubestudy.sources.numbers import ENDS, goes_on
from kubestudy.sources.pairs import WITHIN, unanimous

STEP, EPOCH = "step", "epoch"

_NUMBER = r"(?>[0-9]{1,15}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?)"
_TOTAL = r"(?:\s?/\s?|\s(?:out\s)?of\s)[0-9]{1,15}(?:\.[0-9]{1,15})?(?![\w/]|[.,:][0-9])"
_TIME = r"\s++(?:m?s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|days?)\b"
_AFTER = rf"({_NUMBER})(?!\s?%|[±+]|{_TIME})(?:{_TOTAL}|{ENDS})"
_BETWEEN = r"(?:\s*+[=:]\s*+[\[(]?|\s++[\[(]?|\[)\s*+"
# Not "0.3 s per step: 5", and not the epoch that was the best so far.
_STEP = rf"(?:step|Step|STEP)(?<!{WITHIN}.{{4}})(?<![Pp]er .{{4}})"
_EPOCH = rf"(?:epoch|Epoch|EPOCH)(?<!{WITHIN}.{{5}})(?<![Pp]er .{{5}})(?<![Bb]est .{{5}})"
_PHASE = r"(?:\((?:train|val|test)\))?"


class Places:
    """Finds where in training a line is from.

    Args:
        resource: Another word for it, which a multi-fidelity algorithm asks for.
    """

    def __init__(self, resource: str | None = None):
        self._words = re.compile(f"({_STEP}|{_EPOCH}){_PHASE}{_BETWEEN}{_AFTER}", re.DOTALL)
        self._resource = None
        if resource is not None and resource not in (STEP, EPOCH):
            self._resource = re.compile(
                rf"(?<!{WITHIN})({re.escape(resource)})\s*+[=:]\s*+{_AFTER}"
            )

    def read(self, line: str) -> dict[str, float]:
        """The places by word, in lower case; a word with two numbers after it has none."""
        found = [
            (match[1].lower(), float(match[2]))
            for match in self._words.finditer(line)
            if not goes_on(match[2], line, match.end())
        ]
        if self._resource is not None:
            found += [(match[1], float(match[2])) for match in self._resource.finditer(line)]
        return unanimous(found)
