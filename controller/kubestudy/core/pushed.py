"""What a run has pushed, as text that is kept on its Job.

The endpoint that takes a post and the controller that decides by it share nothing but this text, so
that either may be killed, and each replica may answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from kubestudy.api.study import StudySpec
from kubestudy.core.reports import RunReport

MOST_BEFORE = 16


@dataclass
class Pushed:
    """What the newest pod of a run that posts has reported.

    Attributes:
        report: All of it, in bounded space.
        resource: The number in a post that tells how much of a multi-fidelity algorithm's resource
            is spent, None where there is none.
        pod: UID of that pod; empty before any has posted.
        final: Whether its last post was the one at the end of a training.
        before: UIDs of the pods before it, as of a Study that was suspended: what is late of them
            counts no more.
    """

    report: RunReport
    resource: str | None = None
    pod: str = ""
    final: bool = False
    before: list[str] = field(default_factory=list)

    @classmethod
    def nothing(cls, spec: StudySpec) -> Pushed:
        """Before anything was posted."""
        resource = spec.algorithm.resource
        return cls(RunReport.empty(spec), resource.report if resource else None)

    def by(self, pod: str) -> Pushed:
        """What this pod has pushed: a new one begins anew."""
        if pod == self.pod:
            return self
        old = self.report
        report = RunReport(old.curve_metric, old.owed, levels=old.levels)
        before = [*self.before, self.pod][-MOST_BEFORE:] if self.pod else []
        return Pushed(report, self.resource, pod, before=before)

    def text(self) -> str:
        """The same as text."""
        return json.dumps(_ADAPTER.dump_python(self, mode="json", exclude_defaults=True))

    @classmethod
    def read(cls, text: str | None) -> Pushed | None:
        """What a text says; None where it says nothing."""
        try:
            return _ADAPTER.validate_json(text or "")
        except ValidationError:
            return None


_ADAPTER = TypeAdapter(Pushed)
