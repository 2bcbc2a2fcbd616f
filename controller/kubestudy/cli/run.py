"""``kubestudy run``: a Study on this machine, with processes in place of pods."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import click

from kubestudy.algorithms import custom
from kubestudy.api.field_errors import listed
from kubestudy.api.study import Study
from kubestudy.cli.errors import FAILED, INTERRUPTED, CommandError, InvalidInput
from kubestudy.cli.files import check
from kubestudy.cli.folder import FolderSource
from kubestudy.cli.follow import view
from kubestudy.cli.program import program_name
from kubestudy.cli.report import report
from kubestudy.cli.source import DEFAULT_RESULTS
from kubestudy.cli.tables import echo, note, warn
from kubestudy.cli.views import study_state, study_story
from kubestudy.core.acceptance import warnings
from kubestudy.local import container
from kubestudy.local.engine import Engine
from kubestudy.local.machine import Machine, this_machine
from kubestudy.local.processes import Processes
from kubestudy.local.store import CannotChange, CannotRead, Folder, Store, StudyIsRunning


@click.command()
@click.argument("file")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_RESULTS,
    show_default=True,
    metavar="DIR",
    help="Folder of results; the Study gets one of its own in it.",
)
@click.option(
    "--parallelism",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Runs at once, in place of spec.budget.parallelism.",
)
@click.option(
    "--max-trials",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Trials in all, in place of spec.budget.maxTrials.",
)
@click.option(
    "--trial-command",
    metavar="COMMAND",
    help="What to run in place of the trial image's entry point.  [default: kubestudy-trial]",
)
@click.option(
    "--allow-sampler",
    "samplers",
    multiple=True,
    metavar="PATH",
    envvar="KUBESTUDY_ALLOWED_SAMPLERS",
    help="Import path of a sampler for Optuna that Studies may name; may be repeated.",
)
@click.option("--restart", is_flag=True, help="Begin anew; earlier results are moved to DIR/.old.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors alone.")
def run(
    file: str,
    results: Path,
    parallelism: int | None,
    max_trials: int | None,
    trial_command: str | None,
    samplers: tuple[str, ...],
    restart: bool,
    quiet: bool,
) -> None:
    """Run a Study on this machine, with processes in place of pods.

    Takes the very file that `kubectl apply` takes (- is standard input). Each trial is a process
    in this folder with your environment; kubestudy's own trial image becomes the program
    kubestudy-trial. Trials share this machine's GPUs by CUDA_VISIBLE_DEVICES and its CPUs by
    OMP_NUM_THREADS; without a GPU they run on the CPU.

    Ctrl-C stops the trials, each of which may save its work. The same command goes on from
    there, with the same trials, also after a crash; then trials that still run are found again.
    Budget, suspend and trial may be edited in between; the rest asks for other results. An edited
    trial counts for runs that begin, or begin again, from then on.

    \b
      kubestudy run mrpc.yaml
      kubestudy run mrpc.yaml --parallelism 2 --max-trials 10
      kubestudy best mrpc -o args
    """  # noqa: D301
    custom.allow(samplers)
    study = _wanted(file, parallelism, max_trials)
    try:
        command = shlex.split(trial_command) if trial_command else None
    except ValueError as error:
        raise click.BadParameter(
            f"{trial_command!r} is no command: {error}", param_hint="--trial-command"
        ) from error
    machine = this_machine()
    try:
        container.check(study, machine, os.environ, command)
    except container.CannotRunHere as error:
        raise InvalidInput(f"{file}: {error.field} {error}") from error
    folder = Folder(results / study.metadata.name)
    for i, name in enumerate(study.spec.warm_start.studies if study.spec.warm_start else ()):
        if not folder.beside(name).exists():
            raise InvalidInput(
                f"{file}: spec.warmStart.studies[{i}]: there is no Study {name!r} in {results}"
            )
    if not quiet:
        for warning in warnings(study):
            warn(f"{file}: {warning}")
        for difference in container.differences(study, machine):
            note(difference)
    try:
        with folder.locked():
            if restart and folder.exists():
                _stop_all(folder)
                kept = folder.set_aside()
                if not quiet:
                    note(f"earlier results are in {kept}")
            before = folder.study().spec.trial if folder.exists() else study.spec.trial
            store = _open(folder, study, file, results)
            if not quiet and store.study.spec.trial != before:
                note(_edited(store))
            ended = _drive(store, machine, command, quiet)
    except StudyIsRunning as error:
        raise CommandError(
            f"{folder.path}: {error}; see `kubestudy watch {folder.path.name}`"
        ) from error
    except CannotRead as error:
        raise CommandError(
            f"the results cannot be read: {error}; mend the file, or begin anew by --restart"
        ) from error

    if not ended:
        if not quiet:
            again = shlex.join([*program_name().split(), *sys.argv[1:]])
            echo(f"\nstopped: {study_story(store.study)}")
            echo(f"to go on where it stopped: {_without(again, '--restart')}")
        sys.exit(INTERRUPTED)
    if not quiet:
        source = FolderSource(results)
        echo(f"\n{report(store.study, store.trials, str(folder.path), source.flags)}")
    sys.exit(FAILED if study_state(store.study) == "Failed" else 0)


def _wanted(file: str, parallelism: int | None, max_trials: int | None) -> Study:
    """The one Study of a file, as this run wants it."""
    all_of_it = check(file)
    found = [c for c in all_of_it if c.study is not None or c.errors]
    if errors := [f"{c.label}: {e}" for c in found for e in c.errors]:
        raise InvalidInput("\n       ".join(errors))
    studies = [c.study for c in found if c.study is not None]
    if len(studies) != 1:
        titles = listed(c.title for c in all_of_it)
        advice = "put each in a file of its own" if studies else "give the file of a Study"
        raise InvalidInput(
            f"{file}: holds {len(studies) or 'no'} Studies ({titles}), and run takes one; {advice}"
        )
    (study,) = studies
    if not study.metadata.name:
        raise InvalidInput(f"{file}: metadata.name: is needed to name the folder of results")
    changes = {"parallelism": parallelism, "max_trials": max_trials}
    budget = study.spec.budget.model_copy(
        update={k: v for k, v in changes.items() if v is not None}
    )
    return study.model_copy(update={"spec": study.spec.model_copy(update={"budget": budget})})


def _open(folder: Folder, study: Study, file: str, results: Path) -> Store:

    try:
        return Store.open(folder, study)
    except CannotChange as error:
        fields = ", ".join(e.field for e in error.errors)
        raise InvalidInput(
            f"{file}: {fields} cannot be changed: the trials in {folder.path} were made by"
            f" another. Use --results OTHER for new results beside them, --restart to begin anew,"
            f" or change it back"
        ) from error


def _edited(store: Store) -> str:
    """What an edit of the trial does, and does not."""
    told = "spec.trial was edited: runs that begin from now on are as it says"
    ended = sum(t.finished for t in store.trials)
    if not ended:
        return told
    theirs = "trial that has ended keeps its" if ended == 1 else "trials that have ended keep their"
    return f"{told}; the {ended} {theirs} results (--restart runs all of them again)"


def _drive(store: Store, machine: Machine, command: list[str] | None, quiet: bool) -> bool:
    """Runs the Study; returns whether it has ended."""
    engine = Engine(store, Processes(store.folder, machine, trial_command=command))
    older = engine.take_up()
    if older and not quiet:
        note(f"at work as they were started, before spec.trial was edited: {', '.join(older)}")
    shown = view(quiet, "Ctrl-C stops; the same command goes on from there")
    try:
        return engine.run(shown.show)
    finally:
        shown.close()


def _stop_all(folder: Folder) -> None:
    """Ends what an earlier runner that was killed has left at work."""
    processes = Processes(folder, Machine((), 1))
    processes.find(set())
    for facts in processes.sync():
        processes.delete(facts.job)
    while processes.sync():
        time.sleep(0.1)


def _without(text: str, word: str) -> str:
    return " ".join(w for w in text.split(" ") if w != word)
