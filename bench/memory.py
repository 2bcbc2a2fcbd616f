"""What the controller holds of each object: ``python -m bench.memory``.

Objects are put into the controller's caches as they come from the API server, and what Python has
allocated for them afterwards is divided by their number. Nothing runs and nothing is asked.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

from kubestudy.runtime.cache import Cache
from kubestudy.runtime.controller import Controller, ControllerSettings
from kubestudy.runtime.objects import Object
from tests.unit import build

NUMBER = 50
WHEN = "2026-01-01T00:00:00Z"


def containers(entries: int) -> list[Object]:
    """Containers with so many variables, each of 35 bytes as JSON."""
    env = [{"name": f"V{i:05}", "value": f"{i:05}"} for i in range(entries)]
    return [{"name": "trial", "image": "image", "env": env}]


def metadata(name: str, number: int) -> Object:
    """The metadata of a kind's object."""
    return {
        "name": f"{name}-{number}",
        "namespace": "team",
        "uid": f"{name}-{number}",
        "resourceVersion": str(number + 1),
        "creationTimestamp": WHEN,
        "labels": {"kubestudy.dev/run": f"{name}-{number}"},
        "annotations": {
            "kubestudy.dev/study": "demo",
            "kubestudy.dev/trial": "demo-0",
            "kubestudy.dev/run": "0/0/0",
        },
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
        ],
        "managedFields": [{"manager": "m", "fieldsV1": {f"f:{i}": {} for i in range(20)}}],
    }


def study(number: int, entries: int) -> Object:
    """A Study with a pod template."""
    template = {"spec": {"containers": containers(entries)}}
    found = build.study_document(trial={"template": template})
    return {**found, "metadata": metadata("study", number)}


def job(number: int, entries: int) -> Object:
    """A Job that has ended."""
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": WHEN}
    return {
        "metadata": metadata("job", number),
        "spec": {"template": {"spec": {"containers": containers(entries)}}},
        "status": {"conditions": [ended]},
    }


def pod(number: int, entries: int) -> Object:
    """A pod that runs."""
    running = {"name": "trial", "state": {"running": {"startedAt": WHEN}}}
    return {
        "metadata": metadata("pod", number),
        "spec": {"containers": containers(entries)},
        "status": {"phase": "Running", "containerStatuses": [running]},
    }


def trial(number: int, points: int) -> Object:
    """A Trial with a course of so many points."""
    found = build.trial(number, state="Succeeded", value=0.5).to_json()
    found["status"]["curve"] = [{"step": i, "value": 0.5 + i / 7} for i in range(points)]
    return {**found, "metadata": found["metadata"] | metadata("trial", number)}


def held(cache: Cache[Any], make: Callable[[int, int], Object], size: int) -> tuple[float, float]:
    """KiB of an object as JSON, and in memory."""
    text = 0
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(NUMBER):
        raw = json.dumps(make(number, size), separators=(",", ":"))
        text = len(raw)
        cache.put(json.loads(raw))
        del raw
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return text / 1024, (after - before) / NUMBER / 1024


def main() -> None:
    """Prints a table."""
    print("| object | KiB as JSON | KiB held |\n| --- | --- | --- |")
    for name, make, size in (
        ("Study", study, 40),
        ("Study, large", study, 7_000),
        ("Study, too large", study, 37_000),
        ("Job", job, 40),
        ("Job, large", job, 31_000),
        ("pod", pod, 40),
        ("pod, large", pod, 31_000),
        ("Trial without a course", trial, 0),
        ("Trial with 100 points", trial, 100),
        ("Trial with 400 points", trial, 400),
    ):
        controller = Controller(None, ControllerSettings())  # type: ignore[arg-type]
        caches: dict[Any, Cache[Any]] = {
            study: controller.studies.cache,
            job: controller.jobs,
            pod: controller.pods,
            trial: controller.trials,
        }
        text, memory = held(caches[make], make, size)
        print(f"| {name} | {text:.1f} | {memory:.1f} |")


if __name__ == "__main__":
    main()
