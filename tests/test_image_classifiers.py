import dataclasses
import hashlib
import json
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from mvae_tf.datasets.sources.fetching import SourceError
from mvae_tf.evaluation import image_classifiers, resnet
from mvae_tf.evaluation.image_classifiers import (
    ClassifierError,
    DatasetClassifier,
    InceptionClassifier,
)
from mvae_tf.evaluation.image_scores import in_batches, inception_score

TRAINING = {"epochs": 8, "flips": False, "progress": False}


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A classifier of digits and the folder it is stored in."""
    folder = tmp_path_factory.mktemp("classifiers") / "digits"
    return image_classifiers.trained_classifier(digits, folder, **TRAINING), folder


@pytest.fixture
def stored(trained, tmp_path):
    """A copy of that folder, to damage."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for path in trained[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_learns_digits(digits, trained):
    classifier, _ = trained
    assert classifier.name == "digits"
    assert classifier.test_accuracy > 95
    images = digits.test.float_images()
    rows = classifier(images)
    assert rows.shape == (297, 10) and rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    right = 100 * np.mean(rows.argmax(axis=1) == digits.test.labels)
    assert right == pytest.approx(classifier.test_accuracy)
    assert f"ResNet-8 trained here on {len(digits.train):,}" in classifier.description
    assert f"accuracy {right:.1f} % on 297 images (test images)" in classifier.description


def test_scores_of_real_images_are_near_the_number_of_classes_and_of_grey_ones_one(digits, trained):
    classifier, _ = trained
    real = inception_score(in_batches(digits.test, 64), classifier, count=297, splits=1)
    assert 8 < real.mean <= 10
    grey = np.full([40, 8, 8, 1], 0.5, np.float32)
    assert inception_score([grey], classifier, count=40, splits=2).mean == pytest.approx(1)


def test_probabilities_do_not_depend_on_the_batch(digits, trained):
    classifier, _ = trained
    images = np.concatenate([digits.test.float_images()] * 3)
    each = np.concatenate([classifier(images[:1]), classifier(images[1:50])])
    np.testing.assert_allclose(classifier(images)[:50], each, atol=1e-5)


def test_values_that_rounding_took_past_one_are_taken(digits, trained):
    classifier, _ = trained
    images = digits.test.float_images(0, 2)
    past = np.where(images == 1, np.float32(1 + 2e-7), images)
    np.testing.assert_array_equal(classifier(past), classifier(images))
    with pytest.raises(ValueError, match=r"images in \[0, 1\]"):
        classifier(images * 1.001)
    with pytest.raises(ValueError, match="shape"):
        classifier(images[:, :7])
    with pytest.raises(ValueError, match="finite"):
        classifier(np.where(images == 1, np.nan, images))
    np.testing.assert_array_equal(classifier(digits.test.images[:2]), classifier(images))


def test_what_is_stored_is_read_back_bit_for_bit(digits, trained):
    classifier, folder = trained
    loaded = DatasetClassifier.load(folder)
    images = digits.test.float_images()
    np.testing.assert_array_equal(loaded(images), classifier(images))
    assert (loaded.name, loaded.description) == (classifier.name, classifier.description)
    assert loaded.record == classifier.record
    stand_in = DatasetClassifier(loaded._model, {**loaded.record, "test_part": "held-out images"})
    assert "on 297 images (held-out images)" in stand_in.description
    record = json.loads((folder / "record.json").read_text())
    assert record["dataset"] == {"name": "digits", "digest": digits.digest}
    assert record["settings"]["epochs"] == 8 and record["test_accuracy"] == loaded.test_accuracy
    model = (folder / "model.keras").read_bytes()
    assert record["model_sha256"] == hashlib.sha256(model).hexdigest()
    assert {path.name for path in folder.iterdir()} == {"model.keras", "record.json"}


def test_a_stored_classifier_is_not_trained_again(digits, stored, monkeypatch):
    monkeypatch.setattr(resnet, "train_classifier", None)
    image_classifiers.trained_classifier(digits, stored, **TRAINING)


def test_a_classifier_of_other_data_or_settings_is_refused(digits, stored):
    other = dataclasses.replace(digits, digest="0" * 64)
    with pytest.raises(ClassifierError, match="Expected in .* a classifier of .*000"):
        image_classifiers.trained_classifier(other, stored, **TRAINING)
    with pytest.raises(ClassifierError, match="'seed': 1"):
        image_classifiers.trained_classifier(digits, stored, seed=1, **TRAINING)


@pytest.mark.parametrize("name", ["model.keras", "record.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damage_is_noticed(digits, stored, name, damage):
    content = (stored / name).read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 128]) + content[middle + 1 :]
    (stored / name).write_bytes({"cut": content[:middle], "flip": flipped, "empty": b""}[damage])
    with pytest.raises(ClassifierError, match="Move that folder away"):
        image_classifiers.trained_classifier(digits, stored, **TRAINING)


@pytest.mark.parametrize("record", ["[]", "{}", '"text"', '{"model_sha256": "0"}'])
def test_a_record_of_something_else_is_noticed(stored, record):
    (stored / "record.json").write_text(record)
    with pytest.raises(ClassifierError, match="Move that folder away"):
        DatasetClassifier.load(stored)


def test_a_missing_model_or_folder_is_noticed(stored, tmp_path):
    (stored / "model.keras").unlink()
    for folder in (stored, tmp_path / "nothing"):
        with pytest.raises(ClassifierError, match="Expected a trained classifier in"):
            DatasetClassifier.load(folder)


@pytest.mark.parametrize("stop", range(3))
def test_a_kill_while_it_is_written_leaves_nothing_that_counts_as_there(
    trained, stored, monkeypatch, stop
):
    """Killed while the model is written, before it is renamed, or before the record is."""

    class Killed(BaseException):
        pass

    replace, calls = image_classifiers.os.replace, []

    def kill(*arguments):
        if len(calls) == stop - 1:
            raise Killed
        calls.append(arguments)
        replace(*arguments)

    def half_written(path):
        path.write_bytes(b"half")
        raise Killed

    if stop == 0:
        classifier = DatasetClassifier.load(stored)
        monkeypatch.setattr(classifier._model, "save", half_written)
    else:
        classifier = trained[0]
        monkeypatch.setattr(image_classifiers.os, "replace", kill)
    with pytest.raises(Killed):
        classifier.save(stored)
    assert not (stored / "record.json").exists()
    with pytest.raises(ClassifierError):
        DatasetClassifier.load(stored)
    monkeypatch.undo()
    trained[0].save(stored)  # what is lying about doesn't stand in the way
    DatasetClassifier.load(stored)
    assert {path.name for path in stored.iterdir()} == {"model.keras", "record.json"}


def test_a_folder_that_cannot_be_written_is_found_before_training(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(resnet, "train_classifier", None)
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "classifier"):
        with pytest.raises(OSError, match="Expected .*file.* to be a place that can be written"):
            image_classifiers.trained_classifier(digits, folder, **TRAINING)
    assert (tmp_path / "file").read_text() == "in the way"


# Inception v3


def test_missing_weights_are_refused_and_say_what_to_do(tmp_path):
    with pytest.raises(ClassifierError) as error:
        InceptionClassifier(tmp_path / "absent.h5")
    for part in ("absent.h5", image_classifiers.INCEPTION_URL, image_classifiers.INCEPTION_MD5):
        assert part in str(error.value)


def test_weights_that_cannot_be_downloaded_are_refused_at_once(tmp_path, monkeypatch):
    def unreachable(url):
        raise SourceError(f"{url}: no answer within 5 s")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(image_classifiers, "probe", unreachable)
    monkeypatch.setattr(keras.utils, "get_file", None)  # never asked
    began = time.monotonic()
    with pytest.raises(ClassifierError, match="no answer within 5 s.*MD5 9a0d"):
        InceptionClassifier()
    assert time.monotonic() - began < 5


def test_a_failed_download_is_refused_and_a_whole_cached_file_is_not_asked_for(
    tmp_path, monkeypatch
):
    def fail(*arguments, **keywords):
        raise Exception("URL fetch failure: 404")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(image_classifiers, "probe", lambda url: None)
    monkeypatch.setattr(keras.utils, "get_file", fail)
    cached = tmp_path / "models" / image_classifiers.INCEPTION_FILE
    cached.parent.mkdir()
    cached.write_bytes(b"weights")  # of another MD5
    with pytest.raises(ClassifierError, match="URL fetch failure: 404"):
        InceptionClassifier()
    monkeypatch.setattr(image_classifiers, "INCEPTION_MD5", hashlib.md5(b"weights").hexdigest())
    assert image_classifiers._downloaded_weights() == cached


def test_the_address_and_digest_are_those_of_keras():
    from keras.src.applications import inception_v3

    assert inception_v3.WEIGHTS_PATH == image_classifiers.INCEPTION_URL
    with open(inception_v3.__file__) as file:
        assert image_classifiers.INCEPTION_MD5 in file.read()


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """Inception v3 with random weights, whose predictions differ, and its weights' file."""
    keras.utils.set_random_seed(0)
    model = keras.applications.InceptionV3(weights=None)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([5000 * kernel, bias])
    path = tmp_path_factory.mktemp("inception") / "random.weights.h5"
    model.save_weights(path)
    return model, path


def enlarge(images, side):
    """TensorFlow 1's bilinear interpolation: output i lies at i * size / side of the input."""

    def along(images, axis):
        size = images.shape[axis]
        places = np.arange(side) * (size / side)
        low = np.floor(places).astype(int)
        shape = [1] * images.ndim
        shape[axis] = side
        part = (places - low).reshape(shape)
        high = np.minimum(low + 1, size - 1)
        return (1 - part) * images.take(low, axis) + part * images.take(high, axis)

    return along(along(images.astype(np.float64), 1), 2)


@pytest.mark.slow
def test_inception_is_keras_network_on_images_enlarged_as_the_reference_does(inception):
    model, path = inception
    classifier = InceptionClassifier(path)
    images = np.random.default_rng(0).random([2, 32, 32, 3], np.float32)
    rows = classifier(images)
    assert rows.shape == (2, 1000)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)

    def error(inputs):
        expected = model.predict(inputs.astype(np.float32), verbose=0)
        return np.abs(np.log(rows) - np.log(expected)).max()

    assert error(2 * enlarge(images, 299) - 1) < 1e-3
    # The tolerance tells apart today's interpolation, and another scale.
    assert error(2 * tf.image.resize(images, [299, 299]).numpy() - 1) > 0.1
    assert error(enlarge(images, 299)) > 0.1
    grey = classifier(images[..., :1])
    np.testing.assert_allclose(grey, classifier(images[..., :1].repeat(3, -1)), atol=1e-5)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert classifier.name == "inception"
    assert f"weights: SHA-256 {digest}" in classifier.description
    for shape in ([2, 32, 32, 2], [32, 32, 3]):
        with pytest.raises(ValueError, match="1 or 3"):
            classifier(np.zeros(shape, np.float32))


@pytest.mark.slow
def test_weights_of_other_networks_are_refused(digits, trained, tmp_path):
    small = tmp_path / "small.weights.h5"
    resnet.build_resnet((8, 8, 1), 10).save_weights(small)
    topless = tmp_path / "topless.weights.h5"
    keras.applications.InceptionV3(include_top=False, weights=None).save_weights(topless)
    noise = tmp_path / "noise.h5"
    noise.write_bytes(b"no weights")
    text = tmp_path / "noise.txt"
    text.write_bytes(b"no weights")
    for path in (small, topless, noise, text):
        with pytest.raises(ClassifierError, match="Expected the weights of Inception v3"):
            InceptionClassifier(path)
