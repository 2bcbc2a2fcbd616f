"""The command line of the test cluster: `python3 -m tests.testcluster --help`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from . import Cluster, ControlPlane, binaries, existing, images, reason_unavailable
from .paths import cache_dir, state_dir
from .progress import ClusterError, say

_NOT_UP = "the cluster is not up; bring it up with: python3 -m tests.testcluster up"

_EPILOG = """\
environment:
  KUBESTUDY_TEST_KUBECONFIG  a cluster of yours to use instead; none is then brought up
  KUBESTUDY_CLUSTER_STATE    the cluster's folder (logs, certificates, etcd's data)
  KUBESTUDY_AUDIT_LOG=1      as --audit-log
  KUBEBUILDER_ASSETS         a folder with programs to use rather than building them
  XDG_CACHE_HOME             where built programs and images are kept (below kubestudy/)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The arguments; those of the process by default.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(argv)
    try:
        status: int = options.run(options)
        return status
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.testcluster",
        description="A real one-node Kubernetes on this machine. Needs Linux and root; brings "
        "the rest. It outlives this command.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        added.set_defaults(run=run)
        return added

    def which(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--control-plane",
            action="store_true",
            help="only etcd, the API server and the controller-manager: no node, no root, free "
            "ports, its own folder beside the whole cluster's",
        )

    up = command("up", _up, "bring the cluster up, unless it is up and well")
    which(up)
    up.add_argument("--audit-log", action="store_true", help="log each request to the API server")
    down = command("down", _down, "take the cluster down and remove what it left")
    which(down)
    down.add_argument("--purge", action="store_true", help="remove imported images too")
    which(command("status", _status, "say what runs; exit status 0 if the cluster is well"))
    which(command("env", _env, 'print the shell command that selects the cluster, for eval "$()"'))

    build = command("build", _build, "build Kubernetes, helm or a base image into the cache")
    build.add_argument(
        "what", nargs="?", default="kubernetes", choices=["kubernetes", "helm", "base"]
    )
    helm = command("helm", _helm, "run helm on the cluster, built first if it is nowhere")
    helm.add_argument("words", nargs=argparse.REMAINDER, help="helm's own arguments")
    image = command("image", _image, "build an image by a Dockerfile and import it")
    image.add_argument("--tag", "-t", required=True, help="its name, localhost/...")
    image.add_argument("--file", "-f", type=Path, help="the Dockerfile; CONTEXT/Dockerfile if not")
    image.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    image.add_argument("context", type=Path, help="the folder that the Dockerfile copies from")
    load = command("load", _load, "import image archives (OCI's or docker save's) into the node")
    load.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    return parser


def _selected(options: argparse.Namespace) -> ControlPlane:
    audit_log = getattr(options, "audit_log", False) or None
    if options.control_plane:
        return ControlPlane(state_dir("control-plane"), controllers=True, audit_log=audit_log)
    return Cluster(audit_log=audit_log)


def _up(options: argparse.Namespace) -> int:
    given = existing()
    if given and not options.control_plane:
        say("KUBESTUDY_TEST_KUBECONFIG names a cluster; nothing is brought up")
        print(given.kubeconfig)
        return 0
    cluster = _selected(options)
    cluster.start()
    flag = " --control-plane" if options.control_plane else ""
    say(f'next: eval "$(python3 -m tests.testcluster env{flag})" && kubectl get nodes,namespaces')
    print(cluster.kubeconfig)
    return 0


def _down(options: argparse.Namespace) -> int:
    cluster = _selected(options)
    if isinstance(cluster, Cluster):
        cluster.stop(purge=options.purge)
    else:
        cluster.stop()
    return 0


def _status(options: argparse.Namespace) -> int:
    cluster = _selected(options)
    for daemon in cluster.daemons:
        print(f"{daemon.name:24} {f'process {daemon.pid}' if daemon.pid else 'not running'}")
    print(f"{'logs':24} {cluster.state / 'logs'}")
    print(f"{'cache':24} {cache_dir()}")
    well = cluster.healthy()
    if well:
        print(f"{'kubeconfig':24} {cluster.kubeconfig}")
        print(f"{'server':24} {cluster.server}")
        nodes = cluster.api.get("/api/v1/nodes")["items"]
        for node in nodes:
            print(f"{node['metadata']['name']:24} {json.dumps(node['status']['allocatable'])}")
    else:
        reason = reason_unavailable(control_plane_only=options.control_plane)
        print(f"the cluster is not up{f' and cannot be: {reason}' if reason else ''}")
    return 0 if well else 1


def _env(options: argparse.Namespace) -> int:
    given = existing()
    cluster = given if given and not options.control_plane else _selected(options)
    if not cluster.kubeconfig.exists():
        raise ClusterError(_NOT_UP)
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    return 0


def _build(options: argparse.Namespace) -> int:
    if options.what == "kubernetes":
        print(binaries.build())
    elif options.what == "helm":
        print(binaries.helm())
    else:
        image = images.base()
        images.build(image)
        print(image.tag)
    return 0


def _helm(options: argparse.Namespace) -> int:
    program = binaries.helm()
    # Never whatever cluster KUBECONFIG happens to name.
    env = {**os.environ, "KUBECONFIG": str((existing() or Cluster()).kubeconfig)}
    os.execve(program, [str(program), *options.words], env)


def _image(options: argparse.Namespace) -> int:
    cluster = _running()
    dockerfile = options.file or options.context / "Dockerfile"
    arguments = dict(pair.split("=", 1) for pair in options.build_arg)
    image = images.from_dockerfile(dockerfile, options.context, options.tag, arguments)
    print(cluster.provide_image(image))
    return 0


def _load(options: argparse.Namespace) -> int:
    cluster = _running()
    for archive in options.archives:
        cluster.load(archive)
    return 0


def _running() -> Cluster:
    cluster = Cluster()
    if not cluster.node.containerd.pid:
        raise ClusterError(_NOT_UP)
    return cluster


if __name__ == "__main__":
    sys.exit(main())
