"""The exported SavedModel, against the model itself, and as servers would run it.

TensorFlow Serving's program is not at hand. What stands in for it is TensorFlow's C++ session,
which it uses too, called without Python's checks of what is fed.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

import mvae_tf
from mvae_tf import serving

SHAPE, K, D, SCORE_SAMPLES = (9, 8, 2), 3, 2, 3
BITS = np.random.default_rng(0).integers(0, 256, [4, *SHAPE], dtype=np.uint8)
IMAGES = BITS.astype(np.float32) / np.float32(255)
CODES = np.random.default_rng(1).normal(size=[5, K, D]).astype(np.float32)

# Of each signature: its inputs and outputs, dtype and shape, -1 for any size.
IMAGE_OUTPUTS = {
    "reconstruct": {"reconstructions": ("float32", [-1, *SHAPE])},
    "encode": {
        "loc": ("float32", [-1, K, D]),
        "scale": ("float32", [-1, K, D]),
        "weights": ("float32", [-1, K]),
    },
    "component_reconstructions": {"reconstructions": ("float32", [-1, K, *SHAPE])},
    "features": {"features": ("float32", [-1, K * D])},
    "score": {"log_likelihood": ("float32", [-1])},
}
FLOATS, UINT8 = {"images": ("float32", [-1, *SHAPE])}, {"images": ("uint8", [-1, *SHAPE])}
SIGNATURES = {
    "serving_default": (FLOATS, IMAGE_OUTPUTS["reconstruct"]),
    **{name: (FLOATS, outputs) for name, outputs in IMAGE_OUTPUTS.items()},
    **{f"{name}_uint8": (UINT8, outputs) for name, outputs in IMAGE_OUTPUTS.items()},
    "decode": ({"codes": ("float32", [-1, K, D])}, {"images": ("float32", [-1, K, *SHAPE])}),
    "sample": (
        {"count": ("int32", []), "seed": ("int32", [])},
        {"images": ("float32", [-1, *SHAPE])},
    ),
}

MODELS = {
    "dense": {"network": "dense", "hidden_units": (8,), "mixing": "likelihood"},
    "convolutional": {
        "network": "convolutional",
        "hidden_units": (3,),
        "mixing": "image",
        "likelihood": "bernoulli",
        "concentration": "normalized",
        "dtype": "mixed_bfloat16",
    },
}
# Rounding to bfloat16 may fall differently once TensorFlow has fused operations.
TOLERANCE = {"dense": 1e-5, "convolutional": 2e-2}


def made(kind):
    """A model whose every weight, moving averages included, is as if it had been trained."""
    model = mvae_tf.MixtureVAE(SHAPE, K, D, **MODELS[kind], seed=0)
    model.compile(optimizer=keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(weight + rng.uniform(0.05, 0.15, weight.shape))
    return model


def fed(signature, count=None):
    """The inputs of a signature, the first images or codes only."""
    if signature == "sample":
        return {"count": np.int32(7), "seed": np.int32(-3)}
    if signature == "decode":
        return {"codes": CODES[:count]}
    return {"images": (BITS if signature.endswith("_uint8") else IMAGES)[:count]}


def answer(model, signature, count=None):
    """What the model's own method says."""
    name = signature.removesuffix("_uint8")
    if name in ("reconstruct", "serving_default"):
        return {"reconstructions": model.reconstruct(IMAGES[:count])}
    if name == "encode":
        posterior = model.encode(IMAGES[:count])
        z = posterior.z.distribution
        return {"loc": z.loc, "scale": z.scale, "weights": posterior.w.mean()}
    if name == "score":
        return {"log_likelihood": model.log_likelihood(IMAGES[:count], SCORE_SAMPLES)}
    if name == "features":
        return {"features": model.features(IMAGES[:count])}
    if name == "component_reconstructions":
        return {"reconstructions": model.component_reconstructions(IMAGES[:count])}
    if name == "decode":
        return {"images": model.decode(CODES[:count])}
    return {"images": model.sample(7, seed=-3)}


def same(received, expected, kind):
    assert received.keys() == expected.keys()
    for name in expected:
        tolerance = TOLERANCE[kind]
        np.testing.assert_allclose(received[name], expected[name], tolerance, tolerance, name)


class Server:
    """TensorFlow's C++ session on a SavedModel, without Python's checks of what is fed."""

    def __init__(self, folder):
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], os.fspath(folder))
        self.signatures = dict(graph.signature_def)
        self._functions = {}

    def __call__(self, signature, inputs):
        definition = self.signatures[signature]
        if signature not in self._functions:
            options = config_pb2.CallableOptions(
                feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
                fetch=[definition.outputs[name].name for name in sorted(definition.outputs)],
            )
            self._functions[signature] = self._session._make_callable_from_options(options)
        outputs = self._functions[signature](*(inputs[name] for name in sorted(inputs)))
        return dict(zip(sorted(definition.outputs), outputs, strict=True))


@pytest.fixture(scope="module")
def models():
    return {kind: made(kind) for kind in MODELS}


@pytest.fixture(scope="module")
def folders(models, tmp_path_factory):
    parent = tmp_path_factory.mktemp("serving")
    return {
        kind: serving.export_saved_model(model, parent / kind, score_samples=SCORE_SAMPLES)
        for kind, model in models.items()
    }


@pytest.fixture(scope="module")
def servers(folders):
    return {kind: Server(folder) for kind, folder in folders.items()}


@pytest.fixture(scope="module")
def served(folders):
    return tf.saved_model.load(folders["dense"])


# What is in it ------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_table(servers):
    def table(tensors):
        return {
            name: (tf.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim])
            for name, info in tensors.items()
        }

    for server in servers.values():
        definitions = server.signatures
        definitions.pop("__saved_model_init_op", None)
        received = {name: (table(d.inputs), table(d.outputs)) for name, d in definitions.items()}
        assert received == SIGNATURES


@pytest.mark.parametrize("kind", MODELS)
def test_holds_the_weights_once_and_nothing_else(kind, models, folders):
    files = sorted(path.relative_to(folders[kind]) for path in folders[kind].rglob("*.*"))
    assert [path.name for path in files] == [
        "fingerprint.pb",
        "saved_model.pb",
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    stored = tf.train.list_variables(folders[kind] / "variables" / "variables")
    shapes = sorted(shape for name, shape in stored if not name.startswith("_CHECKPOINTABLE"))
    assert shapes == sorted(list(weight.shape) for weight in models[kind].weights)
    assert (folders[kind] / "saved_model.pb").stat().st_size < 2_000_000
    assert (folders[kind] / "saved_model.pb").stat().st_mode & 0o077 == (
        0o666 & ~_umask() & 0o077
    )  # a server is another user


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_session_answers_as_the_model(kind, signature, models, servers):
    for count in (1, None):
        same(
            servers[kind](signature, fed(signature, count)),
            answer(models[kind], signature, count),
            kind,
        )


def test_python_methods_take_floats_and_bytes_alike(models, served):
    for name in IMAGE_OUTPUTS:
        method, expected = getattr(served, name), answer(models["dense"], name)
        same(method(IMAGES), expected, "dense")
        same(method(images=tf.constant(BITS)), expected, "dense")
    same(served.decode(CODES), answer(models["dense"], "decode"), "dense")
    same(served.sample(7, -3), answer(models["dense"], "sample"), "dense")


def test_draws_follow_count_and_seed(servers):
    def sample(count, seed):
        inputs = {"count": np.int32(count), "seed": np.int32(seed)}
        return servers["dense"]("sample", inputs)["images"]

    np.testing.assert_array_equal(sample(3, 1), sample(3, 1))
    assert sample(9, 1).shape == (9, *SHAPE)
    assert np.abs(sample(3, 1) - sample(3, 2)).max() > 1e-3


# Without this package -----------------------------------------------------------------------------

RUNNER = """
import sys

ABSENT = {"mvae_tf", "tensorflow_probability", "keras", "tf_keras"}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import numpy as np
import tensorflow as tf
# Not in the tests' process, where the program's flags would clash with those of our own scripts.
from tensorflow.python.tools import saved_model_cli

inputs, outputs, *folders = sys.argv[1:]
given, received = np.load(inputs), {}
for folder in folders:
    for name, signature in tf.saved_model.load(folder).signatures.items():
        wanted = signature.structured_input_signature[1]
        values = {each: tf.constant(given[f"{name}/{each}"]) for each in wanted}
        for each, value in signature(**values).items():
            received[f"{folder}/{name}/{each}"] = value
np.savez(f"{outputs}/out.npz", **received)
for name in {key.split("/")[0] for key in given}:
    fed = {key.split("/")[1]: given[key] for key in given if key.startswith(f"{name}/")}
    saved_model_cli.run_saved_model_with_feed_dict(
        folders[0], "serve", name, fed, f"{outputs}/{name}", True
    )
saved_model_cli._show_all(folders[0])
assert not ABSENT & set(sys.modules)
"""


@pytest.fixture(scope="module")
def run_alone(folders, tmp_path_factory):
    """A folder of what RUNNER makes of the exports, and what it prints."""
    outputs = tmp_path_factory.mktemp("alone")
    given = {f"{name}/{each}": v for name in SIGNATURES for each, v in fed(name).items()}
    np.savez(outputs / "in.npz", **given)
    paths = [outputs / "in.npz", outputs, folders["dense"], folders["convolutional"]]
    return outputs, _run([sys.executable, "-c", RUNNER, *paths], outputs)


def test_runs_where_the_package_and_its_libraries_are_absent(models, folders, run_alone):
    received = np.load(run_alone[0] / "out.npz")
    for kind, model in models.items():
        for name, (_, outputs) in SIGNATURES.items():
            answers = {each: received[f"{folders[kind]}/{name}/{each}"] for each in outputs}
            same(answers, answer(model, name), kind)


def test_saved_model_cli_shows_and_runs_it(models, folders, run_alone, tmp_path):
    np.save(tmp_path / "x.npy", BITS)
    program = pathlib.Path(sys.executable).with_name("saved_model_cli")
    command = f"run --tag_set=serve --signature_def=encode_uint8 --outdir={tmp_path}/encode"
    inputs = f"--inputs=images={tmp_path}/x.npy"
    _run([program, *command.split(), inputs, f"--dir={folders['dense']}"], tmp_path)
    received = {path.stem: np.load(path) for path in (tmp_path / "encode").iterdir()}
    same(received, answer(models["dense"], "encode"), "dense")

    outputs, shown = run_alone
    for name in SIGNATURES:
        received = {path.stem: np.load(path) for path in (outputs / name).iterdir()}
        same(received, answer(models["dense"], name), "dense")
        assert f"signature_def['{name}']" in shown


def _run(command, folder):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Input that is not what the signature says --------------------------------------------------------


def put(values, place, value):
    values = values.copy()
    values[place] = value
    return values


def refused(server, signature, inputs, received):
    before = server(signature, fed(signature))
    (name,) = inputs
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        server(signature, inputs)
    message = caught.value.message
    assert f"Expected {name} to be {SIGNATURES[signature][0][name][0]} of shape [" in message
    assert "Received: shape" in message and received in message
    after = server(signature, fed(signature))  # the server is none the worse
    for each in before:
        np.testing.assert_array_equal(before[each], after[each])


IMAGE_SIGNATURES = [name for name in SIGNATURES if "images" in SIGNATURES[name][0]]
# Each has as many values as some whole number of images, wherever that can be.
WRONG_SHAPES = [
    (8, 9, 9, 1),
    (4, 8, 9, 2),
    (9, 8, 2),
    (4, 144),
    (1, 4, 9, 8, 2),
    (4, 9, 8, 2, 1),
    (576,),
    (),
    (0, 9, 8, 2),
    (4, 9, 8, 1),
    (4, 9, 8, 0),
]


@pytest.mark.parametrize("signature", IMAGE_SIGNATURES)
def test_images_of_another_shape_are_refused(signature, servers):
    dtype = SIGNATURES[signature][0]["images"][0]
    for shape in WRONG_SHAPES:
        sizes = f"[{' '.join(map(str, shape))}]"
        refused(servers["dense"], signature, {"images": np.zeros(shape, dtype)}, sizes)


@pytest.mark.parametrize("signature", [n for n in IMAGE_SIGNATURES if not n.endswith("_uint8")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-6, 1.00001, 255])
def test_values_outside_0_to_1_are_refused(signature, value, servers):
    for place in ((0, 0, 0, 0), (2, 4, 5, 1), (-1, -1, -1, -1)):
        shown = "inf" if np.isinf(value) else "nan" if np.isnan(value) else "values from"
        refused(servers["dense"], signature, {"images": put(IMAGES, place, value)}, shown)


def test_edges_of_the_range_are_taken(servers, models):
    images = put(put(IMAGES, 0, 0), 1, 1)
    received = servers["dense"]("features", {"images": images})["features"]
    np.testing.assert_allclose(received, models["dense"].features(images), atol=1e-5)


@pytest.mark.parametrize(
    ("codes", "received"),
    [
        (np.zeros([5, D, K], "f4"), f"[5 {D} {K}]"),
        (np.zeros([5, K * D], "f4"), f"[5 {K * D}]"),
        (np.zeros([0, K, D], "f4"), f"[0 {K} {D}]"),
        (put(CODES, (4, 2, 1), np.nan), "nan"),
        (put(CODES, (0, 0, 0), -np.inf), "-inf"),
    ],
)
def test_other_codes_are_refused(codes, received, servers):
    refused(servers["dense"], "decode", {"codes": codes}, received)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 0, r"count to be int32 .* from 1 to 10000.* \[0\] \[to\] \[0\]"),
        ("count", -(2**31), r"Expected count to be int32 .*\[-2147483648\] \[to\]"),
        ("count", serving.MAX_COUNT + 1, r"Expected count to be int32 .*\[10001\] \[to\]"),
        ("count", [7], r"received_count \[1\] is not compatible with expected shape \[\]"),
        ("count", [], r"received_count \[0\] is not compatible with expected shape \[\]"),
        ("seed", [1, 2], r"received_seed \[2\] is not compatible with expected shape \[\]"),
        ("seed", [], r"received_seed \[0\] is not compatible with expected shape \[\]"),
    ],
)
def test_other_counts_and_seeds_are_refused(name, value, message, servers):
    inputs = fed("sample") | {name: np.array(value, np.int32)}
    before = servers["dense"]("sample", fed("sample"))["images"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        servers["dense"]("sample", inputs)
    np.testing.assert_array_equal(servers["dense"]("sample", fed("sample"))["images"], before)


def test_python_is_refused_by_name_too(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expected images .* in \[0, 1\]"):
        served.signatures["serving_default"](images=tf.constant(IMAGES * 2))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected images .* n at least 1"):
        served.encode(BITS[:0])


FLOAT_IMAGES = r"images to be float32 of shape \[n, 9, 8, 2\].*\[0, 1\]. Received: "


@pytest.mark.parametrize(
    ("method", "inputs", "message"),
    [
        ("encode", [IMAGES[:, :8]], FLOAT_IMAGES + r"shape\] \[4 8 8 2\]"),
        ("encode", [IMAGES[0]], FLOAT_IMAGES + r"shape\] \[9 8 2\]"),
        ("features", [IMAGES[None]], FLOAT_IMAGES + r"shape\] \[1 4 9 8 2\]"),
        ("score", [255 * IMAGES.astype("float64")], FLOAT_IMAGES + ".*to.*255"),
        ("reconstruct", [np.nan * IMAGES.astype("float16")], FLOAT_IMAGES + ".*nan"),
        ("encode", [BITS[0]], r"images to be uint8 of .*Received: shape\] \[9 8 2\]"),
        ("encode", [BITS.astype("int64")], FLOAT_IMAGES + r"int64, shape\] \[4 9 8 2\]"),
        ("encode", [BITS.astype("uint16")], FLOAT_IMAGES + "uint16"),
        ("encode", [None], FLOAT_IMAGES + "None"),
        ("score", [None], FLOAT_IMAGES + "None"),
        ("decode", [None], r"codes to be float32 of .*Received: None"),
        ("decode", [CODES[:, :2]], r"codes to be float32 of .*shape\] \[5 2 2\]"),
        ("decode", [CODES.astype("int32")], "codes to be float32 of .*Received: int32"),
        ("sample", [7.5, 0], "count to be int32 of .* from 1 to 10000. Received: float"),
        ("sample", [np.int64(10_001), 0], r"count to be int32 of .* to 10000.*\[10001\]"),
        ("sample", [1, np.int64(2**40)], r"seed to be int32 of .*32 bits.*\[1099511627776\]"),
    ],
)
def test_python_methods_name_the_input_the_expected_and_the_received(
    method, inputs, message, served
):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Expected {message}") as caught:
        getattr(served, method)(*inputs)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("dtype", ["float64", "float16", tf.bfloat16.as_numpy_dtype])
def test_python_methods_take_floats_of_any_precision(dtype, served, models):
    images = (BITS // 64 / 4).astype(dtype)  # exact in each
    for name in IMAGE_OUTPUTS:
        method = getattr(served, name)
        same(method(images), method(images.astype("float32")), "dense")
    codes = np.round(CODES * 4).astype(dtype)
    same(served.decode(codes), served.decode(codes.astype("float32")), "dense")
    same(served.sample(np.int64(7), np.int64(-3)), answer(models["dense"], "sample"), "dense")


def test_a_call_of_sample_asks_for_a_gibibyte_at_most(models):
    assert serving.max_count(models["dense"]) == 10_000
    large = mvae_tf.MixtureVAE((256, 256, 4), 2, 2, (1,))
    assert serving.max_count(large) == 2**30 // (2 * 4 * 256 * 256 * 4) == 512


# The requests of the README -----------------------------------------------------------------------


@pytest.mark.parametrize("signature", SIGNATURES)
def test_grpc_request_and_response(signature, servers, models):
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
    definition = servers["dense"].signatures[request.model_spec.signature_name]
    assert request.inputs.keys() == definition.inputs.keys()
    for name, proto in request.inputs.items():
        declared = definition.inputs[name]
        assert proto.dtype == declared.dtype
        shape = tf.TensorShape(declared.tensor_shape)
        assert shape.is_compatible_with(tf.TensorShape(proto.tensor_shape))
    inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for name, values in servers["dense"](signature, inputs).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(values))

    response = predict_pb2.PredictResponse.FromString(response.SerializeToString())
    received = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    same(received, answer(models["dense"], signature), "dense")


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
def test_rest_requests_by_rows(signature, servers, models):
    (values,) = fed(signature).values()
    text = json.dumps({"signature_name": signature, "instances": values.tolist()})
    rows = json.loads(rest(servers["dense"], text))["predictions"]
    expected = answer(models["dense"], signature)
    if len(expected) == 1:
        rows = [{name: row} for row in rows for name in expected]
    received = {name: [row[name] for row in rows] for name in expected}
    same(received, expected, "dense")


@pytest.mark.parametrize("signature", SIGNATURES)
def test_rest_requests_by_columns(signature, servers, models):
    columns = {name: values.tolist() for name, values in fed(signature).items()}
    text = json.dumps({"signature_name": signature, "inputs": columns})
    received = json.loads(rest(servers["dense"], text))["outputs"]
    expected = answer(models["dense"], signature)
    same(received if len(expected) > 1 else {n: received for n in expected}, expected, "dense")


def test_rest_request_of_the_default_signature(servers, models):
    rows = json.loads(rest(servers["dense"], json.dumps({"instances": IMAGES.tolist()})))
    np.testing.assert_allclose(rows["predictions"], models["dense"].reconstruct(IMAGES), atol=1e-5)
