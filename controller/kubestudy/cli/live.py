"""A Study followed on a terminal: one screen, redrawn as things change."""

from __future__ import annotations

from datetime import timedelta

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kubestudy.api.study import Study
from kubestudy.api.trial import PENDING, RUNNING, Trial
from kubestudy.cli.outcomes import folds_done, front_rows, with_deviation
from kubestudy.cli.tables import columns, number, short, span
from kubestudy.cli.terminal import shown
from kubestudy.cli.views import (
    assignment,
    commonest,
    counts,
    duration,
    failures,
    headline,
    latest,
    reason,
    step,
    study_state,
    time_left,
    total,
    why,
)
from kubestudy.core.status import duration_text
from kubestudy.local.engine import Moment

_FAILURES = 3
_FRONT = 5
# Lines of the screen that are no running trials.
_OTHER_LINES = 12


class Live:
    """The screen.

    Args:
        hint: What the keys do, for the last line.
    """

    def __init__(self, hint: str):
        self._hint = hint
        # What others wrote is text: no markup, and no emoji by name.
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._moment: Moment | None = None
        self._live = RichLive(
            console=self._console,
            get_renderable=self._screen,
            refresh_per_second=4,
            transient=True,
            vertical_overflow="ellipsis",
        )
        self._live.start()

    def show(self, moment: Moment) -> None:
        """Takes how the Study stands now."""
        self._moment = moment

    def close(self) -> None:
        """Takes the screen away; what is printed next stands in its place."""
        self._moment = None
        self._live.stop()

    def _screen(self) -> RenderableType:
        if self._moment is None or self._moment.study.status is None:
            return Text("")
        moment = self._moment
        parts: list[RenderableType] = [_title(moment), _progress(moment)]
        room = max(3, self._console.height - _OTHER_LINES)
        if running := _running(moment, room):
            parts.append(running)
        parts.append(_best(moment))
        if failed := _failed(moment):
            parts.append(failed)
        hint = "stopping: each run may save its work; Ctrl-C again kills them"
        parts.append(Text(hint if moment.stopping else self._hint, style="dim"))
        return Padding(Group(*(Padding(p, (0, 0, 1, 0)) for p in parts)), (1, 1, 0, 1))


def _title(moment: Moment) -> Text:
    study = moment.study
    return Text.assemble(
        (shown(study.metadata.name), "bold"), "  ", (shown(headline(study)), "dim")
    )


def _progress(moment: Moment) -> RenderableType:
    study, tally = moment.study, counts(moment.study)
    wanted = total(study)
    told = [Text.assemble((str(tally.finished), "bold"), f" of {wanted}" if wanted else " trials")]
    told += [
        Text(f"{count} {word}", style=style)
        for count, word, style in (
            (tally.running, "running", "cyan"),
            (tally.pending, "waiting", ""),
            (tally.paused, "paused", "blue"),
            (tally.failed, "failed", "red"),
            (tally.stopped, "stopped", "yellow"),
        )
        if count
    ]
    if (word := study_state(study)) in ("Suspending", "Suspended", "Failed"):
        told.append(Text(word.lower(), style="yellow"))
    if study.status and study.status.start_time:
        told.append(Text(span(study.status.start_time, study.status.completion_time)))
    left = time_left(study, moment.trials)
    if left is not None and not study.ended:
        told.append(Text(f"about {duration_text(max(left, timedelta(seconds=1)))} left"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.expand = True
    bar = ProgressBar(
        total=wanted or None,
        completed=tally.finished,
        pulse=not wanted,
        complete_style="green",
        finished_style="green",
    )
    grid.add_row(bar, Text("  ").join(told))
    return grid


def _running(moment: Moment, room: int) -> RenderableType | None:
    """The trials at work, with the value and the step that they reported last."""
    study = moment.study
    at_work = [t for t in moment.trials if t.state in (RUNNING, PENDING)]
    if not at_work:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=True)
    table.add_column("trial", no_wrap=True, style="cyan")
    for objective in study.spec.objectives:
        table.add_column(shown(objective.metric), justify="right", no_wrap=True)
    if study.spec.cross_validation:
        table.add_column("folds", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("for", justify="right", no_wrap=True)
    for name in study.spec.parameter:
        table.add_column(shown(name), justify="right", no_wrap=True, overflow="ellipsis", ratio=1)
    for t in at_work[:room]:
        table.add_row(shown(t.metadata.name), *_now(study, t), *_values(moment, t))
    if len(at_work) > room:
        table.add_row(f"and {len(at_work) - room} more", style="dim")
    return table


def _now(study: Study, trial: Trial) -> list[str | Text]:
    """A running trial's values, folds that are done, step and time, as far as there are any."""
    objectives, validation = study.spec.objectives, study.spec.cross_validation
    done = [f"{folds_done(trial)}/{validation.folds}"] if validation else []
    if trial.state == PENDING:
        story = Text(shown(reason(trial)[0].lower()) or "starting", style="dim")
        return [story, *[""] * (len(objectives) - 1), *done, "", ""]
    values = [number(latest(trial, o.metric)) for o in objectives]
    return [*values, *done, number(step(trial)), duration(trial)]


def _values(moment: Moment, trial: Trial) -> list[str]:
    space = moment.study.spec.parameter
    given = trial.spec.parameters
    return [short(p, given[n]) if n in given else "" for n, p in space.items()]


def _best(moment: Moment) -> RenderableType:
    best = moment.study.status.best if moment.study.status else None
    if best is None:
        done = counts(moment.study).succeeded
        return Text(f"no trial {'is feasible' if done else 'has finished'} yet", style="dim")
    line = Text.assemble(("★ best  ", "bold green"), (shown(best.trial), "bold"))
    for value in best.objectives:
        line.append(f"  {shown(value.metric)} ").append(with_deviation(value), "bold green")
    line.append(f"  {shown(assignment(moment.study, best.parameters))}")
    front = (moment.study.status.pareto_front if moment.study.status else None) or []
    if len(front) < 2:
        return line
    lines = columns(front_rows(moment.study, front[:_FRONT])).split("\n")
    more = f"  and {len(front) - _FRONT} more" if len(front) > _FRONT else ""
    return Group(
        line, Text(f"Pareto front{more}", style="dim"), *(Text(shown(line)) for line in lines)
    )


def _failed(moment: Moment) -> RenderableType | None:
    failed = failures(moment.trials)
    if not failed:
        return None
    grid = Table.grid(padding=(0, 2))
    for _ in range(2):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    told, others = commonest(failed, _FAILURES)
    for failure in told:
        grid.add_row(
            Text(f"✗ {shown(failure.names)}", style="red"), Text(shown(why(failure.trials[0])))
        )
    if others:
        grid.add_row("", Text(f"and {others} more", style="dim"))
    return grid
