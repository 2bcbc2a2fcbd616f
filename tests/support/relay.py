"""A slow way to a server: what clients send comes to it some time later."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self


class Relay:
    """Passes TCP connections on to a port of this machine, from entry to exit.

    Args:
        port: Where the server listens.

    Attributes:
        delay: Seconds by which what clients send is held back; it may be changed at any time.
        port: Where clients connect.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.port = 0
        self._server_port = port
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        server = self._loop.run_until_complete(asyncio.start_server(self._take, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _take(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, there = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(self._pump(client, there, slowly=True), self._pump(server, back))

    async def _pump(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, slowly: bool = False
    ) -> None:
        due = self._loop.time()
        with contextlib.suppress(OSError):  # either side may hang up
            while data := await source.read(1 << 16):
                if not slowly:
                    to.write(data)
                    continue
                # Never before what came earlier, also where the delay has become shorter.
                due = max(due + 1e-5, self._loop.time() + self.delay)
                self._loop.call_at(due, to.write, data)
        self._loop.call_at(due + 1e-4, to.close)
