"""How Studies go, for Prometheus: read from the caches whenever it asks.

There is a bounded number of series for each Study, whatever the number of its trials, and they
are gone once the Study is. A controller that does not lead has seen nothing, and tells nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubestudy.api.trial import FAILED, PAUSED, PENDING, RUNNING, STOPPED, SUCCEEDED, Trial
from kubestudy.runtime.cache import Cache
from kubestudy.runtime.studies import Studies

_STUDY = ["namespace", "study"]
_STUDY_STATES = ("Waiting", "Running", "Suspended", "Complete", "Failed", "Refused")
_TRIAL_STATES = (PENDING, RUNNING, PAUSED, SUCCEEDED, FAILED, STOPPED)


class StudyMetrics(Collector):
    """Tells what the caches hold.

    Args:
        studies: The Studies that were seen.
        trials: Their Trials.
    """

    def __init__(self, studies: Studies, trials: Cache[Trial]):
        self._studies, self._trials = studies, trials

    def describe(self) -> Iterable[Metric]:
        """Says nothing beforehand: before the caches are filled there is nothing to say."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Lists the metrics as they are now."""
        studies = self._studies.summaries()
        yield _counted(
            "kubestudy_studies",
            "Studies by namespace and state.",
            [(s.key[0], s.state) for s in studies],
            _STUDY_STATES,
        )
        yield _counted(
            "kubestudy_trials",
            "Trials by namespace and state.",
            [(t.metadata.namespace or "", t.state) for t in self._trials.values()],
            _TRIAL_STATES,
        )
        best = GaugeMetricFamily(
            "kubestudy_study_best_objective",
            "The best trial's value of each objective of a Study.",
            labels=[*_STUDY, "objective"],
        )
        used = GaugeMetricFamily(
            "kubestudy_study_gpu_used_seconds", "GPU-seconds of a Study's runs.", labels=_STUDY
        )
        saved = GaugeMetricFamily(
            "kubestudy_study_gpu_saved_seconds",
            "GPU-seconds that a Study did not spend, against running each trial to its end.",
            labels=_STUDY,
        )
        for study in studies:
            for metric, value in study.best:
                best.add_metric([*study.key, metric], value)
            if study.gpu_seconds is not None:
                used.add_metric([*study.key], study.gpu_seconds[0])
                saved.add_metric([*study.key], study.gpu_seconds[1])
        yield from (best, used, saved)


def _counted(
    name: str, text: str, found: list[tuple[str, str]], states: tuple[str, ...]
) -> GaugeMetricFamily:
    """Counts by namespace and state; each state of a namespace is told, be it zero."""
    counts = Counter(found)
    family = GaugeMetricFamily(name, text, labels=["namespace", "state"])
    for namespace in sorted({namespace for namespace, _ in found}):
        for state in states:
            family.add_metric([namespace, state], counts[namespace, state])
    return family
