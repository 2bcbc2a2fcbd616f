"""Studies in a results folder, as `kubestudy run` leaves them."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.cli.errors import CommandError, NotFound
from kubestudy.cli.source import DEFAULT_RESULTS, Told
from kubestudy.core.facts import RunKey
from kubestudy.core.names import job_name
from kubestudy.local.engine import Moment
from kubestudy.local.store import CannotRead, Folder, ForeignFolder, StudyIsRunning, folders

_LOOK_SECONDS = 0.3


class FolderSource:
    """The Studies of a results folder.

    Args:
        results: The folder; that of a single Study will do.
    """

    def __init__(self, results: Path):
        if Folder(results).exists():
            results = results.parent
        self.results = results
        is_default = results == DEFAULT_RESULTS
        self.flags = "" if is_default else f" --results {shlex.quote(str(results))}"

    def has(self, name: str | None) -> bool:
        """Whether a Study, or the trial of one, is here; without a name, whether any is."""
        if name is None:
            return bool(folders(self.results))
        return any(self._folder(n).exists() for n in (name, name.rpartition("-")[0]) if n)

    def names(self) -> list[str]:
        """The names of all Studies."""
        return [f.path.name for f in folders(self.results)]

    def where(self, study: Study) -> str:
        """The Study's folder."""
        return str(self._folder(study.metadata.name).path)

    def studies(self) -> list[Study]:
        """All Studies."""
        with _readable():
            return [folder.study() for folder in folders(self.results)]

    def study(self, name: str) -> Study:
        """One Study."""
        folder = self._folder(name)
        if not folder.exists():
            missing = "" if self.results.is_dir() else " (there is no such folder)"
            raise NotFound(name, f"{self.results}/{missing}", self.names())
        with _readable():
            return folder.study()

    def trials(self, study: Study) -> list[Trial]:
        """The trials of a Study, sorted by index."""
        with _readable():
            return self._folder(study.metadata.name).trials()

    def events(self, study: Study, trial: Trial | None) -> list[Told]:
        """What happened, the oldest first."""
        return [
            Told(datetime.fromisoformat(e["time"]), e["type"], e["reason"], e["message"])
            for e in self._folder(study.metadata.name).events()
            if trial is None or e.get("trial") == trial.metadata.name
        ]

    def logs(self, study: Study, trial: Trial, follow: bool) -> Iterator[str]:
        """The lines of a trial's last run."""
        folder = self._folder(study.metadata.name)
        log, position, rest = folder.log(_last_job(trial)), 0, b""
        while True:
            # Seen to be finished before its log is read, it has nothing more to say after.
            finished = not follow or self._trial(study, trial).finished
            if log.exists():
                with log.open("rb") as file:
                    file.seek(position)
                    data = file.read()
                position += len(data)
                *lines, rest = (rest + data).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if finished:
                if rest:
                    yield rest.decode(errors="replace")
                return
            time.sleep(_LOOK_SECONDS)

    def follow(self, study: Study) -> Iterator[Moment]:
        """How a Study stands, whenever a file of it has changed."""
        folder = self._folder(study.metadata.name)
        trials: dict[Path, tuple[int, Trial]] = {}
        seen = -1
        while True:
            with _readable():
                changed = folder.study_file.stat().st_mtime_ns
                study = folder.study() if changed != seen else study
                news = changed != seen
                seen = changed
                for file in folder.trials_folder.glob("[!.]*.yaml"):
                    changed = file.stat().st_mtime_ns
                    if file not in trials or trials[file][0] != changed:
                        trials[file] = (changed, folder.trial(file.stem))
                        news = True
            if news:
                yield Moment(study, sorted((t for _, t in trials.values()), key=_index))
            if study.ended:
                return
            time.sleep(_LOOK_SECONDS)

    def change(self, study: Study, patch: dict[str, Any]) -> None:
        """Changes a Study by a merge patch."""
        self._folder(study.metadata.name).edit(patch)

    def delete(self, study: Study) -> None:
        """Deletes a Study and everything of it."""
        try:
            self._folder(study.metadata.name).delete()
        except StudyIsRunning as error:
            raise CommandError(f"{error}; stop it by Ctrl-C there first") from error

    def _folder(self, name: str) -> Folder:
        return Folder(self.results / (name.replace("/", "_").lstrip(".") or "_"))

    def _trial(self, study: Study, trial: Trial) -> Trial:
        with _readable():
            return self._folder(study.metadata.name).trial(trial.metadata.name)


def _index(trial: Trial) -> int:
    return trial.spec.index


def _last_job(trial: Trial) -> str:
    """The name of the run that a trial is at, or was at last."""
    runs = (trial.status.runs if trial.status else None) or []
    if not runs:
        return job_name(RunKey(trial.metadata.name))
    return runs[-1].job


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CommandError(f"{error.filename} is gone") from error
    except ForeignFolder as error:
        raise CommandError(str(error)) from error
    except CannotRead as error:
        raise CommandError(
            f"the results cannot be read: {error}; mend the file, or begin anew by"
            " `kubestudy run FILE --restart`"
        ) from error
