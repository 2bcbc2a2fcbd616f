"""How fast the lines of a log are read: those that programs print, and the worst that there are.

    python -m bench.log_reading [FOLDER...]

Without a FOLDER, this checkout is measured. With some, each is the root of another checkout, such
as one of the commit before. They are measured in turn, each in a process of its own, so that a
machine that is slower for a while is so for all of them. The column ``time`` is what the last one
takes, as a part of what the first one takes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7
LINES = 20_000
LONG = 16 * 1024

BAR = "Epoch {e}:  40%|████      | {i}/1000 [00:16<00:00, 61.2it/s, v_num=0, train_loss=0.310]"
TRAINER = "{{'loss': 0.5{i}, 'grad_norm': 1.25, 'learning_rate': 2e-05, 'epoch': 0.{i}}}"
EVALUATION = (
    "{{'eval_loss': 0.41, 'eval_accuracy': 0.8{i}, 'eval_runtime': 1.2,"
    " 'eval_samples_per_second': 812.1, 'epoch': 1.0}}"
)

KINDS: dict[str, list[str]] = {
    "words": [
        "2026-01-01 00:00:0{i} INFO loading the shard number {i} of the data from its cache",
        "Some weights of the model were not initialized and are newly initialized: ['classifier']",
        "nothing of interest, said again and again, for the {i}th time",
    ],
    "trainer": [TRAINER] * 9 + [EVALUATION],
    "bars": [BAR],
    "key=value": [
        "epoch {e}/10 step {i}: loss=0.3{i}, lr=2e-05",
        "epoch {e}/10: eval_accuracy=0.8{i}, eval_loss=0.4",
    ],
    "json reports": ['{{"seq": {i}, "step": {i}, "epoch": {e}, "eval_accuracy": 0.8{i}}}'],
    "json logs": ['{{"level": "info", "time": 1722000{i}, "msg": "step done", "loss": 0.5}}'],
    "colours": ["\x1b[32mINFO\x1b[0m step {i} \x1b[1mloss\x1b[0m=0.3{i}"],
}


def hard(name: str) -> dict[str, str]:
    """The longest lines, each made so that an expression that tries again would try for long."""
    forms = {
        "digits": (f"{name}=", "1"),
        "blanks": (name, " "),
        "names with blanks": ("", f"{name}         "),
        "names": ("", f"{name}="),
        "values": ("", f"{name}=0.5 - 0.6 "),
        "values with blanks": ("", f"{name}=0.5          "),
        "one value with blanks": (f"{name}=0.5", " "),
        "an open quote": (f"{{'{name}': '", "a"),
        "open dictionaries": ("", f"{{'{name}': "),
        "dictionaries": ("", f"{{'{name}': 1}}"),
        "escapes": (f"{{'a': \"{name}", "\\'"),
        "JSON within JSON": ("", f'{{"{name}":'),
        "JSON beside JSON": (name, '{"a":0}'),
        "places": (f"{name}=1 ", "epoch 3/"),
        "places with blanks": (f"{name}=1 ", "epoch       "),
        "calls": ("", f"{name}=tensor(0.5,"),
        "keywords": (f"{name}=tensor(0.5", ", a=b"),
        "colours": (name, "\x1b[1;"),
    }
    return {kind: (begin + part * LONG)[:LONG] for kind, (begin, part) in forms.items()}


def spec():
    from kubestudy.api.validation import parse_study

    return parse_study(
        {
            "apiVersion": "kubestudy.dev/v1alpha1",
            "kind": "Study",
            "metadata": {"name": "demo"},
            "spec": {
                "objectives": [{"metric": "eval_accuracy", "direction": "Maximize"}],
                "parameters": [{"name": "lr", "values": [0.1]}],
                "algorithm": {"type": "Grid"},
                "trial": {"image": "train"},
            },
        }
    ).spec


def measure() -> dict[str, float]:
    """Seconds of CPU for a line of each kind, in this process, by the reader on its path."""
    from kubestudy.core.reports import RunReport
    from kubestudy.sources.log_lines import LineReader

    study = spec()
    times = {}
    for kind, forms in KINDS.items():
        lines = [forms[i % len(forms)].format(i=i, e=i // 1000) for i in range(LINES)]
        times[kind] = _time(LineReader(study), RunReport.empty(study), lines)
    mixed = [f.format(i=i, e=1) for i in range(LINES // 20) for k in KINDS.values() for f in k]
    times["mixed"] = _time(LineReader(study), RunReport.empty(study), mixed)
    for kind, line in hard("eval_accuracy").items():
        times[f"hard: {kind}"] = _time(LineReader(study), RunReport.empty(study), [line] * 20)
    return times


def _time(reader, report, lines: list[str]) -> float:
    began = time.process_time()
    if hasattr(reader, "take"):
        for line in lines:
            reader.take(line, report)
    else:
        for line in lines:
            if (observation := reader.read(line)) is not None:
                report.add(observation)
    return (time.process_time() - began) / len(lines)


def main() -> None:
    if sys.argv[1:] == ["--one"]:
        print(json.dumps(measure()))
        return
    folders = sys.argv[1:] or [str(Path(__file__).parents[1])]
    seen: list[list[dict[str, float]]] = [[] for _ in folders]
    for _ in range(ROUNDS):
        for folder, times in zip(folders, seen, strict=True):
            environment = {**os.environ, "PYTHONPATH": str(Path(folder) / "controller")}
            done = subprocess.run(
                [sys.executable, __file__, "--one"], env=environment, check=True, stdout=-1
            )
            times.append(json.loads(done.stdout))
    print("| lines | " + " | ".join(f"lines/s of {f}" for f in folders) + " | time |")
    print("| --- |" + " --- |" * (len(folders) + 1))
    for kind in seen[0][0]:
        medians = [statistics.median(t[kind] for t in times) for times in seen]
        ratio = statistics.median(b[kind] / a[kind] for a, b in zip(seen[0], seen[-1], strict=True))
        print(f"| {kind} | " + " | ".join(f"{1 / m:,.0f}" for m in medians) + f" | {ratio:.2f} |")


if __name__ == "__main__":
    main()
