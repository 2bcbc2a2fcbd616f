"""What the runs have reported, read from their logs as they grow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kubestudy.api.study import StudySpec
from kubestudy.core.facts import RunFacts
from kubestudy.core.reports import RunReport
from kubestudy.local.processes import Processes
from kubestudy.local.store import Folder
from kubestudy.sources.log_lines import MAX_LINE, LineReader
from kubestudy.sources.terminal import drawn_last
from kubestudy.sources.termination import last_word

_CHUNK = 1 << 20
_LONGEST = 5 * MAX_LINE
"""Bytes of an unfinished line; of MAX_LINE characters, none has more than four."""


@dataclass
class _Tail:
    """How far the log of one pod has been read."""

    path: Path
    position: int
    report: RunReport
    rest: bytes = b""

    def read(self, reader: LineReader) -> bool:
        """Takes the lines that were written since; returns whether one was a report."""
        news = False
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            file.seek(self.position)
            while chunk := file.read(_CHUNK):
                self.position += len(chunk)
                *lines, self.rest = (self.rest + chunk).split(b"\n")
                if len(self.rest) > _LONGEST:
                    # Too long for a report, except for what a progress bar leaves at its end.
                    self.rest = (drawn_last(self.rest) or self.rest)[:_LONGEST]
                for line in lines:
                    news |= reader.take(line.decode(errors="replace"), self.report)
        return news


class Reports:
    """The reports of the runs that are at work or have just ended, by pod UID."""

    def __init__(self, folder: Folder, processes: Processes, spec: StudySpec):
        self._folder, self._processes = folder, processes
        self._spec = spec
        self._reader = LineReader(spec)
        self._tails: dict[str, _Tail] = {}

    def read(self, runs: list[RunFacts]) -> bool:
        """Reads what is new in the logs; returns whether there was any report."""
        news = False
        for run in runs:
            pod = self._processes.pod(run.job)
            if run.pod_uid is None or pod is None:
                continue
            tail = self._tails.get(run.pod_uid)
            if tail is None:
                log = self._folder.log(run.job)
                tail = _Tail(log, pod.log_start, RunReport.empty(self._spec))
                self._tails[run.pod_uid] = tail
            if tail.report.complete:
                continue
            news |= tail.read(self._reader)
            if run.ended_by_itself:
                word = pod.folder / "termination-log"
                text = word.read_text(errors="replace") if word.exists() else None
                tail.report.close(last_word(text, self._reader.wanted))
                self._reader.explain(tail.report)
                news = True
        current = {run.pod_uid for run in runs}
        self._tails = {uid: t for uid, t in self._tails.items() if uid in current}
        return news

    @property
    def by_pod(self) -> dict[str, RunReport]:
        """The reports by pod UID."""
        return {uid: tail.report for uid, tail in self._tails.items()}
