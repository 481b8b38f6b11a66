"""What connections may do, how requests wait for their turn, and the server's start and end."""

import asyncio
import json
import os
import signal
import socket
import threading
import time

import pytest
import requests
from served import IMAGES

from mvae_tf.commands import program

pytest.importorskip("kserve", reason="needs the extra serve: pip install -e '.[serve]'")

from mvae_tf.server import bounds
from mvae_tf.server.answers import Answers
from mvae_tf.server.running import Server

PREDICT = "v1/models/dense:predict"
SECONDS = 1.0  # that `dense_server` lets a connection stand still


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def until_closed(connection):
    """Everything that still comes."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /", b"GET /v2 HTTP/1.1\r\nhost: x\r\n", b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n"],
)
def test_a_connection_that_stands_still_is_closed(dense_server, sent):
    with connected(dense_server) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        received = until_closed(connection)
        assert time.monotonic() - began < 4 * SECONDS
    assert received.startswith(b"HTTP/1.1 200") == sent.endswith(b"\r\n\r\n")


def test_a_body_that_does_not_end_is_given_up(dense_server):
    with connected(dense_server) as connection:
        head = f"POST /{PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1"
        connection.sendall(head.encode())
        received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 408") and b"1 bytes of it" in received


def test_an_answer_waits_for_no_acknowledgement(dense_server):
    """Under Nagle's algorithm its body would, 40 ms or more."""
    with connected(dense_server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        here = [
            each.transport.get_extra_info("socket")
            for each in dense_server._uvicorn.server_state.connections
            if each.client == connection.getsockname()
        ]
        assert [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in here] == [1]


def test_a_half_closed_connection_is_still_answered(dense_server):
    body = json.dumps({"signature_name": "score", "instances": IMAGES.tolist()}).encode()
    head = f"POST /{PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with connected(dense_server) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        received = until_closed(connection)
    assert (
        received.startswith(b"HTTP/1.1 200")
        and len(json.loads(received.split(b"\r\n\r\n")[1])["predictions"]) == 4
    )


def test_headers_without_end_are_refused(dense_server):
    with connected(dense_server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        try:
            for _ in range(100):
                connection.sendall(b"x: " + 10_000 * b"y" + b"\r\n")
        except OSError:
            return  # closed meanwhile
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


def run_asgi(app, body=b"", times=1, leave=(), **limits):
    """The statuses of what is sent to clients that ask at once; those of `leave` leave at once."""

    async def client(place):
        sent, parts = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if parts:
                return parts.pop()
            await asyncio.sleep(0 if place in leave else 60)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await guarded(SCOPE, receive, send)
        return sent[0]["status"] if sent else None

    async def together():
        statuses = await asyncio.gather(*(client(place) for place in range(times)))
        for _ in range(limits.get("max_requests", 8)):  # all places are free again
            await asyncio.wait_for(guarded._places.acquire(), 0.1)
        assert guarded._places.locked() and guarded._held == 0
        return statuses

    guarded = bounds.Bounds(app, **{"max_bytes": 4, "max_requests": 8, "seconds": 0.5, **limits})
    return asyncio.run(together())


def answering(seconds, most):
    """An application that takes its time; never more than `most` run at the same time."""
    running = []

    async def app(scope, receive, send):
        assert (await receive())["more_body"] is False
        running.append(scope)
        assert len(running) <= most
        await asyncio.sleep(seconds)
        running.pop()
        await send({"type": "http.response.start", "status": 200})

    return app


def test_requests_wait_for_their_turn():
    assert run_asgi(answering(0.01, 3), times=10, max_requests=3) == 10 * [200]


def test_and_not_for_ever():
    statuses = run_asgi(answering(0.4, 3), times=10, max_requests=3, seconds=0.1)
    assert sorted(statuses) == 3 * [200] + 7 * [503]


def test_who_leaves_takes_nobodys_place():
    left = range(1, 10)
    statuses = run_asgi(answering(0.1, 1), times=11, leave=left, max_requests=1, seconds=0.3)
    assert statuses == [200, *(None for _ in left), 200]


def test_bodies_are_bounded_in_sum():
    assert sorted(run_asgi(answering(0.01, 8), b"1234", times=3)) == [200, 200, 503]  # 2 * 4 bytes
    assert run_asgi(answering(0.01, 8), b"1234", times=2) == [200, 200]
    assert run_asgi(answering(0.01, 8), b"12345") == [413]


def test_an_error_of_ours_gives_back_its_place():
    async def app(scope, receive, send):
        raise RuntimeError

    async def ask():
        parts = [{"type": "http.request", "body": b"1234", "more_body": False}]

        async def receive():
            return parts.pop() if parts else await asyncio.sleep(60)

        with pytest.raises(RuntimeError):
            await guarded(
                {"type": "http", "method": "POST", "path": "/", "headers": []}, receive, None
            )
        assert not guarded._places.locked() and guarded._held == 0

    guarded = bounds.Bounds(app, max_bytes=4, max_requests=1, seconds=0.1)
    asyncio.run(ask())


# Start and end ------------------------------------------------------------------------------------


def test_who_has_asked_is_answered_before_the_end(exported_dense):
    server = Server("dense", Answers(exported_dense))
    thread = threading.Thread(target=server.run)
    thread.start()
    url, statuses = f"http://127.0.0.1:{server.port}/{PREDICT}", []
    body = {"signature_name": "score", "instances": IMAGES.repeat(25, axis=0).tolist()}

    def ask():
        statuses.append(requests.post(url, json=body, timeout=60).status_code)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    time.sleep(0.3)
    server.stop()
    for each in (*clients, thread):
        each.join(60)
    assert statuses == 4 * [200]
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_serves_until_a_signal(exported_dense, capsys, monkeypatch, number, status):
    asked = {}

    def client(server):
        asked["url"] = f"http://127.0.0.1:{server.port}/v1/models/our.name"
        asked["ready"] = requests.get(asked["url"], timeout=30).json()
        os.kill(os.getpid(), number)

    run = Server.run

    def with_client(server):
        threading.Thread(target=client, args=(server,)).start()
        return run(server)

    monkeypatch.setattr(Server, "run", with_client)
    before = signal.getsignal(number)
    argv = ["serve", f"--model={exported_dense.parent}", "--port=0", "--name=our.name"]
    assert program.main(argv) == status
    assert signal.getsignal(number) is before
    out, err = capsys.readouterr()
    assert out == f"{exported_dense} is served at {asked['url']}\n"
    assert asked["ready"] == {"name": "our.name", "ready": True}
    assert err in ("mvae-tf serve: Terminated.\n", "mvae-tf serve: Stopped.\n")


def test_a_port_that_is_taken_is_named(exported_dense, capsys, dense_server):
    argv = ["serve", f"--model={exported_dense}", f"--port={dense_server.port}"]
    assert program.main(argv) == 1
    assert f"Received: 127.0.0.1, port {dense_server.port} (Address" in capsys.readouterr().err
