"""Programs that print what no program should: each has its result, and others do not notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kubestudy.api.trial import MAX_METRICS
from kubestudy.runtime.client import Object
from tests.support.kubectl import Namespace, condition, count, is_true, missing_reports
from tests.support.node import Usage
from tests.support.studies import study

pytestmark = pytest.mark.timeout(300, func_only=True)

STORM = 300_000


@dataclass(frozen=True)
class Hazard:
    """A program, and what becomes of its trial.

    Attributes:
        script: What it does.
        failed: The reason for which its trial fails, None where it succeeds.
        latest: The last accuracy that it is seen to have reported.
        reports: How often it is seen to have done so.
        metrics: How many metrics it is seen to have.
    """

    script: str
    failed: str | None = None
    latest: float | None = 0.5
    reports: int = 1
    metrics: int = 1


BAR = "Epoch 0: %6d|##########| [00:16<00:00, 61.2it/s, v_num=0, train_loss=0.310,"

HAZARDS = {
    "nan": Hazard("""echo '{"accuracy": NaN}'""", "Diverged", None),
    "infinity": Hazard("echo accuracy=0.5; echo accuracy=-inf", "Diverged"),
    "never-printed": Hazard("echo loss=0.5", "MetricMissing", None),
    "long-line": Hazard(
        """printf '{"accuracy": 0.9, "x": "'; head -c 10000000 /dev/zero | tr '\\0' x; echo '"}'
        echo accuracy=0.5"""
    ),
    "line-without-end": Hazard("echo accuracy=0.5; head -c 10000000 /dev/zero | tr '\\0' x"),
    "bar-of-a-megabyte": Hazard(
        f"""awk 'BEGIN {{ for (i = 0; i < 12000; i++)
        printf "\\r{BAR} accuracy=0.%d]  ", i, i % 7
        printf "\\r{BAR} accuracy=0.5]\\n", i }}' >&2
        echo done"""
    ),
    "parts-of-numbers": Hazard(
        "for v in 0,91 1,234.5 0:08:20 9200/10000 0.7s 0.7-0.9 1.2.3; do echo accuracy=$v; done;"
        " echo accuracy=0.5"
    ),
    "no-utf-8": Hazard(r"printf '\377\376 accuracy=0.5 \200\n'"),
    "colours": Hazard(r"printf '\033[32maccuracy\033[0m=\033[1;31m0.5\033[0m\n'"),
    "storm-of-reports": Hazard(
        f"""awk 'BEGIN {{ for (i = 0; i < {STORM}; i++)
        printf "{{\\"seq\\": %d, \\"accuracy\\": 0.5}}\\n", i }}'""",
        reports=STORM,
    ),
    "storm-of-words": Hazard(
        "yes 'nothing of interest, said again and again' | head -n 1000000; echo accuracy=0.5"
    ),
    "5000-names": Hazard(
        """awk 'BEGIN { for (i = 0; i < 5000; i++)
        printf "{\\"seq\\": %d, \\"metric%d\\": 1}\\n", i, i }'; echo accuracy=0.5""",
        metrics=MAX_METRICS,
    ),
    "long-last-word": Hazard(
        """echo accuracy=0.5
        { printf '{"metrics": {"accuracy": {"latest": 0.9}}, "message": "'
        head -c 5120 /dev/zero | tr '\\0' x; echo '"}'; } > /dev/termination-log"""
    ),
}

# Python's own engine would need years for one such line.
EXPLOSIVE = r"^(?:(?:a+)+)+ accuracy (?P<value>[\d.]+)$"
EXPLODE = """awk 'BEGIN { s = sprintf("%16000s", ""); gsub(/ /, "a", s)
for (i = 0; i < 200; i++) print s }'; echo 'aaa accuracy 0.5'"""


def programs(name: str, scripts: dict[str, str], **spec: Any) -> Object:
    """A Study of a trial for each program, all of them at once."""
    cases = "\n".join(f"--program={key}) {script} ;;" for key, script in scripts.items())
    return study(
        name,
        {"program": list(scripts)},
        budget={"parallelism": len(scripts), "maxFailedTrials": len(scripts)},
        trial={
            "image": "localhost/busybox:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", f'case "$1" in\n{cases}\nesac', "sh"],
        },
        **spec,
    )


def test_what_no_program_should_print_has_its_result_and_harms_nobody(
    place: Namespace, controller_use: Callable[[], Usage]
) -> None:
    before = controller_use()
    place.apply(programs("odd", {name: hazard.script for name, hazard in HAZARDS.items()}))
    regex = [{"type": "Logs", "formats": ["Regex"], "regex": EXPLOSIVE}]
    place.apply(programs("explosive", {"one": EXPLODE}, metrics=regex))
    well = {f"{i}": f"sleep 1; echo accuracy={i}; sleep 1; echo accuracy=0.{i}" for i in range(6)}
    place.apply(programs("well", well))

    done = place.wait_for_end("well", timeout=60)
    assert count(done, "succeeded") == len(well)
    assert done["status"]["best"]["parameters"] == {"program": "5"}
    for trial in place.trials("well"):
        (track,) = trial["status"]["metrics"]
        index = trial["spec"]["parameters"]["program"]
        assert (track["latest"], track["max"], track["count"]) == (
            float(f"0.{index}"),
            int(index),
            2,
        )

    assert count(place.wait_for_end("explosive", timeout=60), "succeeded") == 1
    place.wait_for_end("odd", timeout=120)
    for trial in place.trials("odd"):
        name = trial["spec"]["parameters"]["program"]
        check(name, HAZARDS[name], trial)

    now = controller_use()
    print(
        f"the controller took {now.cpu - before.cpu:.1f} s of CPU, {now.peak:.0f} MiB at its peak"
    )
    assert now.peak - before.peak < 100


def check(name: str, hazard: Hazard, trial: Object) -> None:
    """Compares what became of a trial with what should have."""
    assert condition(trial, "Failed").get("reason") == hazard.failed, name
    assert is_true(trial, "Succeeded") is (hazard.failed is None), name
    metrics = {m["metric"]: m for m in trial["status"].get("metrics") or ()}
    track = metrics.get("accuracy", {})
    assert track.get("latest") == hazard.latest, name
    if track:
        assert track["count"] + missing_reports(trial) == hazard.reports, name
        assert len(metrics) == hazard.metrics, name
