"""What the server makes of a SavedModel: its answers, and TensorFlow Serving's JSON."""

import json
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from served import BITS, CODES, IMAGES, SIGNATURES, answer, fed, made, same

from mvae_tf.server import rest
from mvae_tf.server.answers import Answers, RefusedError, Signature, _joined


@pytest.fixture(scope="module")
def model():
    return made("dense")


@pytest.fixture(scope="module")
def answers(exported_dense):
    return Answers(exported_dense, max_batch=40, threads=32)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_answers_are_the_models(model, answers, signature):
    inputs = fed(signature)
    same(answers(signature, inputs), answer(model, signature), "dense")
    # Through JSON, by columns and, where there are rows, by rows.
    spec = answers.signatures[signature]
    bodies = [{"signature_name": signature, "inputs": {k: v.tolist() for k, v in inputs.items()}}]
    if signature != "sample":
        (name, values), *_ = inputs.items()
        bodies += [
            {"signature_name": signature, "inputs": values.tolist()},
            {"signature_name": signature, "instances": values.tolist()},
            {"signature_name": signature, "instances": [{name: each.tolist()} for each in values]},
        ]
    for body in bodies:
        request = rest.read(json.loads(json.dumps(body)), answers.signature)
        assert request.signature_name == signature and request.inputs.keys() == spec.inputs.keys()
        assert request.by_rows == ("instances" in body)
        for each, values in request.inputs.items():
            np.testing.assert_array_equal(values, inputs[each])
            assert values.dtype == inputs[each].dtype


def at_once(answers, requests):
    """Ask from a thread each; return answers or errors in the requests' order."""
    received, barrier = [None] * len(requests), threading.Barrier(len(requests))

    def ask(place, signature, inputs):
        barrier.wait()
        try:
            received[place] = answers(signature, inputs)
        except Exception as error:
            received[place] = error

    threads = [threading.Thread(target=ask, args=(i, *each)) for i, each in enumerate(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return received


def test_everybody_gets_the_answer_to_his_own(model, answers):
    codes = np.random.default_rng(3).normal(size=[30, 3, 2]).astype(np.float32)
    requests = [("decode", {"codes": codes[i : i + 1 + i % 3]}) for i in range(24)]
    for (_, inputs), received in zip(requests, at_once(answers, requests), strict=True):
        same(received, {"images": model.decode(inputs["codes"])}, "dense")


def test_signatures_of_the_same_inputs_are_kept_apart(model, answers):
    names = ["encode", "features", "reconstruct", "component_reconstructions", "serving_default"]
    requests = [(name, {"images": IMAGES[i % 4 : i % 4 + 1]}) for name in names for i in range(6)]
    expected = {name: answer(model, name) for name in names}
    for (name, _), received, i in zip(requests, at_once(answers, requests), range(30), strict=True):
        place = i % 6 % 4
        same(received, {k: v[place : place + 1] for k, v in expected[name].items()}, "dense")


def test_a_neighbours_mistake_is_nobody_elses(model, answers):
    wrong = np.where(np.arange(3)[:, None] == 1, np.nan, CODES[0])
    requests = [("decode", {"codes": CODES[:1]}), ("decode", {"codes": wrong[None]})] * 8
    received = at_once(answers, requests)
    expected = {"images": model.decode(CODES[:1])}
    for right, refused in zip(received[::2], received[1::2], strict=True):
        same(right, expected, "dense")
        assert isinstance(refused, RefusedError) and "finite values" in str(refused)


def test_requests_that_come_meanwhile_are_computed_together():
    sizes, queued = [], threading.Event()

    def record(x):
        sizes.append(len(x))
        queued.wait(10)
        return x + 1

    @tf.function
    def slow(*, x):
        return {"y": tf.ensure_shape(tf.numpy_function(record, [x], tf.float32), x.shape)}

    slow = slow.get_concrete_function(x=tf.TensorSpec([None], tf.float32))
    joined, received = _joined(slow, max_batch=6, threads=8), {}

    def ask(value):
        received[value] = joined(x=tf.constant([value]))["y"].numpy().tolist()

    threads = [threading.Thread(target=ask, args=(float(i),)) for i in range(8)]
    threads[0].start()
    while not sizes:
        time.sleep(0.001)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.5)  # until they wait: there is nothing to see it by
    queued.set()
    for thread in threads:
        thread.join()
    assert received == {float(i): [float(i + 1)] for i in range(8)}
    assert sizes[0] == 1 and sum(sizes) == 8 and max(sizes) > 1 and max(sizes) <= 6


def test_a_score_does_not_depend_on_who_else_asks(model, answers):
    alone = answers("score", {"images": IMAGES[:1]})["log_likelihood"]
    received = at_once(answers, [("score", {"images": IMAGES[i : i + 1]}) for i in range(4)] * 3)
    for each in received[::4]:
        np.testing.assert_array_equal(each["log_likelihood"], alone)


@pytest.mark.parametrize(
    ("signature", "inputs", "said"),
    [
        ("encod", {}, "Expected signature_name to be one of component_reconstructions, .*'encod'"),
        (["x" * 999], {}, r"Expected signature_name .* Received: \['x{70,80}\.\.\.\."),
        ("encode", {}, "Expected inputs images. Received: none."),
        ("encode", {"codes": CODES}, "Expected inputs images. Received: codes."),
        ("encode", {"images": BITS}, "Expected images to be float32. Received: uint8."),
        ("encode", {"images": IMAGES[:0]}, r"n at least 1, .* Received: shape 0 9 8 2"),
        ("encode", {"images": IMAGES[0]}, r"shape \[n, 9, 8, 2\], .* Received: shape 9 8 2 and"),
        ("encode", {"images": IMAGES + 1}, r"in \[0, 1\]\. Received: shape 4 9 8 2 and values"),
        ("encode", {"images": np.float32(0)}, r"Received: shape \[\] and values from 0 to 0\.$"),
        ("encode", {"images": np.zeros([41, 9, 8, 2], np.float32)}, "images of at most 40 .* 41"),
        ("sample", {"count": np.int32(41), "seed": np.int32(0)}, "count of at most 40 .* 41"),
        ("sample", {"count": np.int32(0), "seed": np.int32(0)}, r"Expected count .* shape \[\]"),
        (
            "sample",
            {"count": np.int32([2]), "seed": np.int32(0)},
            r"Received: Shape of tensor .*count \[1\] is not compatible",
        ),
    ],
)
def test_what_is_refused_is_named_in_one_line(answers, signature, inputs, said):
    with pytest.raises(RefusedError, match=said) as caught:
        answers(signature, inputs)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


# TensorFlow Serving's JSON ------------------------------------------------------------------------

FLOATS = Signature({"x": tf.TensorSpec([None, 2], tf.float32)}, {})
TWO = Signature({"a": tf.TensorSpec([None], tf.int32), "b": tf.TensorSpec([None], tf.string)}, {})
BYTES = Signature({"b": tf.TensorSpec([None], tf.string)}, {})
UINT8 = Signature({"x": tf.TensorSpec([None], tf.uint8)}, {})


@pytest.mark.parametrize(
    ("body", "signature", "expected"),
    [
        ({"instances": [[0, 1.5], [2, 3]]}, FLOATS, {"x": [[0, 1.5], [2, 3]]}),
        ({"instances": [{"x": [1, 2]}]}, FLOATS, {"x": [[1, 2]]}),
        ({"inputs": {"x": [[1, 2]]}}, FLOATS, {"x": [[1, 2]]}),
        ({"inputs": [[1, 2]]}, FLOATS, {"x": [[1, 2]]}),
        ({"instances": [{"a": 1, "b": "u"}, {"b": {"b64": "AP8="}, "a": 2}]}, TWO, None),
        ({"instances": [{"b64": "AP8="}, "é"]}, BYTES, {"b": [b"\x00\xff", "é".encode()]}),
        ({"inputs": {"b64": "AP8="}}, BYTES, {"b": b"\x00\xff"}),
        ({"instances": [0, 255]}, UINT8, {"x": [0, 255]}),
    ],
)
def test_both_forms_are_read(body, signature, expected):
    request = rest.read(body, lambda name: signature)
    expected = expected or {"a": [1, 2], "b": [b"u", b"\x00\xff"]}
    assert request.signature_name == "serving_default"
    assert {name: values.tolist() for name, values in request.inputs.items()} == expected
    for name, values in request.inputs.items():
        assert values.dtype == signature.inputs[name].dtype.as_numpy_dtype


@pytest.mark.parametrize(
    ("body", "signature", "said"),
    [
        ([1], FLOATS, 'either "instances" or "inputs". Received: a list'),
        (None, FLOATS, "Received: nothing"),
        ({}, FLOATS, "Received: an empty object"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, FLOATS, "Received: inputs, instances"),
        ({"instances": [[1, 2]], "signature": "x"}, FLOATS, "no other keys .* Received: signature"),
        ({"instances": {"x": 1}}, FLOATS, 'Expected "instances" to be a list .* an object'),
        ({"instances": []}, FLOATS, "an empty one"),
        ({"instances": [[1], [1, 2]]}, FLOATS, "x to be float32. Received: lists of unequal"),
        ({"instances": [[1, [2]]]}, FLOATS, "lists of unequal lengths or depths"),
        ({"instances": [["1", "2"]]}, FLOATS, "x to be float32. Received: strings"),
        ({"instances": [[1, True]]}, FLOATS, "x to be float32. Received: true or false"),
        ({"instances": [[1, None]]}, FLOATS, "something else than numbers"),
        ({"instances": [1, 256]}, UINT8, "x to be uint8. Received: values from 1 to 256"),
        ({"instances": [-1, 6]}, UINT8, "values from -1 to 6"),
        ({"instances": [0.5]}, UINT8, "numbers that are not whole"),
        ({"instances": [2**80]}, UINT8, "values from"),
        ({"instances": [1, 2]}, TWO, "Expected an object of a, b. Received: a list"),
        ({"instances": [{"a": 1}, {"b": 1}]}, TWO, "objects of a. Received: b"),
        ({"instances": [{"a": 1}, 1]}, TWO, "objects of a. Received: a number"),
        ({"inputs": {"b": ["u", 1]}}, BYTES, "b to be strings, .* Received: a number"),
        ({"inputs": {"b": [["u"]]}}, BYTES, "b to be strings, .* Received: a list"),
        ({"inputs": {"b": [{"b64": "?"}]}}, BYTES, "b to hold base64"),
        ({"inputs": {"b": [{"b64": "é"}]}}, BYTES, "b to hold base64"),
        ({"inputs": {"b": [{"b64": 1}]}}, BYTES, "Received: an object"),
    ],
)
def test_other_bodies_are_refused(body, signature, said):
    with pytest.raises(RefusedError, match=said):
        rest.read(body, lambda name: signature)


def test_strings_among_numbers_take_no_room():
    """NumPy gives each the room of the longest: 4 MB times 10,000 here."""
    body = {"instances": [["a" * 1_000_000, *range(10_000)]]}
    with pytest.raises(RefusedError, match="strings"):
        rest.read(body, lambda name: FLOATS)


def test_answers_have_the_form_of_the_request():
    one, two = {"y": np.float32([1, 2])}, {"y": np.float32([1, 2]), "z": np.float32([[3], [4]])}

    def listed(value):
        if isinstance(value, dict):
            return {name: listed(each) for name, each in value.items()}
        return [listed(each) for each in value] if isinstance(value, list) else value.tolist()

    assert listed(rest.written(one, True)) == {"predictions": [1, 2]}
    assert listed(rest.written(one, False)) == {"outputs": [1, 2]}
    assert listed(rest.written(two, False)) == {"outputs": {"y": [1, 2], "z": [[3], [4]]}}
    assert listed(rest.written(two, True)) == {
        "predictions": [{"y": 1, "z": [3]}, {"y": 2, "z": [4]}]
    }
