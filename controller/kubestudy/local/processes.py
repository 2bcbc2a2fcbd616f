"""Runs as processes, in place of the Job controller and the kubelet.

    runs/mrpc-3-0-0-0/      a run, named as its Job
      job.yaml              the Job, exactly as the cluster would get it
      0/                    its first pod; one that was held back goes on in a second
        pod.json            what it was given
        lock                locked for as long as anything of it lives
        started.json        written by its supervisor, as is
        exit.json           what became of it
        termination-log     its last word

A run outlives the runner: killed at any moment, a runner that is started again finds those that
still run, and reads what became of the others. The lock is taken before the process is started
and inherited by it, so a run is never started while it may be at work, and `exit.json` is
written before the lock is let go, so no end is missed. Where there is neither, the machine went
down, and the run is one that was interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubestudy.api import manifests
from kubestudy.core.accounts import gpus_in
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.failures import last_line
from kubestudy.local import container, supervisor
from kubestudy.local.machine import Machine
from kubestudy.local.store import Folder
from kubestudy.workloads import job as jobs
from kubestudy.workloads.pod import Manifest, main_spec, moment

DEFAULT_GRACE = 30.0
_TAIL = 4096


@dataclass
class Pod:
    """One process of a run, or the place for one.

    Attributes:
        folder: Where its facts lie.
        number: 0 for the first of the run.
    """

    folder: Path
    number: int
    gpus: tuple[str, ...] = ()
    log_start: int = 0
    begun: bool = False
    started: datetime | None = None
    exit: dict[str, Any] | None = None
    lost: bool = False

    @property
    def over(self) -> bool:
        """Whether it will not run any more."""
        return self.exit is not None or self.lost

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        return self.begun and not self.over

    @property
    def stopped(self) -> bool:
        """Whether it ended because it was asked to, or never had a chance."""
        return self.lost or (self.exit is not None and bool(self.exit.get("stopped")))

    def look(self) -> None:
        """Reads what is known of it by now."""
        if self.over:
            return
        given = _json(self.folder / "pod.json")
        if given is None:
            return
        held = _held(self.folder / "lock")
        told = _json(self.folder / "started.json")
        self.exit = _json(self.folder / "exit.json")
        self.begun = held or told is not None or self.exit is not None
        if not self.begun:
            return  # The runner was killed just before it started it.
        self.gpus, self.log_start = tuple(given["gpus"]), given["logStart"]
        if told is not None and self.started is None:
            self.started = datetime.fromisoformat(told["time"])
        self.lost = self.exit is None and not held

    @property
    def asked(self) -> bool:
        """Whether it was asked to end, be it by an earlier runner."""
        return (self.folder / "asked").exists()

    def ask(self) -> None:
        """Asks it to end; asked again, it is killed."""
        told = _json(self.folder / "started.json")
        if self.alive and told is not None:
            (self.folder / "asked").touch()
            try:
                os.kill(told["pid"], signal.SIGTERM)
            except ProcessLookupError:  # Somebody killed the supervisor alone.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(told["process"], signal.SIGTERM)


@dataclass
class Run:
    """One run: its Job, and its newest pod."""

    job: Manifest
    key: RunKey
    folder: Path
    pod: Pod
    deleting: bool = False
    problem: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The Job's name."""
        name: str = self.job["metadata"]["name"]
        return name

    @property
    def suspended(self) -> bool:
        """Whether it is held back."""
        return bool(self.job["spec"].get("suspend"))

    def save(self) -> None:
        """Writes its Job down."""
        new = self.folder / ".job.yaml.new"
        new.write_text(manifests.dump(self.job))
        new.rename(self.folder / "job.yaml")


class Processes:
    """The runs of one Study.

    Args:
        folder: The Study's.
        machine: What the runs share.
        gpu_resource: The resource that stands for a GPU.
        parallelism: How many runs share the machine at once.
        trial_command: The entry point of kubestudy's own trial image.
        environ: The environment that the runs inherit.
    """

    def __init__(
        self,
        folder: Folder,
        machine: Machine,
        *,
        gpu_resource: str = "nvidia.com/gpu",
        parallelism: int = 1,
        trial_command: Sequence[str] | None = None,
        environ: Mapping[str, str] = os.environ,
    ):
        self.gpu_resource, self.parallelism = gpu_resource, parallelism
        self._folder, self._machine = folder, machine
        self._trial_command, self._environ = trial_command, environ
        self._host = socket.gethostname()
        self._runs: dict[str, Run] = {}
        self._children: list[subprocess.Popen[bytes]] = []

    def find(self, finished: set[str]) -> None:
        """Finds the runs that are there already, but for those of finished trials."""
        for folder in sorted(self._folder.runs.iterdir()):
            if folder.name.startswith("."):
                shutil.rmtree(folder)  # The runner was killed while it made it.
                continue
            job = manifests.load((folder / "job.yaml").read_text())
            key = jobs.run_key(job)
            if key is None or job["metadata"].get("name") != folder.name:
                continue  # It was not made by us.
            number = max(int(p.name) for p in folder.iterdir() if p.name.isdigit())
            run = Run(job, key, folder, Pod(folder / str(number), number))
            run.pod.look()
            if key.trial not in finished or run.pod.alive:
                self._runs[run.name] = run

    def renew(self, build: Callable[[RunKey], Manifest]) -> list[str]:
        """Gives those runs another pod template that wait to begin, or to begin again.

        Args:
            build: Makes the Job of a run as it would be made now.

        Returns:
            The names of those at work that were started by another one than they would be now.
        """
        at_work = []
        for run in self._runs.values():
            template = build(run.key)["spec"]["template"]
            if _asked(template) == _asked(run.job["spec"]["template"]):
                continue
            if run.pod.alive:
                at_work.append(run.name)
            elif run.suspended or not run.pod.begun:
                run.job["spec"]["template"] = template
                run.save()
        return at_work

    def create(self, job: Manifest) -> None:
        """Makes a run; one that is there already stays as it is."""
        name = job["metadata"]["name"]
        folder = self._folder.runs / name
        if name in self._runs or folder.exists():
            return
        now = datetime.now(UTC).isoformat()
        job = {**job, "metadata": {**job["metadata"], "creationTimestamp": now}}
        key = jobs.run_key(job)
        assert key is not None, "a Job that is not ours"
        new = folder.with_name(f".{name}.new")
        shutil.rmtree(new, ignore_errors=True)
        (new / "0").mkdir(parents=True)
        (new / "job.yaml").write_text(manifests.dump(job))
        new.rename(folder)
        self._runs[name] = Run(job, key, folder, Pod(folder / "0", 0))

    def delete(self, name: str) -> None:
        """Ends a run for good."""
        if run := self._runs.get(name):
            run.deleting = True

    def suspend(self, name: str, suspend: bool) -> None:
        """Holds a run back, or lets it go on in a new process."""
        run = self._runs.get(name)
        if run is None or run.suspended == suspend:
            return
        if not suspend and run.pod.over:
            number = run.pod.number + 1
            (run.folder / str(number)).mkdir(exist_ok=True)
            run.pod = Pod(run.folder / str(number), number)
        run.job["spec"]["suspend"] = suspend
        run.save()

    def kill(self) -> None:
        """Ends those runs at once that were asked to end before."""
        for run in self._runs.values():
            if run.pod.asked:
                run.pod.ask()

    def sync(self) -> list[RunFacts]:
        """Sees how the runs are, starts and stops what is to be, and says what is seen."""
        self._children = [c for c in self._children if c.poll() is None]
        for run in self._runs.values():
            run.pod.look()
        for name, run in list(self._runs.items()):
            wanted = not (run.suspended or run.deleting)
            if not wanted and run.pod.alive and not run.pod.asked:
                run.pod.ask()
            elif wanted and not run.pod.begun:
                self._start(run)
            elif run.deleting and not run.pod.alive:
                del self._runs[name]
        return [self._facts(run) for run in self._runs.values()]

    def pod(self, job: str) -> Pod | None:
        """The newest pod of a run."""
        run = self._runs.get(job)
        return run.pod if run else None

    def _start(self, run: Run) -> None:
        taken = {g for r in self._runs.values() if r.pod.alive for g in r.pod.gpus}
        gpus = gpus_in(run.job["spec"]["template"]["spec"], self.gpu_resource)
        share = self._machine.share(gpus, taken)
        if share is None:
            free = len(self._machine.gpus) - len(taken)
            run.problem = ("Unschedulable", f"needs {gpus} GPUs, and {free} are free")
            return
        command = container.command(
            run.job,
            folder=self._folder.path,
            inherited=self._environ,
            trial_command=self._trial_command,
        )
        run.problem = None
        pod, log = run.pod, self._folder.log(run.name)
        pod.gpus, pod.log_start = share, log.stat().st_size if log.exists() else 0
        given = {"gpus": share, "logStart": pod.log_start, "command": command.words}
        (pod.folder / "pod.json").write_text(json.dumps(given))
        own = self._machine.environment(share, self.parallelism)
        named = {e["name"] for e in main_spec(run.job["spec"]["template"]).get("env") or ()}
        kept = {"OMP_NUM_THREADS"} & (named | set(self._environ)) | {"CUDA_VISIBLE_DEVICES"} & named
        environment = command.environment | {k: v for k, v in own.items() if k not in kept}
        last_word = (pod.folder / "termination-log").resolve()
        environment["KUBESTUDY_TERMINATION_LOG"] = str(last_word)
        for variable in ("KUBESTUDY_CHECKPOINT_DIR", "KUBESTUDY_OUTPUT_DIR"):
            if variable in environment:
                Path(environment[variable]).mkdir(parents=True, exist_ok=True)
        with (pod.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            spec = run.job["spec"]["template"]["spec"]
            grace = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE)
            self._children.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", supervisor.__file__),
                        *(str(pod.folder.resolve()), str(log.resolve()), str(lock.fileno())),
                        *(str(spec.get("activeDeadlineSeconds", 0)), str(grace)),
                        *command.words,
                    ],
                    env=environment,
                    cwd=command.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is the runner's to hear.
                    pass_fds=(lock.fileno(),),
                )
            )
        pod.begun = True

    def _facts(self, run: Run) -> RunFacts:
        pod = run.pod
        facts: dict[str, Any] = {
            "created": moment(run.job["metadata"]["creationTimestamp"]),
            "deleting": run.deleting or (run.suspended and pod.alive),
            "suspended": run.suspended,
            "started": pod.started if pod.alive else None,
        }
        if pod.begun:
            identity = f"{run.job['metadata']['ownerReferences'][0]['uid']}/{run.name}/{pod.number}"
            facts |= {
                "pod": f"{run.name}-{pod.number}",
                "pod_uid": str(uuid.uuid5(uuid.NAMESPACE_URL, identity)),
                "node": self._host,
            }
        if pod.alive and pod.started:
            facts["state"] = RunState.RUNNING
        elif pod.over and not (run.suspended and pod.stopped):
            facts |= {"suspended": False, **self._end(run)}
        elif run.problem:
            facts["reason"], facts["message"] = run.problem
        return RunFacts(key=run.key, job=run.name, **facts)

    def _end(self, run: Run) -> dict[str, Any]:
        end = run.pod.exit
        if end is None:
            return {
                "state": RunState.FAILED,
                "reason": "NodeLost",
                "lost": True,
                "message": "its process was gone without a word: killed, or the machine went down",
                "ended": run.pod.started,
            }
        code = end["code"]
        facts: dict[str, Any] = {
            "state": RunState.FAILED if code or end.get("reason") else RunState.SUCCEEDED,
            "exit_code": code,
            "started": run.pod.started or datetime.fromisoformat(end["time"]),
            "ended": datetime.fromisoformat(end["time"]),
            "reason": end.get("reason"),
            "message": end.get("message") or "",
        }
        if code and not facts["reason"]:
            if end.get("stopped"):
                facts["reason"] = "Interrupted"
            facts["tail"] = _tail(self._folder.log(run.name), run.pod.log_start)
            last = last_line(facts["tail"])
            facts["message"] = f"exit code {code}" + (f", after printing: {last}" if last else "")
        return facts


def _asked(template: Manifest) -> Manifest:
    """What the user asks for in a pod template, without what kubestudy adds for each run."""
    main = main_spec(template)
    own = [e for e in main.get("env") or () if not e["name"].startswith("KUBESTUDY_")]
    return {**template["spec"], "containers": [{**main, "env": own}]}


def _held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found


def _tail(log: Path, start: int) -> str:
    """The end of a log, for a person who asks why."""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - _TAIL))
        return file.read().decode(errors="replace").replace("\r", "\n")
