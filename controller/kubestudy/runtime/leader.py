"""Leader election by a Lease: one controller at a time decides.

The protocol is client-go's: the holder renews, others wait until a lease has not moved for its
duration by their own clock (so that clocks need not agree), and a holder that cannot renew in
time writes nothing more before the others begin. It has lost the lease once another one holds it;
while the API server is away nobody can, and what the holder has read of logs meanwhile may be had
no more. Released on a graceful stop.
"""

from __future__ import annotations

import logging
import random
import threading
import time

from kubestudy.runtime.client import LEASES, ApiError, KubeClient, Object
from kubestudy.runtime.vital_signs import VitalSigns

log = logging.getLogger(__name__)

DURATION = 15.0
RENEW_DEADLINE = 10.0
RETRY = 2.0
# So that a server that does not answer is given up before others begin.
PATIENCE = 4.0
# Seconds in which it is tried again, whether or not the server answers.
LEASE_PATIENCE = 60.0


class Leadership:
    """Holds a Lease.

    Args:
        client: The API server.
        namespace: Where the Lease is.
        name: Its name.
        identity: Who we are; a successor with the same identity takes over at once.
        signs: Where it shows that it is renewed, or that this is tried.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        signs: VitalSigns | None = None,
    ):
        self._client = client.hasty(PATIENCE)
        self._namespace, self._name = namespace, name
        self._identity = identity
        self._seen: tuple[str | None, str | None] = (None, None)
        self._moved, self._duration = 0.0, DURATION
        self._renewed = -DURATION
        self._stopping = threading.Event()
        self._pulse = (signs or VitalSigns()).pulse("lease", LEASE_PATIENCE)
        self.lost = threading.Event()

    def acquire(self, give_up: threading.Event) -> bool:
        """Waits until we are the leader; False if told to give up first."""
        waiting = False
        while not give_up.is_set():
            self._pulse.beat()
            try:
                if self._try():
                    log.info("leading as %s", self._identity)
                    threading.Thread(target=self._keep, name="lease", daemon=True).start()
                    return True
                if not waiting:
                    log.info("waiting for the leader %s", self._seen[0])
                    waiting = True
            except ApiError as error:
                log.warning("lease: %s", error)
            except Exception:  # what somebody wrote into the lease may be written over
                log.exception("the lease cannot be taken")
            # Not beyond the moment that the lease runs out.
            give_up.wait(min(RETRY * random.uniform(0.5, 1), max(0.05, self._expires_in())))
        return False

    def holds(self) -> bool:
        """Whether nobody else can lead yet: one who was frozen learns it here, before it writes."""
        renewed = time.monotonic() - self._renewed < RENEW_DEADLINE
        return renewed and not self._stopping.is_set()

    def release(self) -> None:
        """Lets a waiting controller take over at once."""
        self._stopping.set()
        client = self._client.hasty(1)
        try:
            lease = client.get(LEASES, self._namespace, self._name)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                client.replace(LEASES, self._namespace, self._name, lease)
        except ApiError as error:
            log.warning("the lease was not released: %s", error)

    def _keep(self) -> None:
        while not self._stopping.wait(RETRY):
            self._pulse.beat()
            try:
                if not self._try(ours=True):
                    break
            except ApiError as error:
                log.warning("the lease was not renewed: %s", error)
            except Exception:  # what somebody wrote into it may be written over
                log.exception("the lease was not renewed")
        self._pulse.end()
        if not self._stopping.is_set():
            log.error("leadership is lost")
            self.lost.set()

    def _try(self, ours: bool = False) -> bool:
        """Takes or renews the lease; False while somebody else has it.

        Args:
            ours: Whether it was ours before, and is to be renewed only if nobody else led since.
        """
        try:
            lease = self._client.get(LEASES, self._namespace, self._name)
        except ApiError as error:
            if error.status != 404:
                raise
            return self._write(None, ours)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if (holder, spec.get("renewTime")) != self._seen:
            self._seen = (holder, spec.get("renewTime"))
            self._moved = time.monotonic()
        self._duration = spec.get("leaseDurationSeconds") or DURATION
        if holder != self._identity and (ours or (holder and self._expires_in() > 0)):
            return False
        return self._write(lease, ours)

    def _expires_in(self) -> float:
        """Seconds until the lease that was seen last runs out, if it does not move."""
        return self._moved + self._duration - time.monotonic()

    def _write(self, lease: Object | None, ours: bool) -> bool:
        began = time.monotonic()
        now = self._client.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((lease or {}).get("spec") or {})
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", -1) + 1
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "renewTime": now,
        }
        try:
            if lease is None:
                metadata = {"name": self._name, "namespace": self._namespace}
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": spec,
                }
                self._client.create(LEASES, body)
            else:
                self._client.replace(LEASES, self._namespace, self._name, lease | {"spec": spec})
        except ApiError as error:
            # What was ours may have been changed by a request of ours whose answer was lost: who
            # holds it is seen when it is read again.
            if error.reason in ("Conflict", "AlreadyExists") and not ours:
                return False
            raise
        # From before the request: how long its answer took, the others did not wait.
        self._renewed = began
        return True
