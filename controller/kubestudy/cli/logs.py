"""``kubestudy logs``: what trials have printed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import click

from kubestudy.api.study import Study
from kubestudy.api.trial import RUNNING, Trial
from kubestudy.cli.source import Source, study_or_trial
from kubestudy.cli.tables import note
from kubestudy.cli.terminal import write_log
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the trials have ended.")
@where_options
def logs(name: str, follow: bool, where: Where) -> None:
    """Print what a trial has printed in its last run.

    Of a Study, those trials that are at work now, each line with its trial's name before it;
    where none is, the one that ended last. On a terminal, what would drive it is left out or shown
    as an escape, except colours; written to a file or a program, each line is as it was printed.

    \b
      kubestudy logs mrpc-7
      kubestudy logs mrpc -f
    """  # noqa: D301
    source = where.source(name)
    study, trial = study_or_trial(source, name)
    if trial is not None:
        chosen = [trial]
    else:
        trials = source.trials(study)
        ended = sorted(
            (t for t in trials if t.status and t.status.completion_time),
            key=lambda t: str(t.status and t.status.completion_time),
        )
        chosen = [t for t in trials if t.state == RUNNING] or ended[-1:]
    if not chosen:
        note(f"{name} has no trials yet")
    elif len(chosen) == 1:
        for line in source.logs(study, chosen[0], follow):
            write_log(line)
    else:
        for who, line in _merged(source, study, chosen, follow):
            write_log(line, of=who)


def _merged(
    source: Source, study: Study, trials: list[Trial], follow: bool
) -> Iterator[tuple[str, str]]:
    """The lines of several trials, as they come."""
    lines: queue.SimpleQueue[tuple[str, str] | Exception | None] = queue.SimpleQueue()

    def read(trial: Trial) -> None:
        try:
            for line in source.logs(study, trial, follow):
                lines.put((trial.metadata.name, line))
            lines.put(None)
        except Exception as error:
            lines.put(error)

    for trial in trials:
        threading.Thread(target=read, args=(trial,), daemon=True).start()
    open_ = len(trials)
    while open_:
        item = lines.get()
        if isinstance(item, Exception):
            raise item
        if item is None:
            open_ -= 1
        else:
            yield item
