"""Runs the controller as a process: connects, waits to lead, works, stops gracefully."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import uuid

from prometheus_client import REGISTRY

from kubestudy import __version__
from kubestudy.runtime import metrics
from kubestudy.runtime.client import KubeClient
from kubestudy.runtime.controller import Controller, ControllerSettings
from kubestudy.runtime.leader import Leadership
from kubestudy.runtime.push_inbox import PushInbox
from kubestudy.runtime.push_server import PushServer, PushServerSettings
from kubestudy.runtime.server import serve
from kubestudy.runtime.study_metrics import StudyMetrics
from kubestudy.runtime.vital_signs import VitalSigns

log = logging.getLogger(__name__)

LEASE = "kubestudy-controller"


def identity() -> str:
    """Who we are: the pod, whose restarted container takes over at once, or this process alone."""
    pod = os.environ.get("POD_UID")
    return f"{socket.gethostname()}_{pod or uuid.uuid4()}"


def run_controller(
    client: KubeClient,
    settings: ControllerSettings,
    *,
    port: int,
    lease_namespace: str | None,
    push: PushServerSettings | None = None,
) -> int:
    """Works until SIGTERM or SIGINT.

    Args:
        client: The API server.
        settings: The administrator's.
        port: Of probes and metrics.
        lease_namespace: Where the lease is held; None to lead without one.
        push: How trials' posts are taken; None for not at all.

    Returns:
        The exit code: 1 where leadership was lost, so that the process starts anew.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    leadership = None
    deciding = client
    signs = VitalSigns()
    if lease_namespace is not None:
        leadership = Leadership(client, lease_namespace, LEASE, settings.identity, signs)
        deciding = client.fenced(leadership.holds)
    controller = Controller(deciding, settings, signs)
    # A standby is ready too: it is there to take over.
    server = serve(port, alive=signs.alive, ready=lambda: True)
    log.info("kubestudy %s listens on port %d", __version__, server.server_port)
    # A standby takes posts as well: they are written down, and nothing is decided.
    pushes = PushServer(push, PushInbox(client)) if push is not None else None
    if pushes is not None:
        pushes.start()
        log.info("posts are taken on port %d", pushes.server_port)
    metrics.QUEUE.set_function(lambda: len(controller.queue))
    REGISTRY.register(StudyMetrics(controller.studies, controller.trials))

    code = 0
    if leadership is None or leadership.acquire(stopping):
        metrics.LEADER.set(1)
        if controller.start(stopping):
            while not stopping.wait(0.2):
                if leadership is not None and leadership.lost.is_set():
                    code = 1
                    break
        if code:
            # Another may lead by now: nothing more is written, not even to say goodbye.
            os._exit(code)
        controller.stop()
        if leadership is not None:
            leadership.release()
    if pushes is not None:
        pushes.stop()
    server.shutdown()
    log.info("stopped")
    return code
