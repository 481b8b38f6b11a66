"""A server among strangers: whatever they send, others are answered, and memory stays as it is."""

import contextlib
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import requests
from served import CODES

pytest.importorskip("kserve", reason="needs the extra serve: pip install -e '.[serve]'")

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="counts a process's files as Linux does"),
]

MAX_BYTES, TIMEOUT = 2_000_000, 3
PATH = "/v1/models/dense:predict"
GOOD = json.dumps({"signature_name": "decode", "instances": CODES.tolist()}).encode()
# The memory that a served process may come to hold beside what it held: allocators keep some.
MARGIN = 60 * 2**20


class Served:
    """A server in a process of its own."""

    def __init__(self, folder, err):
        command = [sys.executable, "-m", "mvae_tf", "serve", f"--model={folder}", "--name=dense"]
        flags = ["--port=0", "--grpc_port=0", f"--max_bytes={MAX_BYTES}", f"--timeout={TIMEOUT}"]
        self.child = subprocess.Popen(
            [*command, *flags], stdout=subprocess.PIPE, stderr=err, text=True
        )
        told = re.search(r"127.0.0.1:(\d+)/.*127.0.0.1:(\d+)", self.child.stdout.readline())
        self.port, self.grpc_port = map(int, told.groups())
        self.process = psutil.Process(self.child.pid)
        self.expected = self.ask().json()

    def ask(self, body=GOOD):
        return requests.post(f"http://127.0.0.1:{self.port}{PATH}", data=body, timeout=30)

    def memory(self):
        return self.process.memory_info().rss

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@pytest.fixture(scope="module")
def served(exported_dense, tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "err"
    with path.open("w") as err:
        served = Served(exported_dense, err)
        # So that its threads, and their memory, are there.
        assert all(each.ok for each in at_once(lambda _: served.ask(), range(400), 16))
        yield served
        served.child.send_signal(signal.SIGTERM)
        assert served.child.wait(30) == 143
    assert path.read_text() == "mvae-tf serve: Terminated.\n"  # and not a line for each stranger


@contextlib.contextmanager
def others_are_answered(served, or_later=False):
    """Ask meanwhile, again and again, and compare the answers; some may be to come later."""
    wrong, right, done = [], [], threading.Event()

    def ask():
        while not done.is_set() or (len(right) < 10 and not wrong):
            try:
                received = served.ask()
                if or_later and received.status_code == 503:
                    continue
                numbers = received.json()["predictions"]
                same = np.allclose(numbers, served.expected["predictions"], atol=1e-5)
                (right if same else wrong).append(received.text[:200])
            except Exception as error:
                wrong.append(f"{error!r} {received.text[:200]}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert wrong == [] and len(right) >= 10


def flat(served, before, margin=MARGIN):
    """Wait until memory and open files are as before."""
    memory, files = before
    end = time.monotonic() + 20
    while served.process.num_fds() > files + 3 and time.monotonic() < end:
        time.sleep(0.2)
    assert served.process.num_fds() <= files + 3
    assert served.memory() < memory + margin


def now(served):
    return served.memory(), served.process.num_fds()


def head(length, method="POST", path=PATH, more=""):
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n".encode()


def heard(connection):
    received = b""
    with contextlib.suppress(OSError):
        while part := connection.recv(65536):
            received += part
    return received


def status(received):
    return int(received.split(b" ", 2)[1]) if received else 0


def at_once(function, items, threads):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def bad_request(chances):
    """A body, headers and path that can't be answered."""
    wrong = json.loads(GOOD)
    kind = chances.randrange(8)
    if kind == 0:
        return chances.randbytes(chances.randrange(1, 2000)), {}, PATH
    if kind == 1:
        return GOOD[: chances.randrange(len(GOOD) - 1)], {}, PATH
    if kind == 2:
        wrong["signature_name"] = chances.choice(["x", 1, None, [1], {"a": 1}, "x" * 10_000])
    if kind == 3:
        wrong["instances"][chances.randrange(5)] = chances.choice([1, "a", None, [], {}, [[]]])
    if kind == 4:
        wrong["instances"] = [[[1e39] * 2] * 3]  # beyond float32
    if kind == 5:
        wrong["inputs"] = 1
    if kind == 6:
        return b"1" * (MAX_BYTES + 1), {}, PATH
    if kind == 7:
        tensor = {"name": "images", "shape": [1], "datatype": "FP32", "data": [0]}
        tensor[chances.choice(list(tensor))] = chances.choice([1, None, "x", [], [None], {}])
        body = json.dumps({"inputs": [tensor]}).encode()
        return body, {"content-type": "application/json"}, "/v2/models/dense/infer"
    return json.dumps(wrong).encode(), {}, PATH


def test_ten_thousand_bad_requests(served):
    def ask(seed):
        chances, statuses = random.Random(seed), []
        with requests.Session() as session:
            for _ in range(1250):
                body, headers, path = bad_request(chances)
                url = f"http://127.0.0.1:{served.port}{path}"
                received = session.post(url, data=body, headers=headers, timeout=60)
                statuses.append(received.status_code)
                assert 400 <= received.status_code < 500, (received.text, body[:500], headers)
                assert len(received.content) < 1000
        return statuses

    before = now(served)
    with others_are_answered(served):
        statuses = [each for some in at_once(ask, range(8), 8) for each in some]
    assert len(statuses) == 10_000 and set(statuses) == {400, 413}
    flat(served, before)


def test_bytes_that_are_no_http(served):
    def send(seed):
        chances = random.Random(seed)
        with served.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(chances.randbytes(chances.randrange(1, 100_000)))
            return heard(connection)

    before = now(served)
    with others_are_answered(served):
        assert {status(each) for each in at_once(send, range(500), 16)} <= {0, 400}
    flat(served, before)


@pytest.mark.parametrize("chunked", [False, True])
def test_huge_bodies(served, chunked):
    """Told by their length they are refused at once, in chunks once they are too large."""
    size, part = 300_000_000, b"1" * 100_000

    def send(_):
        with served.connect() as connection:
            with contextlib.suppress(OSError):
                if chunked:
                    connection.sendall(
                        head(0).replace(b"content-length: 0", b"transfer-encoding: chunked")
                    )
                else:
                    connection.sendall(head(size))
                for _ in range(size // len(part)):
                    framed = b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
                    connection.sendall(framed)
            return status(heard(connection))

    before, most, done = now(served), [0], threading.Event()

    def watch():
        while not done.wait(0.05):
            most[0] = max(most[0], served.memory())

    watching = threading.Thread(target=watch)
    watching.start()
    with others_are_answered(served):
        statuses = at_once(send, range(8), 8)
    done.set()
    watching.join()
    # Who goes on sending for long is cut off, and may not hear why.
    assert set(statuses) <= {413, 0}
    assert most[0] < before[0] + 16 * MAX_BYTES + MARGIN
    flat(served, before)


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST ", head(10)[:-2], head(1000) + b"{", head(len(GOOD)) + GOOD[:-1]],
    ids=["nothing", "a line", "a head", "a body", "all but a byte"],
)
def test_slow_clients(served, begun):
    """300 of them, who send a byte a second; none takes another one's place for long."""
    before = now(served)
    with contextlib.ExitStack() as stack, others_are_answered(served):
        slow = [stack.enter_context(served.connect()) for _ in range(300)]
        for connection in slow:
            connection.sendall(begun)
        for _ in range(3 * TIMEOUT):
            time.sleep(1)
            for connection in slow:
                with contextlib.suppress(OSError):
                    if begun[-1:] != GOOD[-2:-1]:
                        connection.sendall(b" " if begun else b"G")
        received = [heard(connection) for connection in slow]
    assert {status(each) for each in received} <= {0, 400, 408}
    flat(served, before)


def test_half_closed_connections(served):
    """Who has asked is answered, who hasn't is left; 300 of each."""
    before = now(served)

    def ask(place):
        with served.connect() as connection:
            begun = head(len(GOOD)) + GOOD[: None if place % 2 else -1]
            connection.sendall(begun)
            connection.shutdown(socket.SHUT_WR)
            return heard(connection)

    with others_are_answered(served):
        received = at_once(ask, range(600), 16)
    assert {status(each) for each in received[1::2]} == {200}
    assert {status(each) for each in received[::2]} <= {0, 400}
    for each in received[1::2]:
        answer = json.loads(each.split(b"\r\n\r\n", 1)[1])
        np.testing.assert_allclose(answer["predictions"], served.expected["predictions"], atol=1e-5)
    flat(served, before)


def test_clients_that_leave(served):
    """Amid their request or before its answer, with and without a word (RST)."""
    chances, before = random.Random(0), now(served)

    def leave(place):
        with served.connect() as connection:
            if place % 2:
                linger = b"\1\0\0\0\0\0\0\0"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request = head(len(GOOD)) + GOOD
            connection.sendall(
                request[: chances.choice([len(request), chances.randrange(len(request))])]
            )

    with others_are_answered(served):
        at_once(leave, range(2000), 16)
    flat(served, before)


def test_answers_that_nobody_takes(served):
    """100 clients ask again and again for large ones and read nothing."""
    body = json.dumps({"signature_name": "sample", "inputs": {"count": 128, "seed": 0}}).encode()

    def ask():
        with contextlib.ExitStack() as stack, others_are_answered(served, or_later=True):
            for _ in range(100):
                connection = stack.enter_context(served.connect())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with contextlib.suppress(OSError):
                    connection.sendall(20 * (head(len(body)) + body))
            end = time.monotonic() + 60  # what they have asked for is computed before
            while served.process.num_fds() > files + 10:  # while the clients hold on
                assert time.monotonic() < end
                time.sleep(0.2)

    files = served.process.num_fds()
    ask()  # what this takes is kept for the next time
    before = now(served)
    ask()
    flat(served, before)


def test_grpc(served):
    """Bytes that are none, messages that are too large, and a thousand wrong ones."""
    before = now(served)
    target = f"127.0.0.1:{served.grpc_port}"
    for seed in range(200):
        place = "127.0.0.1", served.grpc_port
        with socket.create_connection(place) as connection, contextlib.suppress(OSError):
            connection.sendall(random.Random(seed).randbytes(1 + 50 * seed))
    options = [("grpc.max_send_message_length", -1)]
    codes = set()
    with grpc.insecure_channel(target, options) as channel, others_are_answered(served):
        stub = GRPCInferenceServiceStub(channel)

        def ask(seed):
            chances = random.Random(seed)
            tensor = v2.ModelInferRequest.InferInputTensor(
                name=chances.choice(["images", "x", ""]),
                datatype=chances.choice(["FP32", "BYTES", "x", "INT8", "FP16"]),
                shape=[chances.choice([1, -1, 2**40, 0]) for _ in range(chances.randrange(5))],
            )
            raw = [chances.randbytes(chances.choice([0, 4, 7, 3_000_000]))] * chances.randrange(3)
            request = v2.ModelInferRequest(
                model_name=chances.choice(["dense"] * 9 + ["x"]),
                inputs=[tensor],
                raw_input_contents=raw,
            )
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(request, timeout=60)
            codes.add(caught.value.code().name)
            assert len(caught.value.details()) < 1000

        at_once(ask, range(1000), 8)
    assert codes == {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "NOT_FOUND"}
    flat(served, before)


def test_the_end_amid_requests(exported_dense, tmp_path):
    """SIGTERM while 16 clients ask: each request that was accepted has its whole answer."""
    with (tmp_path / "err").open("w") as err:
        served = Served(exported_dense, err)
    answers, cut = [0], []

    def ask():
        while True:
            try:
                connection = served.connect()
                connection.sendall(head(len(GOOD), more="connection: close\r\n") + GOOD)
            except OSError:
                return
            with connection:
                received = heard(connection)
            if not received:
                return  # came when nobody listened any more
            answers[0] += 1
            body = received.partition(b"\r\n\r\n")[2]
            if status(received) != 200 or "predictions" not in json.loads(body):
                cut.append(received)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    served.child.send_signal(signal.SIGTERM)
    assert served.child.wait(30) == 143
    for thread in threads:
        thread.join(60)
    assert answers[0] > 20 and cut == []
    assert (tmp_path / "err").read_text() == "mvae-tf serve: Terminated.\n"
