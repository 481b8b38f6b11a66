"""KServe's server with a SavedModel behind it: asked by HTTP and by KServe's own clients."""

import asyncio
import base64
import io
import json
import threading
import time

import numpy as np
import pytest
import requests
from PIL import Image
from served import CODES, IMAGES, SIGNATURES, answer, fed, made, same

pytest.importorskip("kserve", reason="needs the extra serve: pip install -e '.[serve]'")

import grpc
import kserve
from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from mvae_tf.server.answers import Answers
from mvae_tf.server.running import Server

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def model():
    return made("dense")


@pytest.fixture
def ask(dense_server):
    def ask(path, method="POST", **settings):
        url = f"http://127.0.0.1:{dense_server.port}/{path}"
        return requests.request(method, url, timeout=30, **settings)

    return ask


@pytest.fixture(scope="module")
def stub(dense_server):
    with grpc.insecure_channel(f"127.0.0.1:{dense_server.grpc_port}") as channel:
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


def test_kserves_own_client_by_rest(model, dense_server):
    async def ask():
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
        url = f"http://127.0.0.1:{dense_server.port}"
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
def test_v2_by_grpc(model, dense_server, raw):
    async def ask():
        client = kserve.InferenceGRPCClient(f"127.0.0.1:{dense_server.grpc_port}")
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
