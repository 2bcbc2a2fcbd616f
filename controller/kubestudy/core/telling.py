"""What people are told of a Study: its status, and events about what is new in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kubestudy.api.meta import condition
from kubestudy.api.study import Study
from kubestudy.api.study_status import StudyStatus
from kubestudy.api.validation import FieldError
from kubestudy.core.acceptance import warnings
from kubestudy.core.conditions import said
from kubestudy.core.plan import Event, Plan
from kubestudy.core.results import new_best
from kubestudy.core.warm_start import LOOK_AGAIN


def tell(plan: Plan, study: Study, status: StudyStatus) -> None:
    """The Study's status, and events about what is new in it."""
    before = study.status or StudyStatus()
    if status == before:
        return
    plan.status = status
    old = {c.type: c for c in before.conditions or ()}
    for c in status.conditions or ():
        known = old.get(c.type)
        if c.type == "Accepted" and (known is None or known.message != c.message):
            _warn(plan, study)
        if known is not None and known.status == c.status:
            continue
        if c.type == "Accepted":
            plan.events.append(Event("Accepted", c.message))
        elif c.type in ("Complete", "Failed") and c.status == "True":
            plan.events.append(Event(c.reason, c.message, warning=c.type == "Failed"))
        elif c.type == "Suspended":
            plan.events.append(Event(c.reason, f"the Study is {c.reason.lower()}"))
    if (news := new_best(before, status)) is not None:
        plan.events.append(news)


def _warn(plan: Plan, study: Study) -> None:
    """Once for each change of what is likely not meant."""
    if found := warnings(study):
        plan.events.append(Event("SpecWarning", "; ".join(map(str, found)), warning=True))


def refuse(study: Study, wrong: Sequence[FieldError], now: datetime) -> Plan:
    """A Study that cannot be run starts nothing, and says why; what runs already goes on."""
    plan = Plan()
    before = study.status or StudyStatus()
    message = "; ".join(map(str, wrong))
    generation = study.metadata.generation
    conditions = before.conditions or []
    for type_ in ("Accepted", "Progressing"):
        conditions = said(conditions, type_, False, "Invalid", message, now, generation)
    status = before.model_copy(update={"observed_generation": generation, "conditions": conditions})
    if study.spec.warm_start is not None:
        plan.within(LOOK_AGAIN)
    if status != before:
        plan.status = status
        known = condition(before.conditions, "Accepted")
        if known is None or known.status == "True" or known.message != message[:4096]:
            plan.events.append(Event("Invalid", message, warning=True))
    return plan
