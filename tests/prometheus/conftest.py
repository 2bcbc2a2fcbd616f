"""A Prometheus server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.prometheus import PACKAGE, PrometheusServer
from tests.support.surroundings import give_up
from tests.testcluster import packages


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A real server, which scrapes once a second."""
    if reason := packages.unavailable(PACKAGE):
        give_up(f"no Prometheus here: {reason}")
    with PrometheusServer(tmp_path_factory.mktemp("prometheus")) as server:
        yield server
