"""The results folder of a Study: its objects as YAML, in place of the API server.

    results/mrpc/
      study.yaml      the Study, with its status
      trials/*.yaml   the Trials, exactly as the API would hold them
      events.jsonl    what happened, a line each
      logs/*.log      what the runs printed
      runs/           their processes (see processes.py)
      checkpoints/    one folder per trial, where the Study keeps checkpoints
      outputs/        the trained models, where the Study keeps them
      edit.yaml       a change somebody asked for while a runner is at work (suspend, resume)

Each file is written whole under another name, synced and then renamed: a kill at any moment, even
a power cut, leaves either the old one or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_snake

from kubestudy.api import manifests
from kubestudy.api.meta import rfc3339
from kubestudy.api.study import IMMUTABLE, Study
from kubestudy.api.study_status import StudyStatus
from kubestudy.api.trial import Trial, TrialStatus
from kubestudy.api.validation import FieldError, InvalidObject, Model, parse_study, read
from kubestudy.core.facts import RunKey
from kubestudy.core.names import job_name
from kubestudy.core.plan import Event

# Metrics of a running trial are written no more often than this; what matters, at once.
CALM_SECONDS = 1.0


class StudyIsRunning(Exception):
    """Another runner is at work on the Study.

    Attributes:
        pid: Its process.
    """

    def __init__(self, pid: int):
        super().__init__(f"another `kubestudy run` (process {pid}) is at work on it")
        self.pid = pid


class CannotRead(Exception):
    """A file of the results does not hold what it should; the message names it."""


class ForeignFolder(Exception):
    """A folder whose files were not written by `kubestudy run`: they name something outside it."""

    def __init__(self, file: Path, name: str):
        super().__init__(
            f"{file} holds an object of the name {name!r}, which belongs into another file; it was"
            " not written by `kubestudy run`, and nothing here is read or deleted"
        )


class CannotChange(Exception):
    """A Study that has trials was given another spec than its trials were made by.

    Attributes:
        errors: The fields that differ.
    """

    def __init__(self, errors: list[FieldError]):
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


@dataclass(frozen=True)
class Folder:
    """Where everything of one Study lies, and its objects to read."""

    path: Path

    @property
    def study_file(self) -> Path:
        """The Study."""
        return self.path / "study.yaml"

    @property
    def trials_folder(self) -> Path:
        """The Trials."""
        return self.path / "trials"

    @property
    def runs(self) -> Path:
        """The runs."""
        return self.path / "runs"

    @property
    def events_file(self) -> Path:
        """The events."""
        return self.path / "events.jsonl"

    @property
    def edit_file(self) -> Path:
        """A change that was asked for."""
        return self.path / "edit.yaml"

    def beside(self, name: str) -> Folder:
        """The folder of another Study of the same results."""
        return Folder(self.path.parent / name)

    def log(self, job: str) -> Path:
        """The log of a run."""
        return self.path / "logs" / f"{job}.log"

    def exists(self) -> bool:
        """Whether there is a Study in it."""
        return self.study_file.is_file()

    def study(self) -> Study:
        """Reads the Study.

        Raises:
            ForeignFolder: It has another name than its folder.
        """
        found = _object(Study, self.study_file)
        if found.metadata.name != self.path.resolve().name:
            raise ForeignFolder(self.study_file, found.metadata.name)
        return found

    def trials(self) -> list[Trial]:
        """Reads the Trials, sorted by index."""
        found = (self.trial(f.stem) for f in self.trials_folder.glob("[!.]*.yaml"))
        return sorted(found, key=lambda t: t.spec.index)

    def trial(self, name: str) -> Trial:
        """Reads one Trial.

        Raises:
            ForeignFolder: It has another name than its file, or a run that is not its own.
        """
        file = self.trials_folder / f"{name}.yaml"
        found = _object(Trial, file)
        runs = (found.status.runs if found.status else None) or ()
        for wrong in (
            *(n for n in (found.metadata.name,) if n != name),
            *(r.job for r in runs if r.job != job_name(RunKey(name, r.rung, r.fold, r.attempt))),
        ):
            raise ForeignFolder(file, wrong)
        return found

    def events(self) -> list[dict[str, Any]]:
        """Reads the events, the oldest first."""
        events = []
        if self.events_file.exists():
            for line in self.events_file.read_text().splitlines():
                with contextlib.suppress(ValueError):  # The last line may have been cut off.
                    events.append(json.loads(line))
        return events

    def runner(self) -> int | None:
        """The process that is at work on the Study; None where there is none."""
        try:
            with (self.path / "lock").open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0)
        except FileNotFoundError:
            pass
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runners out.

        Raises:
            StudyIsRunning: One is at work.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise StudyIsRunning(int(lock.read() or 0)) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def edit(self, patch: dict[str, Any]) -> None:
        """Asks for a change of the spec: by the runner that is at work, else done at once."""
        _write(self.edit_file, patch)
        with contextlib.suppress(StudyIsRunning), self.locked():
            Store(self).take_edit()

    def set_aside(self) -> Path:
        """Moves what is in the folder out of the way; returns where it went."""
        when = datetime.fromtimestamp(self.study_file.stat().st_mtime)
        goal = self.path.parent / ".old" / f"{self.path.name}-{when:%Y%m%d-%H%M%S}"
        goal.parent.mkdir(exist_ok=True)
        while goal.exists():
            goal = goal.with_name(f"{goal.name}+")
        goal.mkdir()
        for part in self.path.iterdir():
            if part.name != "lock":
                part.rename(goal / part.name)
        return goal

    def delete(self) -> None:
        """Deletes all of it.

        Raises:
            StudyIsRunning: A runner is at work.
        """
        with self.locked():
            self.study_file.unlink(missing_ok=True)  # From here on it is no Study any more.
            shutil.rmtree(self.path)


def folders(results: Path) -> list[Folder]:
    """The Studies of a results folder, by name."""
    if not results.is_dir():
        return []
    found = (Folder(p) for p in sorted(results.iterdir()) if not p.name.startswith("."))
    return [f for f in found if f.exists()]


class Store:
    """The objects of one Study, in memory and on disk. Only who holds the lock writes."""

    def __init__(self, folder: Folder):
        self.folder = folder
        self.study = folder.study()
        self._trials = {t.metadata.name: t for t in folder.trials()}
        self._written: dict[str, float] = {}
        self._late: set[str] = set()

    @classmethod
    def open(cls, folder: Folder, wanted: Study) -> Store:
        """Opens a folder with the Study as its user wants it, be it new or going on.

        Raises:
            CannotChange: The folder's trials were made by another spec.
        """
        if folder.exists():
            store = cls(folder)
            store.change(wanted)
            return store
        metadata = {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creation_timestamp": _now(),
        }
        study = wanted.model_copy(
            update={"metadata": wanted.metadata.model_copy(update=metadata), "status": None}
        )
        folder.trials_folder.mkdir(parents=True, exist_ok=True)
        folder.runs.mkdir(exist_ok=True)
        folder.log("").parent.mkdir(exist_ok=True)
        _write(folder.study_file, study.to_json())
        return cls(folder)

    @property
    def trials(self) -> list[Trial]:
        """The Trials, sorted by index."""
        return sorted(self._trials.values(), key=lambda t: t.spec.index)

    def trial(self, name: str) -> Trial:
        """One Trial."""
        return self._trials[name]

    def change(self, wanted: Study) -> None:
        """Takes another spec, as ``kubectl apply`` would.

        Raises:
            CannotChange: The trials there are were made by another search space, objective or
                algorithm.
        """
        old, new = self.study.spec, wanted.spec
        if old == new:
            return
        if self._trials:
            errors = [
                FieldError(f"spec.{field}", "differs")
                for field in IMMUTABLE
                if getattr(old, to_snake(field)) != getattr(new, to_snake(field))
            ]
            if errors:
                raise CannotChange(errors)
        generation = (self.study.metadata.generation or 0) + 1
        metadata = self.study.metadata.model_copy(update={"generation": generation})
        self._put(self.study.model_copy(update={"metadata": metadata, "spec": new}))

    def take_edit(self) -> bool:
        """Carries out a change that was asked for; returns whether there was one."""
        try:
            patch = _read(self.folder.edit_file)
        except FileNotFoundError:
            return False
        self.folder.edit_file.unlink()
        try:
            self.change(parse_study(merged(self.study.to_json(), patch)))
        except (InvalidObject, CannotChange) as error:
            self.add_event(Event("EditRefused", str(error), warning=True))
        return True

    def put_status(self, status: StudyStatus) -> None:
        """Stores the Study's status."""
        self._put(self.study.model_copy(update={"status": status}))

    def add_trial(self, trial: Trial) -> None:
        """Stores a suggestion; one that is stored already stays as it is."""
        name = trial.metadata.name
        if name in self._trials:
            return
        update = {"uid": str(uuid.uuid4()), "generation": 1, "creation_timestamp": _now()}
        trial = trial.model_copy(update={"metadata": trial.metadata.model_copy(update=update)})
        self._put_trial(trial)

    def put_trial_status(self, name: str, status: TrialStatus, urgent: bool) -> None:
        """Stores a Trial's status; what is not urgent may wait for ``flush``."""
        trial = self._trials[name].model_copy(update={"status": status})
        if urgent or time.monotonic() > self._written.get(name, 0) + CALM_SECONDS:
            self._put_trial(trial)
        else:
            self._trials[name] = trial
            self._late.add(name)

    def flush(self, all_of_it: bool = False) -> None:
        """Writes what has waited long enough."""
        for name in list(self._late):
            if all_of_it or time.monotonic() > self._written[name] + CALM_SECONDS:
                self._put_trial(self._trials[name])

    def add_event(self, event: Event) -> None:
        """Writes down something that happened."""
        record = {
            "time": rfc3339(datetime.now(UTC)),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message,
            "trial": event.trial,
        }
        with self.folder.events_file.open("a") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def _put(self, study: Study) -> None:
        _write(self.folder.study_file, study.to_json())
        self.study = study

    def _put_trial(self, trial: Trial) -> None:
        name = trial.metadata.name
        _write(self.folder.trials_folder / f"{name}.yaml", trial.to_json())
        self._trials[name] = trial
        self._written[name] = time.monotonic()
        self._late.discard(name)


def merged(data: Any, patch: Any) -> Any:
    """JSON data with a merge patch (RFC 7396) applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(data) if isinstance(data, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _read(path: Path) -> Any:
    return manifests.load(path.read_text())


def _object(model: type[Model], path: Path) -> Model:
    """Reads an object of a file.

    Raises:
        CannotRead: Somebody has edited or cut it.
    """
    try:
        return read(model, _read(path))
    except InvalidObject as error:
        raise CannotRead(f"{path}: {error.errors[0]}") from error
    except (manifests.ManifestError, UnicodeDecodeError) as error:
        raise CannotRead(f"{path}: {error}") from error


def _write(path: Path, data: Any) -> None:
    new = path.with_name(f".{path.name}.new")
    with new.open("w") as file:
        file.write(manifests.dump(data))
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
