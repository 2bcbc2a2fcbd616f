"""How long things take, as Kubernetes writes it: ``90s``, ``2h30m``, ``1d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field, StrictStr

DURATION = r"^([0-9]+(d|h|m|s))+$"


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


_LONGEST = 2**31 - 1
"""The most that Kubernetes takes as the seconds of a pod's deadline: 68 years."""


def parse_duration(text: str) -> timedelta:
    """Reads a duration such as ``90s``, ``2h30m`` or ``1d``; of more than 68 years, 68 years."""
    seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", text))
    return timedelta(seconds=min(seconds, _LONGEST))


Duration = Annotated[StrictStr, Field(max_length=32, pattern=DURATION)]
