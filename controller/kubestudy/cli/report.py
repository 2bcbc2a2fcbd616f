"""The end of a Study in words: what came of it, the best trials, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence

from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.cli.outcomes import front_rows, metrics_text, over_seeds
from kubestudy.cli.program import program_name
from kubestudy.cli.tables import bold, columns, span, state
from kubestudy.cli.views import (
    arguments,
    commonest,
    counts,
    failures,
    ranked,
    study_state,
    study_story,
    trial_rows,
)

TOP = 10
_FAILURES = 3


def report(study: Study, trials: Sequence[Trial], where: str, flags: str) -> str:
    """Tells how a Study ended.

    Args:
        study: The Study.
        trials: Its trials.
        where: Where it is, for a person.
        flags: What to add to a command so that it finds the Study.
    """
    status, tally, name = study.status, counts(study), study.metadata.name
    took = span(status.start_time, status.completion_time) if status else ""
    parts = [f"{bold(name)}: {state(study_state(study))} after {took}: {study_story(study)}"]
    search = [t for t in trials if t.spec.confirms is None]
    good = [t for t in ranked(study, search) if t.value(study.spec.objective.metric) is not None]
    if good:
        title = "" if len(good) <= TOP else f"The best {TOP} of {len(good)}:\n"
        rows = trial_rows(study, good[:TOP])
        for row in rows:
            del row[1]  # All of them have succeeded.
        winner = status.best.trial if status and status.best else ""
        rows = [[bold(cell) for cell in row] if row[0] == winner else row for row in rows]
        parts.append(title + columns(rows))
    failed = failures(trials)
    if failed:
        lines = [f"{tally.failed} of {tally.created} trials failed:"]
        told, others = commonest(failed, _FAILURES)
        lines += [f"  {failure}" for failure in told]
        if others:
            lines.append(f"  and {others} more")
        parts.append("\n".join(lines))
    best = status.best if status else None
    if best:
        parts.append(
            f"Best: {bold(best.trial)} with {metrics_text(best.objectives)}{over_seeds(best)}\n"
            f"  {arguments(study, best.parameters)}"
        )
    front = (status.pareto_front if status else None) or []
    if len(front) > 1:
        shown = columns(front_rows(study, front[:TOP]), indent="  ")
        more = f" (the first {TOP} of {len(front)})" if len(front) > TOP else ""
        parts.append(f"Pareto front{more}:\n{shown}")
    following = f"best {name} -o args" if best else f"describe {name}"
    if failed and not best:
        following = f"logs {failed[0].trials[0].metadata.name}"
    parts.append(f"Results: {where}\nNext:    {program_name()} {following}{flags}")
    return "\n\n".join(parts)
