"""KServe's server with a SavedModel behind it: asked by HTTP and by KServe's own clients."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest
import requests
from PIL import Image
from test_serving import CODES, IMAGES, SIGNATURES, answer, fed, made, same

from mvae_tf.commands import program

pytest.importorskip("kserve", reason="needs the extra serve: pip install -e '.[serve]'")

import grpc
import kserve
from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from mvae_tf.server import bounds
from mvae_tf.server.answers import Answers
from mvae_tf.server.running import Limits, Server

FORM = {"content-type": "application/x-www-form-urlencoded"}
LIMITS = Limits(max_bytes=1_000_000, max_requests=8, seconds=1.0)


@pytest.fixture(scope="module")
def model():
    return made("dense")


@pytest.fixture(scope="module")
def server(exported_dense):
    server = Server("dense", Answers(exported_dense, max_batch=40), grpc_port=0, limits=LIMITS)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def ask(server):
    def ask(path, method="POST", **settings):
        url = f"http://127.0.0.1:{server.port}/{path}"
        return requests.request(method, url, timeout=30, **settings)

    return ask


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


def arrays(outputs):
    return {name: np.asarray(values, np.float32) for name, values in outputs.items()}


def joined(predictions, names):
    """The answer by columns of one by rows."""
    if len(names) == 1:
        return {names[0]: predictions}
    return {name: [row[name] for row in predictions] for name in names}


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", SIGNATURES)
def test_v1_is_tensorflow_servings_form(model, ask, signature):
    expected, inputs = answer(model, signature), fed(signature)
    body = {"signature_name": signature, "inputs": {k: v.tolist() for k, v in inputs.items()}}
    # As curl sends it, under the content type of forms.
    received = ask("v1/models/dense:predict", data=json.dumps(body), headers=FORM)
    assert received.headers["content-type"] == "application/json"
    outputs = received.json()["outputs"]
    same(
        arrays(outputs if len(expected) > 1 else {next(iter(expected)): outputs}), expected, "dense"
    )
    if signature != "sample":
        rows = next(iter(inputs.values())).tolist()
        body = {"signature_name": signature, "instances": rows}
        received = ask("v1/models/dense:predict", json=body).json()["predictions"]
        same(arrays(joined(received, list(expected))), expected, "dense")


@pytest.mark.slow
def test_files_go_in_as_base64(small_model, tmp_path):
    files = []
    for grey in (40, 200):
        file = io.BytesIO()
        Image.new("L", (8, 8), grey).save(file, "PNG")
        files.append(base64.b64encode(file.getvalue()).decode())
    server = Server("small", Answers(small_model.export(tmp_path / "small")))
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{server.port}/v1/models/small:predict"
    try:
        rows = [{"b64": each} for each in files]
        body = {"signature_name": "reconstruct_bytes", "instances": rows}
        received = requests.post(url, json=body, timeout=60).json()["predictions"]
        rows = [files[0], {"b64": files[1][:40]}]  # text, and a damaged file
        body = {"signature_name": "encode_bytes", "instances": rows}
        refused = requests.post(url, json=body, timeout=60)
    finally:
        server.stop()
        thread.join(60)
    images = np.ones([2, 8, 8, 1], np.float32) * np.float32([40, 200]).reshape(2, 1, 1, 1) / 255
    np.testing.assert_allclose(received, small_model.reconstruct(images), atol=1e-5)
    assert refused.status_code == 400 and "Expected" in refused.json()["error"]


def test_v2_by_rest(model, ask):
    tensor = {"name": "images", "shape": list(IMAGES.shape), "datatype": "FP32"}
    body = {
        "id": "7",
        "parameters": {"signature_name": "encode"},
        "inputs": [{**tensor, "data": IMAGES.ravel().tolist()}],
        "outputs": [{"name": "weights"}],
    }
    received = ask("v2/models/dense/infer", json=body).json()
    assert received["id"] == "7" and received["model_name"] == "dense"
    (output,) = received["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("weights", "FP32", [4, 3])
    weights = np.float32(output["data"]).reshape(4, 3)
    same({"weights": weights}, {"weights": answer(model, "encode")["weights"]}, "dense")


def test_v2_by_rest_in_binary(model, ask):
    raw = fed("features_uint8")["images"]
    given = kserve.InferInput("images", list(raw.shape), "UINT8")
    given.set_data_from_numpy(raw, binary_data=True)
    parameters = {"signature_name": "features_uint8", "binary_data_output": True}
    request = kserve.InferRequest("dense", [given], parameters=parameters)
    body, length = request.to_rest()
    headers = {
        "inference-header-content-length": str(length),
        "content-type": "application/octet-stream",
    }
    received = ask("v2/models/dense/infer", data=body, headers=headers)
    length = int(received.headers["inference-header-content-length"])
    response = kserve.InferResponse.from_bytes(received.content, length)
    features = response.get_output_by_name("features").as_numpy()
    same({"features": features}, answer(model, "features"), "dense")


def test_kserves_own_client_by_rest(model, server):
    async def ask():
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
        url = f"http://127.0.0.1:{server.port}"
        assert await client.is_server_ready(url) and await client.is_model_ready(url, "dense")
        given = kserve.InferInput("images", list(IMAGES.shape), "FP32")
        given.set_data_from_numpy(IMAGES, binary_data=False)
        response = await client.infer(
            url, kserve.InferRequest("dense", [given]), model_name="dense"
        )
        await client.close()
        return {each.name: each.as_numpy() for each in response.outputs}

    same(asyncio.run(ask()), answer(model, "reconstruct"), "dense")


@pytest.mark.parametrize("raw", [True, False])
def test_v2_by_grpc(model, server, raw):
    async def ask():
        client = kserve.InferenceGRPCClient(f"127.0.0.1:{server.grpc_port}")
        given = kserve.InferInput("codes", list(CODES.shape), "FP32")
        given.set_data_from_numpy(CODES, binary_data=raw)
        request = kserve.InferRequest("dense", [given], parameters={"signature_name": "decode"})
        response = await client.infer(request)
        await client.close()
        return {each.name: each.as_numpy() for each in response.outputs}

    same(asyncio.run(ask()), answer(model, "decode"), "dense")


def test_what_the_server_says_of_itself(ask, stub):
    assert ask("v1/models/dense", "GET").json() == {"name": "dense", "ready": True}
    assert ask("v2/health/ready", "GET").json() == {"ready": True}
    described = ask("v2/models/dense", "GET").json()
    images = {"datatype": "FP32", "shape": [-1, 9, 8, 2]}
    assert described["inputs"] == [{"name": "images", **images}]
    assert described["outputs"] == [{"name": "reconstructions", **images}]
    metadata = stub.ModelMetadata(v2.ModelMetadataRequest(name="dense"))
    assert list(metadata.inputs[0].shape) == [-1, 9, 8, 2]
    assert stub.ServerReady(v2.ServerReadyRequest()).ready

    def count():
        text = ask("metrics", "GET").text
        (line,) = [each for each in text.splitlines() if "predict_seconds_count{" in each]
        assert 'model_name="dense"' in line
        return float(line.split()[-1])

    before = count()
    ask("v1/models/dense:predict", json={"instances": IMAGES.tolist()})
    assert count() == before + 1


# Refusals -----------------------------------------------------------------------------------------

PREDICT, INFER = "v1/models/dense:predict", "v2/models/dense/infer"
ZEROS = {"name": "images", "shape": [1, 9, 8, 2], "datatype": "FP32", "data": [0] * 144}
BINARY = {"content-type": "application/octet-stream", "inference-header-content-length": "2"}


@pytest.mark.parametrize(
    ("path", "sent", "status", "said"),
    [
        (PREDICT, {"data": b""}, 400, "Unrecognized request format"),
        (PREDICT, {"data": b"", "headers": FORM}, 400, "Expected JSON"),
        (PREDICT, {"data": b"\xff{", "headers": FORM}, 400, "Expected JSON"),
        (PREDICT, {"data": b"[" * 100_000, "headers": FORM}, 400, "Expected JSON"),
        (PREDICT, {"data": b'{"instances": NaN}', "headers": FORM}, 400, "Expected JSON"),
        (
            PREDICT,
            {"json": {"instances": [1]}},
            400,
            "Expected images to be float32 of shape [n, 9",
        ),
        (PREDICT, {"json": {"instances": (IMAGES + 1).tolist()}}, 400, "with values in [0, 1]"),
        (PREDICT, {"json": {"instances": [[1], 2]}}, 400, "lists of unequal lengths"),
        (PREDICT, {"json": {"instances": [0] * 41}}, 400, "at most 40 at a time. Received: 41"),
        (PREDICT, {"json": {"signature_name": "x", "inputs": 1}}, 400, "Expected signature_name"),
        (PREDICT, {"json": 3}, 400, 'either "instances" or "inputs"'),
        ("v1/models/dense:explain", {"json": {}}, 400, "Expected :predict"),
        ("v1/models/other:predict", {"json": {}}, 404, "other"),
        ("v1/nothing", {"json": {}}, 404, ""),
        (INFER, {"json": {"inputs": [{**ZEROS, "name": "x"}]}}, 400, "Expected inputs images"),
        (INFER, {"json": {"inputs": []}}, 400, "Expected inputs images. Received: none"),
        (INFER, {"json": {"inputs": [{**ZEROS, "shape": [[2]]}]}}, 400, "as its shape says"),
        (INFER, {"json": {"inputs": [{**ZEROS, "shape": [-9, 5]}]}}, 400, "as its shape says"),
        (INFER, {"json": {"inputs": [{**ZEROS, "datatype": "FP99"}]}}, 400, "to be FP32"),
        (INFER, {"json": {"inputs": [{**ZEROS, "data": ["a"]}]}}, 400, "Received: strings"),
        (
            INFER,
            {"json": {"inputs": [ZEROS], "outputs": [{"name": "x"}]}},
            400,
            "outputs reconstructions",
        ),
        (
            INFER,
            {"json": {"inputs": [ZEROS], "parameters": {"signature_name": 3}}},
            400,
            "to be one",
        ),
        (INFER, {"json": {"inputs": [{**ZEROS, "name": {}}]}}, 400, "TypeError"),
        (INFER, {"json": {"inputs": [ZEROS], "outputs": [{"name": []}]}}, 400, "TypeError"),
        (INFER, {"json": {"inputs": [ZEROS], "id": {}, "parameters": 3}}, 400, "AttributeError"),
        (INFER, {"json": {}}, 400, "KeyError"),
        (INFER, {"data": b"{", "headers": FORM}, 400, "Unrecognized request format"),
        (INFER, {"data": b"{}", "headers": BINARY}, 400, "KeyError"),
        (INFER, {"data": b"[]", "headers": BINARY}, 400, "TypeError"),
        (
            INFER,
            {"data": b"{}", "headers": {**BINARY, "inference-header-content-length": "x"}},
            400,
            "",
        ),
        ("v2/repository/models/dense/unload", {}, 400, "the server's own models"),
        (PREDICT, {"data": b"{}", "headers": {"ce-id": "1"}}, 400, ""),
        (PREDICT, {"data": b"1" * 1_000_001}, 413, "at most 1000000 bytes"),
        (PREDICT, {"data": (b"1" * 1000 for _ in range(1001))}, 413, "at most 1000000 bytes"),
    ],
)
def test_bad_requests_are_the_clients_fault(ask, path, sent, status, said):
    received = ask(path, **sent)
    assert received.status_code == status, received.text
    assert said in received.text.replace('\\"', '"')
    assert len(received.content) < 1000
    assert ask("v1/models/dense", "GET").json()["ready"]


def test_a_body_of_mistakes_makes_no_more_of_them(ask):
    """250,000 here; each one told of took a kilobyte, and all of them minutes."""
    shape = ["a"] * 249_000
    body = json.dumps({"inputs": [{**ZEROS, "shape": shape, "data": []}]}, separators=(",", ":"))
    began = time.monotonic()
    received = ask(INFER, data=body, headers={"content-type": "application/json"})
    assert received.status_code == 400 and len(received.content) < 1000
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("tensor", "raw", "status", "said"),
    [
        (
            {"shape": [1], "datatype": "FP32"},
            [b"\0\0\0\0"],
            "INVALID_ARGUMENT",
            "Expected images to",
        ),
        ({"shape": [2], "datatype": "FP32"}, [b"\0"], "INVALID_ARGUMENT", "as its shape says"),
        ({"shape": [1], "datatype": "x"}, [b"\0"], "INVALID_ARGUMENT", ""),
        ({"shape": [1], "datatype": "FP32"}, [b"\0", b""], "INVALID_ARGUMENT", "number of inputs"),
        ({"shape": [1], "datatype": "BYTES"}, [b"\0"], "INVALID_ARGUMENT", ""),
        ({"shape": [1], "datatype": "FP32"}, [b"\0" * 1_000_001], "RESOURCE_EXHAUSTED", "larger"),
    ],
)
def test_bad_requests_by_grpc(stub, tensor, raw, status, said):
    tensor = v2.ModelInferRequest.InferInputTensor(name="images", **tensor)
    request = v2.ModelInferRequest(model_name="dense", inputs=[tensor], raw_input_contents=raw)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request, timeout=30)
    assert caught.value.code().name == status and said in caught.value.details()
    assert len(caught.value.details()) < 1000


def test_no_client_unloads_a_model_by_grpc(stub):
    with pytest.raises(grpc.RpcError, match="the server's own models"):
        stub.RepositoryModelUnload(v2.RepositoryModelUnloadRequest(model_name="dense"))
    assert stub.ModelReady(v2.ModelReadyRequest(name="dense")).ready


# Connections --------------------------------------------------------------------------------------


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
def test_a_connection_that_stands_still_is_closed(server, sent):
    with connected(server) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        received = until_closed(connection)
        assert time.monotonic() - began < 4 * LIMITS.seconds
    assert received.startswith(b"HTTP/1.1 200") == sent.endswith(b"\r\n\r\n")


def test_a_body_that_does_not_end_is_given_up(server):
    with connected(server) as connection:
        head = f"POST /{PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1"
        connection.sendall(head.encode())
        received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 408") and b"1 bytes of it" in received


def test_an_answer_waits_for_no_acknowledgement(server):
    """Each took 40 ms or more."""
    times, url = [], f"http://127.0.0.1:{server.port}/{PREDICT}"
    with requests.Session() as session:
        for _ in range(10):
            began = time.monotonic()
            session.post(url, data=b"{", timeout=30)
            times.append(time.monotonic() - began)
    assert min(times) < 0.035


def test_a_half_closed_connection_is_still_answered(server):
    body = json.dumps({"signature_name": "score", "instances": IMAGES.tolist()}).encode()
    head = f"POST /{PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        received = until_closed(connection)
    assert (
        received.startswith(b"HTTP/1.1 200")
        and len(json.loads(received.split(b"\r\n\r\n")[1])["predictions"]) == 4
    )


def test_headers_without_end_are_refused(server):
    with connected(server) as connection:
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


def test_a_port_that_is_taken_is_named(exported_dense, capsys, server):
    argv = ["serve", f"--model={exported_dense}", f"--port={server.port}"]
    assert program.main(argv) == 1
    assert f"Received: 127.0.0.1, port {server.port} (Address" in capsys.readouterr().err
