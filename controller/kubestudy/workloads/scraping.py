"""How a trial's pod lets Prometheus read its metrics."""

from __future__ import annotations

from typing import Any

from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import StudySpec

METRICS_PORT = 9464


def scraping_env(spec: StudySpec, port: int, linger_seconds: int) -> dict[str, str]:
    """What a trial is told of its endpoint, as in ``docs/trial-contract.md``.

    Args:
        spec: The Study's spec.
        port: Where the endpoint listens; 0 for no endpoint.
        linger_seconds: How long it stays up after the end, where the Study does not say and has its
            metrics from Prometheus first of all.

    Returns:
        The variables; none where the Study does not ask for Prometheus.
    """
    if SourceType.PROMETHEUS not in spec.sources or not port:
        return {}
    (source,) = (s for s in spec.metrics or () if s.type == SourceType.PROMETHEUS)
    # A GPU waits meanwhile: by default only where the last value may come from nowhere else.
    default = linger_seconds if spec.sources[0] == SourceType.PROMETHEUS else 0
    linger = default if source.linger_seconds is None else source.linger_seconds
    return {"KUBESTUDY_METRICS_PORT": str(port), "KUBESTUDY_LINGER_SECONDS": str(linger)}


def expose(template: dict[str, Any], container: dict[str, Any], port: int) -> None:
    """Names the endpoint in a pod template, for a PodMonitor or a scraper that goes by annotations.

    Args:
        template: The template, whose metadata is added to.
        container: The container that trains, whose ports are added to.
        port: Where the endpoint listens.
    """
    ports = container.setdefault("ports", [])
    if not any(p.get("name") == "metrics" or p.get("containerPort") == port for p in ports):
        ports.append({"name": "metrics", "containerPort": port})
    metadata = template["metadata"] = template.get("metadata") or {}
    metadata["annotations"] = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        **(metadata.get("annotations") or {}),
    }
