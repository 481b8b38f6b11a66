"""What a stranger's connection may take of the server: bytes, seconds, and a place among others.

KServe and uvicorn bound none of it. `Bounds` stands before KServe's application and `Connection`
in the place of uvicorn's own HTTP/1.1, whose parser in Python is taken because it alone refuses
headers without end.
"""

import asyncio
import json
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol


class Bounds:
    """An ASGI application before another one, which gets whole requests of bounded size.

    Args:
        app: the other one.
        max_bytes: of a body.
        max_requests: that are answered at the same time; others wait for their turn. Of bodies
            there may be, whole or in part, a quarter as many bytes as these might have; what comes
            beside them is to come later.
        seconds: that a body may take to come, and that a request waits for its turn.
    """

    def __init__(self, app: Callable, *, max_bytes: int, max_requests: int, seconds: float):
        self._app = app
        self._max_bytes = max_bytes
        self._max_held = max(1, max_requests // 4) * max_bytes
        self._seconds = seconds
        self._places = asyncio.Semaphore(max_requests)
        self._held = 0

    async def __call__(self, scope, receive, send):
        """Answer a request; those that only ask how the server is are answered in any case."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            if await self._read(body, scope, receive):
                await self._answer(bytes(body), scope, receive, send)
        except _RefusedError as error:
            await _refuse(send, *error.args)
        finally:
            self._held -= len(body)

    async def _answer(self, body, scope, receive, send):
        # After the body there is but the news that the client has left.
        gone = asyncio.ensure_future(receive())
        try:
            if await self._got_place(gone):
                try:
                    await self._app(_past_pydantic(scope, len(body)), _replayed(body, gone), send)
                finally:
                    self._places.release()
        finally:
            gone.cancel()

    async def _got_place(self, gone):
        """Wait for a place; return whether the client did, too."""
        place = asyncio.ensure_future(self._places.acquire())
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait({gone, place}, timeout=self._seconds, return_when=first)
        if place.done() and not gone.done():
            return True
        if place.done():
            self._places.release()
        place.cancel()
        if not gone.done():
            raise _RefusedError(503, f"a turn within {self._seconds:g} s", "too many requests.")
        return False

    async def _read(self, body, scope, receive):
        """Read a body; return whether the client stayed until its end."""
        at_most = f"a body of at most {self._max_bytes} bytes"
        fewer = "Send fewer images at a time."
        said = _content_length(scope)
        if said > self._max_bytes:
            raise _RefusedError(413, at_most, f"{said}. {fewer}")
        more = True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return False
                    part = message.get("body", b"")
                    body += part
                    self._held += len(part)
                    if len(body) > self._max_bytes:
                        raise _RefusedError(413, at_most, f"more. {fewer}")
                    if self._held > self._max_held:
                        raise _RefusedError(503, f"{self._max_held} bytes at a time", "more.")
                    more = message.get("more_body", False)
        except TimeoutError:
            raise _RefusedError(
                408, f"a body within {self._seconds:g} s", f"{len(body)} bytes of it."
            ) from None
        return True


class Connection(H11Protocol):
    """uvicorn's connection, ended where nothing has come of it for `timeout_keep_alive` seconds.

    uvicorn counts from an answer to the next request's first byte alone. It would wait for ever for
    a first request, for the rest of a header, and for a client to take its answer.
    """

    def connection_made(self, transport) -> None:
        """Begin to look after the connection."""
        super().connection_made(transport)
        self._seen = None
        self._next_look = self.loop.call_later(self.timeout_keep_alive, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """Let a client that has no more to say hear the answer to what it has said."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        return False

    def _look(self):
        waiting = self.transport.get_write_buffer_size()
        now = self.cycle, waiting
        # A client that has asked waits for us; how long its body takes, `Bounds` sees to.
        answering = self.cycle is not None and not self.cycle.response_complete
        if now == self._seen and (waiting or not answering):
            self.transport.abort()
            return
        self._seen = now
        self._next_look = self.loop.call_later(self.timeout_keep_alive, self._look)


class _RefusedError(Exception):
    """A status, what was expected and what was received."""


def _content_length(scope):
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)  # h11 lets nothing else through
    return 0


def _past_pydantic(scope, size):
    """Return a scope by which KServe reads V2's JSON as it reads binary bodies, of which it is one.

    Otherwise pydantic reads it first, and makes an error of each wrong item: of a body of 8 MB
    several GB, for minutes.
    """
    binary = b"inference-header-content-length"
    if not scope["path"].endswith("/infer") or any(name == binary for name, _ in scope["headers"]):
        return scope
    kept = [each for each in scope["headers"] if each[0] != b"content-type"]
    new = [(b"content-type", b"application/octet-stream"), (binary, str(size).encode())]
    return {**scope, "headers": [*kept, *new]}


def _replayed(body, gone):
    """Return what gives the body at once, and then waits for the client to leave."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def again():
        return parts.pop() if parts else await asyncio.shield(gone)

    return again


async def _refuse(send, status, expected, received):
    """Answer in the form of KServe's other errors."""
    body = json.dumps({"error": f"Expected {expected}. Received: {received}"}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))  # seconds
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
