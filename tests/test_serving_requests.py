"""The README's requests to a SavedModel: what gRPC and REST carry, there and back."""

import json

import numpy as np
import pytest
import tensorflow as tf
from served import IMAGES, SIGNATURES, answer, fed, same


@pytest.mark.parametrize("signature", SIGNATURES)
def test_grpc_request_and_response(signature, dense_session, dense_model):
    predict_pb2 = pytest.importorskip(
        "tensorflow_serving.apis.predict_pb2", reason="needs the package tensorflow-serving-api"
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "mnist"
    request.model_spec.signature_name = signature
    for name, values in fed(signature).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))

    # What a server does with it.
    request = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    definition = dense_session.signatures[request.model_spec.signature_name]
    assert request.inputs.keys() == definition.inputs.keys()
    for name, proto in request.inputs.items():
        declared = definition.inputs[name]
        assert proto.dtype == declared.dtype
        shape = tf.TensorShape(declared.tensor_shape)
        assert shape.is_compatible_with(tf.TensorShape(proto.tensor_shape))
    inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for name, values in dense_session(signature, inputs).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(values))

    response = predict_pb2.PredictResponse.FromString(response.SerializeToString())
    received = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    same(received, answer(dense_model, signature), "dense")


def rest(server, text):
    """A server's answer to the text of a REST request, by rows ("instances") or by columns."""
    body = json.loads(text)
    signature = body.get("signature_name", "serving_default")
    types = {name: info.dtype for name, info in server.signatures[signature].inputs.items()}
    columns = body.get("inputs", body.get("instances"))
    if "instances" in body and isinstance(columns[0], dict):
        columns = {name: [row[name] for row in columns] for name in columns[0]}
    if not isinstance(columns, dict):  # of one input the name may be left out
        columns = {name: columns for name in types}
    inputs = {
        name: np.array(values, tf.as_dtype(types[name]).as_numpy_dtype)
        for name, values in columns.items()
    }
    outputs = {name: values.tolist() for name, values in server(signature, inputs).items()}
    if "instances" in body:
        rows = [
            dict(zip(outputs, each, strict=True)) for each in zip(*outputs.values(), strict=True)
        ]
        rows = [row if len(row) > 1 else next(iter(row.values())) for row in rows]
        return json.dumps({"predictions": rows})
    return json.dumps({"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))})


@pytest.mark.parametrize("signature", [name for name in SIGNATURES if name != "sample"])
def test_rest_requests_by_rows(signature, dense_session, dense_model):
    (values,) = fed(signature).values()
    text = json.dumps({"signature_name": signature, "instances": values.tolist()})
    rows = json.loads(rest(dense_session, text))["predictions"]
    expected = answer(dense_model, signature)
    if len(expected) == 1:
        rows = [{name: row} for row in rows for name in expected]
    received = {name: [row[name] for row in rows] for name in expected}
    same(received, expected, "dense")


@pytest.mark.parametrize("signature", SIGNATURES)
def test_rest_requests_by_columns(signature, dense_session, dense_model):
    columns = {name: values.tolist() for name, values in fed(signature).items()}
    text = json.dumps({"signature_name": signature, "inputs": columns})
    received = json.loads(rest(dense_session, text))["outputs"]
    expected = answer(dense_model, signature)
    same(received if len(expected) > 1 else {n: received for n in expected}, expected, "dense")


def test_rest_request_of_the_default_signature(dense_session, dense_model):
    rows = json.loads(rest(dense_session, json.dumps({"instances": IMAGES.tolist()})))
    np.testing.assert_allclose(rows["predictions"], dense_model.reconstruct(IMAGES), atol=1e-5)
