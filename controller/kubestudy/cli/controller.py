"""The command that runs the controller, in a pod or on a developer's machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

# Prometheus takes up to five seconds to begin with a new pod, and a scrape may come a little late.
SCRAPE_MARGIN = 10


@click.command(short_help="Run the controller (what the Deployment's pod does).")
@click.option("--kubeconfig", metavar="FILE", help="Path of the kubeconfig; in a pod not needed.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig to use.")
@click.option(
    "--watch-namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    envvar="KUBESTUDY_WATCH_NAMESPACES",
    help="Run Studies of this namespace only; may be repeated. All namespaces by default.",
)
@click.option(
    "--trial-image",
    metavar="IMAGE",
    envvar="KUBESTUDY_TRIAL_IMAGE",
    help="Image of trials that name none.",
)
@click.option(
    "--allow",
    "powers",
    multiple=True,
    type=click.Choice(
        ["privileged", "hostPath", "hostNamespaces", "nodeChoice", "serviceAccountToken"]
    ),
    help="What pod templates of Studies may ask for; may be repeated. None of it by default.",
)
@click.option(
    "--allow-service-account",
    "service_accounts",
    multiple=True,
    metavar="NAME",
    help="Service account, besides default, that trials may run as; may be repeated.",
)
@click.option(
    "--prometheus-url",
    metavar="URL",
    envvar="KUBESTUDY_PROMETHEUS_URL",
    help="The Prometheus that scrapes the trials; Studies may then read metrics from it.",
)
@click.option(
    "--prometheus-ca-file",
    metavar="FILE",
    envvar="KUBESTUDY_PROMETHEUS_CA_FILE",
    type=click.Path(path_type=Path),
    help="Certificates to trust in place of the system's.",
)
@click.option(
    "--prometheus-token-file",
    metavar="FILE",
    envvar="KUBESTUDY_PROMETHEUS_TOKEN_FILE",
    type=click.Path(path_type=Path),
    help="File with a bearer token; it is read again for each query.",
)
@click.option(
    "--prometheus-scrape-interval",
    metavar="SECONDS",
    envvar="KUBESTUDY_PROMETHEUS_SCRAPE_INTERVAL",
    type=click.IntRange(1, 300),
    default=30,
    show_default=True,
    help="How often it scrapes a trial.",
)
@click.option(
    "--push-url",
    metavar="URL",
    envvar="KUBESTUDY_PUSH_URL",
    help="Where trials reach the endpoint that they push to; Studies may then have Push.",
)
@click.option(
    "--push-port",
    default=8090,
    show_default=True,
    metavar="PORT",
    help="Port of that endpoint.",
)
@click.option(
    "--push-certificate-file",
    metavar="FILE",
    envvar="KUBESTUDY_PUSH_CERTIFICATE_FILE",
    type=click.Path(path_type=Path),
    help="Its certificate (and key), read again for each connection; plain HTTP without.",
)
@click.option(
    "--push-key-file",
    metavar="FILE",
    envvar="KUBESTUDY_PUSH_KEY_FILE",
    type=click.Path(path_type=Path),
    help="The certificate's key, where that is a file of its own.",
)
@click.option(
    "--push-ca-file",
    metavar="FILE",
    envvar="KUBESTUDY_PUSH_CA_FILE",
    type=click.Path(path_type=Path, exists=True),
    help="Certificates that trials trust in place of their system's.",
)
@click.option(
    "--allow-sampler",
    "samplers",
    multiple=True,
    metavar="PATH",
    envvar="KUBESTUDY_ALLOWED_SAMPLERS",
    help="Import path of a sampler for Optuna that Studies may name; may be repeated.",
)
@click.option("--workers", default=4, show_default=True, help="Studies worked on at once.")
@click.option("--port", default=8080, show_default=True, help="Port of probes and metrics.")
@click.option(
    "--leader-elect/--no-leader-elect",
    default=True,
    show_default=True,
    help="Decide only while holding the lease.",
)
@click.option(
    "--lease-namespace",
    metavar="NAME",
    envvar="POD_NAMESPACE",
    help="Namespace of the lease; the pod's own by default.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@click.option(
    "--log-format", type=click.Choice(["json", "text"]), default="text", show_default=True
)
def controller(
    kubeconfig: str | None,
    context: str | None,
    namespaces: tuple[str, ...],
    trial_image: str | None,
    powers: tuple[str, ...],
    service_accounts: tuple[str, ...],
    prometheus_url: str | None,
    prometheus_ca_file: Path | None,
    prometheus_token_file: Path | None,
    prometheus_scrape_interval: int,
    push_url: str | None,
    push_port: int,
    push_certificate_file: Path | None,
    push_key_file: Path | None,
    push_ca_file: Path | None,
    samplers: tuple[str, ...],
    workers: int,
    port: int,
    leader_elect: bool,
    lease_namespace: str | None,
    log_level: str,
    log_format: str,
) -> None:
    """Run the controller: watch Studies, run their trials, report the best.

    \b
    In a cluster it is the Deployment that runs this; on a developer's machine,
    against the cluster of the current context:
        kubestudy controller --no-leader-elect
    """  # noqa: D301
    # Studies are worked on by threads of our own; those of numpy would only be in their way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from kubestudy.algorithms import custom
    from kubestudy.cli.cluster import connected
    from kubestudy.core.pod_security import Allowed, Power
    from kubestudy.runtime import logs, metrics
    from kubestudy.runtime.controller import ControllerSettings
    from kubestudy.runtime.main import identity, run_controller
    from kubestudy.runtime.prometheus import PrometheusSettings
    from kubestudy.runtime.push_server import PushServerSettings
    from kubestudy.workloads.pod_template import DEFAULT_TRIAL_IMAGE, JobSettings
    from kubestudy.workloads.pushing import PushSettings

    custom.allow(samplers)
    logs.configure(log_level, log_format == "json")
    client = connected(kubeconfig, context)
    client.on_answer = metrics.requested
    prometheus = None
    if prometheus_url:
        try:
            prometheus = PrometheusSettings(
                prometheus_url,
                prometheus_ca_file,
                prometheus_token_file,
                prometheus_scrape_interval,
            )
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--prometheus-url") from error
    push = endpoint = None
    if push_url:
        try:
            push = PushSettings(push_url, push_ca_file.read_text() if push_ca_file else "")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--push-url") from error
        endpoint = PushServerSettings(push_port, push_certificate_file, push_key_file)
    trial_image = trial_image or DEFAULT_TRIAL_IMAGE
    settings = ControllerSettings(
        namespaces=namespaces,
        workers=workers,
        identity=identity(),
        jobs=JobSettings(
            trial_image, linger_seconds=prometheus_scrape_interval + SCRAPE_MARGIN, push=push
        ),
        allowed=Allowed(frozenset(map(Power, powers)), frozenset(service_accounts)),
        prometheus=prometheus,
    )
    lease = (lease_namespace or client.namespace) if leader_elect else None
    sys.exit(run_controller(client, settings, port=port, lease_namespace=lease, push=endpoint))
