"""The command that runs the controller, in a pod or on a developer's machine."""

from __future__ import annotations

import sys

import click


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
    type=click.Choice(["privileged", "hostPath", "hostNamespaces", "serviceAccountToken"]),
    help="What pod templates of Studies may ask for; may be repeated. None of it by default.",
)
@click.option(
    "--allow-service-account",
    "service_accounts",
    multiple=True,
    metavar="NAME",
    help="Service account, besides default, that trials may run as; may be repeated.",
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
    from kubestudy.core.pod_security import Allowed, Power
    from kubestudy.runtime import logs, metrics
    from kubestudy.runtime.client import KubeClient
    from kubestudy.runtime.controller import ControllerSettings
    from kubestudy.runtime.main import identity, run_controller
    from kubestudy.workloads.job import DEFAULT_TRIAL_IMAGE, JobSettings

    logs.configure(log_level, log_format == "json")
    client = KubeClient.connect(kubeconfig, context)
    client.on_answer = metrics.requested
    settings = ControllerSettings(
        namespaces=namespaces,
        workers=workers,
        identity=identity(),
        jobs=JobSettings(trial_image or DEFAULT_TRIAL_IMAGE),
        allowed=Allowed(frozenset(map(Power, powers)), frozenset(service_accounts)),
    )
    lease = (lease_namespace or client.namespace) if leader_elect else None
    sys.exit(run_controller(client, settings, port=port, lease_namespace=lease))
