"""What a SavedModel is asked that its signatures don't say."""

import numpy as np
import pytest
import tensorflow as tf
from served import (
    BITS,
    CODES,
    IMAGE_OUTPUTS,
    IMAGES,
    SIGNATURES,
    D,
    K,
    answer,
    fed,
    same,
)

import mvae_tf
from mvae_tf import serving


@pytest.fixture(scope="module")
def served(exported_dense):
    return tf.saved_model.load(exported_dense)


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
def test_images_of_another_shape_are_refused(signature, dense_session):
    dtype = SIGNATURES[signature][0]["images"][0]
    for shape in WRONG_SHAPES:
        sizes = f"[{' '.join(map(str, shape))}]"
        refused(dense_session, signature, {"images": np.zeros(shape, dtype)}, sizes)


@pytest.mark.parametrize("signature", [n for n in IMAGE_SIGNATURES if not n.endswith("_uint8")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-6, 1.00001, 255])
def test_values_outside_0_to_1_are_refused(signature, value, dense_session):
    for place in ((0, 0, 0, 0), (2, 4, 5, 1), (-1, -1, -1, -1)):
        shown = "inf" if np.isinf(value) else "nan" if np.isnan(value) else "values from"
        refused(dense_session, signature, {"images": put(IMAGES, place, value)}, shown)


def test_edges_of_the_range_are_taken(dense_session, dense_model):
    images = put(put(IMAGES, 0, 0), 1, 1)
    received = dense_session("features", {"images": images})["features"]
    np.testing.assert_allclose(received, dense_model.features(images), atol=1e-5)


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
def test_other_codes_are_refused(codes, received, dense_session):
    refused(dense_session, "decode", {"codes": codes}, received)


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
def test_other_counts_and_seeds_are_refused(name, value, message, dense_session):
    inputs = fed("sample") | {name: np.array(value, np.int32)}
    before = dense_session("sample", fed("sample"))["images"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        dense_session("sample", inputs)
    np.testing.assert_array_equal(dense_session("sample", fed("sample"))["images"], before)


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
def test_python_methods_take_floats_of_any_precision(dtype, served, dense_model):
    images = (BITS // 64 / 4).astype(dtype)  # exact in each
    for name in IMAGE_OUTPUTS:
        method = getattr(served, name)
        same(method(images), method(images.astype("float32")), "dense")
    codes = np.round(CODES * 4).astype(dtype)
    same(served.decode(codes), served.decode(codes.astype("float32")), "dense")
    same(served.sample(np.int64(7), np.int64(-3)), answer(dense_model, "sample"), "dense")


def test_a_call_of_sample_asks_for_a_gibibyte_at_most(dense_model):
    assert serving.max_count(dense_model) == 10_000
    large = mvae_tf.MixtureVAE((256, 256, 4), 2, 2, (1,))
    assert serving.max_count(large) == 2**30 // (2 * 4 * 256 * 256 * 4) == 512
