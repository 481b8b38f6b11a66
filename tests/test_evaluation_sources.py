"""Where evaluated images come from, where codes go, and how much memory both take."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mvae_tf import evaluation
from mvae_tf.datasets import Split

HELPER = Path(__file__).with_name("stream_images.py")
CODES = ["means.npy", "weights.npy"]

MEASURES = {
    "reconstruction_errors": evaluation.reconstruction_errors,
    "component_errors": evaluation.component_errors,
    "encode_split": evaluation.encode_split,
    "mean_log_likelihood": evaluation.mean_log_likelihood,
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=[23, 8, 8, 1]).astype(np.float32)


def batches(images, sizes=(5,)):
    """A dataset whose batches have given sizes, in turn."""

    def generate():
        start = 0
        for size in itertools.cycle(sizes):
            if start >= len(images):
                return
            yield images[start : start + size]
            start += size

    signature = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


SOURCES = {
    "small batches": lambda images: batches(images, [3]),
    "one batch": lambda images: batches(images, [100]),
    "batches of any sizes": lambda images: batches(images, [1, 0, 9]),
    "with labels": lambda images: tf.data.Dataset.from_tensor_slices(
        (images, np.arange(len(images)))
    ).batch(6),
    "nested": lambda images: tf.data.Dataset.from_tensors(((images, 1), (2, 3))),
    "of unknown shape": lambda images: tf.data.Dataset.from_generator(
        lambda: np.split(images, [7]), output_signature=tf.TensorSpec(None, tf.float32)
    ),
    "float64": lambda images: batches(images.astype(np.float64)),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_a_dataset_gives_what_a_split_of_its_images_gives(small_model, images, measure):
    measure = MEASURES[measure]
    expected = measure(small_model, Split(images, None, is_train=False), batch_size=4)
    received = measure(small_model, SOURCES["batches of any sizes"](images), batch_size=4)
    np.testing.assert_equal(received, expected)


ARRAYS = {
    "floats": lambda images: images,
    "float64": lambda images: images.astype(np.float64),
    "a list": lambda images: images.tolist(),
    "a tensor": tf.constant,
    "a variable": tf.Variable,
    "a variable of Keras's": keras.Variable,
    "bytes": lambda images: np.round(images * 255).astype(np.uint8),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_arrays_images_are_those_that_the_model_takes(small_model, images, kind):
    given = ARRAYS[kind](images)
    codes = evaluation.encode_split(small_model, given, batch_size=4)
    expected = small_model.encode(given).z.mean()
    np.testing.assert_allclose(codes.means, expected, rtol=1e-4, atol=1e-5)


def test_of_a_loaded_dataset_the_test_images_are_measured(small_model, digits):
    expected = evaluation.component_errors(small_model, digits.test.float_images())
    np.testing.assert_array_equal(evaluation.component_errors(small_model, digits), expected)


@pytest.mark.parametrize("source", SOURCES)
def test_a_datasets_images_come_in_their_order_however_it_is_made(small_model, images, source):
    codes = evaluation.encode_split(small_model, SOURCES[source](images), batch_size=4)
    posterior = small_model.encode(images)
    np.testing.assert_allclose(codes.means, posterior.z.mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes.weights, posterior.w.mean(), rtol=1e-4)


@pytest.mark.parametrize("count", [1, 8, 11, 23, 40])
def test_max_images_are_the_first_ones_of_a_dataset(small_model, images, count):
    def estimate(source, **options):
        return evaluation.mean_log_likelihood(
            small_model, source, num_samples=2, batch_size=4, seed=3, **options
        )

    received = estimate(batches(images), max_images=count)
    np.testing.assert_equal(received, estimate(Split(images[:count], None, is_train=False)))
    endless = np.resize(images, [count, *images.shape[1:]])
    received = estimate(batches(images).repeat(), max_images=count)
    np.testing.assert_equal(received, estimate(Split(endless, None, is_train=False)))


def test_moments_are_those_of_all_values_together(images):
    """Far from 0, where the mean of the squares less the square of the mean would have no digit."""

    class Model:
        image_shape = (8, 8, 1)

        def log_likelihood(self, batch, num_samples, seed):
            return 1e9 + np.sum(np.asarray(batch, np.float64), axis=(1, 2, 3))

    sums = images.astype(np.float64).sum(axis=(1, 2, 3))
    for batch_size in (1, 2, 5, 22, 23):
        result = evaluation.mean_log_likelihood(Model(), batches(images), batch_size=batch_size)
        assert result.mean - 1e9 == pytest.approx(sums.mean(), abs=1e-5)
        expected = sums.std(ddof=1) / np.sqrt(23)
        assert result.standard_error == pytest.approx(expected, rel=1e-5)


def test_codes_in_a_folder_are_those_in_memory(small_model, images, tmp_path):
    expected = evaluation.encode_split(small_model, batches(images), batch_size=4)
    out = tmp_path / "new" / "codes"
    codes = evaluation.encode_split(small_model, batches(images), batch_size=4, out=str(out))
    assert sorted(path.name for path in out.iterdir()) == CODES
    for name, received, values in zip(CODES, codes, expected, strict=True):
        assert isinstance(received, np.memmap)
        assert received.dtype == np.float32
        np.testing.assert_array_equal(received, values)
        np.testing.assert_array_equal(np.load(out / name), values)
        with pytest.raises(ValueError, match="read-only"):
            received[0] = 0
    # Written anew, while the old ones are in use.
    evaluation.encode_split(small_model, batches(images[:8]), batch_size=4, out=out)
    np.testing.assert_array_equal(codes.means, expected.means)
    np.testing.assert_array_equal(np.load(out / "means.npy"), expected.means[:8])


def spoilt(images, value):
    """A dataset of batches of 5, the third one with a pixel that is no pixel."""
    images = images.copy()
    images[12, 3, 3, 0] = value
    return batches(images)


REFUSED = {
    "none": (lambda images: batches(images).take(0), "at least one image. Received: none"),
    "no images in a batch": (lambda images: batches(images[:1], [0, 1]).take(1), "Received: none"),
    "no end": (lambda images: batches(images).repeat(), "comes to an end.*without end"),
    "above 1": (
        lambda images: spoilt(images, 1.5),
        r"in \[0, 1\]. Received: values from .* to 1.5",
    ),
    "below 0": (lambda images: spoilt(images, -1), r"in \[0, 1\]. Received: values from -1"),
    "NaN": (lambda images: spoilt(images, np.nan), "images to be finite"),
    "of another shape": (
        lambda images: batches(images[:, 1:]),
        r"shape \[n, 8, 8, 1\]. Received: shape \(None, 7, 8, 1\)",
    ),
    "found to be of another shape": (
        lambda images: SOURCES["of unknown shape"](images[:, :7]),
        r"shape \[n, 8, 8, 1\]. Received: shape \(4, 7, 8, 1\)",
    ),
    "not in batches": (lambda images: batches(images).unbatch(), r"Received: shape \(8, 8, 1\)"),
    "under a name": (
        lambda images: tf.data.Dataset.from_tensors({"image": images}),
        r"tuples \(images, ...\). Received: one of {'image'",
    ),
    "ragged": (
        lambda images: tf.data.Dataset.from_tensors(tf.ragged.constant([[0.0], [0.0, 1.0]])),
        "Received: one of RaggedTensorSpec",
    ),
    "an array of another shape": (
        lambda images: images[..., 0],
        r"shape \[n, 8, 8, 1\]. Received: shape \(23, 8, 8\)",
    ),
    "an array of 0 to 255": (lambda images: 255 * images, r"in \[0, 1\]. Received: values from"),
    "an empty array": (lambda images: images[:0], "Received: none"),
    "an array of labels": (lambda images: np.arange(23), "dtype int64"),
    "a path": (lambda images: "digits", "a tf.data.Dataset. Received: a str"),
    "nothing": (lambda images: None, "a tf.data.Dataset. Received: None"),
    "an empty split": (lambda images: Split(images[:0], None, False), "Received: none"),
    "a split of another shape": (
        lambda images: Split(images[:, 1:], None, False),
        r"shape \[n, 8, 8, 1\]. Received: shape \(4, 7, 8, 1\)",
    ),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("source", ["none", "no end", "above 1"])
def test_every_measure_refuses_other_sources(small_model, images, measure, source):
    make, message = REFUSED[source]
    with pytest.raises(ValueError, match=message):
        MEASURES[measure](small_model, make(images), batch_size=4)


@pytest.mark.parametrize("max_images", [0, -1, 2.5, True])
def test_refuses_other_numbers_of_images(small_model, images, max_images):
    with pytest.raises(ValueError, match="max_images to be an integer"):
        evaluation.mean_log_likelihood(small_model, batches(images), max_images=max_images)


@pytest.fixture(scope="module")
def older_codes(small_model, images, tmp_path_factory):
    """Return a folder with codes, and its content."""
    folder = tmp_path_factory.mktemp("codes")
    evaluation.encode_split(small_model, batches(images[:3]), out=folder)
    return folder, content(folder)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("source", REFUSED)
def test_other_sources_are_refused_and_older_codes_stay(small_model, images, older_codes, source):
    folder, before = older_codes
    make, message = REFUSED[source]
    with pytest.raises(ValueError, match=message):
        evaluation.encode_split(small_model, make(images), batch_size=4, out=folder)
    assert content(folder) == before
    assert sorted(before) == CODES


def test_nothing_is_written_where_the_batch_size_is_none(small_model, images, tmp_path):
    with pytest.raises(ValueError, match="batch_size"):
        evaluation.encode_split(small_model, batches(images), batch_size=0, out=tmp_path / "codes")
    assert not (tmp_path / "codes").exists()


def test_new_means_never_stand_beside_old_weights(small_model, images, tmp_path, monkeypatch):
    evaluation.encode_split(small_model, batches(images[:3]), out=tmp_path)
    states, replace = [], os.replace

    def watched(source, target):
        replace(source, target)
        states.append({path.name: len(np.load(path)) for path in tmp_path.glob("*.npy")})

    monkeypatch.setattr(evaluation.codes.os, "replace", watched)
    evaluation.encode_split(small_model, batches(images), out=tmp_path)
    assert states == [{"means.npy": 23}, dict.fromkeys(CODES, 23)]


def test_folders_that_cannot_be_written_are_named_before_any_image_is_read(small_model, tmp_path):
    class Unread(Split):
        def float_images(self, start=0, stop=None):
            raise AssertionError("read")

    source = Unread(np.zeros([2, 8, 8, 1], np.uint8), None, is_train=False)
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "codes"):
        with pytest.raises(OSError, match="Expected out to be a folder.*Received: '.*file"):
            evaluation.encode_split(small_model, source, out=out)
    assert file.read_text() == "mine"
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("the superuser can write anywhere")
    with pytest.raises(OSError, match="Received: '.*locked' .Permission denied"):
        evaluation.encode_split(small_model, source, out=locked)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return a killed process's exit status, the peaks it printed, and its folder."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only /proc tells a process's memory without its files")
    folder = tmp_path_factory.mktemp("streams")
    done = subprocess.run(
        [sys.executable, HELPER, folder], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), folder


def test_memory_does_not_grow_with_the_number_of_images(measured):
    """45,000 more images, and their codes, are 44 MiB each."""
    grown = {name: (most - least) / 2**20 for name, (least, most) in measured[1].items()}
    assert len(grown) == 9
    assert {name: growth for name, growth in grown.items() if growth > 15} == {}


def test_a_killed_process_leaves_the_older_codes_as_they_were(measured):
    status, _, folder = measured
    assert status == -signal.SIGKILL
    assert [len(np.load(folder / "codes" / name)) for name in CODES] == [50_000, 50_000]
