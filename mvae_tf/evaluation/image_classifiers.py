"""Classifiers that an Inception score can be computed with (`image_scores`).

`InceptionClassifier` is Inception v3 with ImageNet's 1000 classes, whose weights have to be
downloaded; `DatasetClassifier` is a small residual network trained here, on the images of the
dataset itself. Both take images [b, h, w, c] in [0, 1] to class probabilities [b, C], and have a
`name`, for a table's column, and a `description`, for its footnote.
"""

import hashlib
import json
import os
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mvae_tf import checks, files
from mvae_tf.datasets.sources.tfds_prepared import probe
from mvae_tf.evaluation import resnet
from mvae_tf.training import stored
from mvae_tf.training.version import CLASSIFIER_VERSION, recorded

INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
INCEPTION_URL = (
    f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{INCEPTION_FILE}"
)
INCEPTION_MD5 = "9a0d58056eeedaa3f26cb7ebd46da564"

_RECORD = {
    "dataset": {"name": stored.TEXT, "digest": stored.DIGEST},
    "settings": {"network": stored.TEXT, "epochs": stored.SIZE, "seed": stored.INTEGER},
    "classifier_version?": stored.COUNT,
    "train_images": stored.SIZE,
    "test_images": stored.SIZE,
    "test_part": stored.TEXT,
    "test_accuracy": stored.NOT_NEGATIVE,
    "seconds": stored.NOT_NEGATIVE,
    "model_sha256": stored.DIGEST,
}

_ROUNDING = 1e-5
_SIDE = 299


class ClassifierError(RuntimeError):
    """A classifier's weights are not there or not what they should be; says what to do."""


class _Classifier:
    """Classifies images a chunk at a time, so that memory doesn't grow with the batch."""

    def __init__(self, probabilities, chunk):
        self._probabilities = tf.function(probabilities, reduce_retracing=True)
        self._chunk = chunk

    def _classify(self, images, shape):
        images = np.asarray(images)
        # The weights of a mixture image sum to 1 up to rounding only, and so its values may pass 1.
        near = np.abs(images - 0.5) < 0.5 + _ROUNDING
        images = checks.images(np.where(near, np.clip(images, 0, 1), images), shape)
        starts = range(0, len(images), self._chunk)
        chunks = [self._probabilities(images[start : start + self._chunk]) for start in starts]
        return np.concatenate(chunks)


class InceptionClassifier(_Classifier):
    """Inception v3 on ImageNet's 1000 classes, of `keras.applications`.

    Images are enlarged as in the graph of the reference implementation (Salimans et al., 2016):
    bilinearly to 299x299, corners not aligned, pixels measured from their top left corners. Grey
    images are given three equal channels. Values are scaled to [-1, 1].

    Scores are near published ones, not equal: the reference's network is another one, of 2015,
    with 1008 outputs, whose last bias it leaves out; its values are (255 x - 128) / 128.

    Args:
        weights: Path of a Keras weights file (.h5, .weights.h5) of the whole network. None: the
            file that Keras provides, from its cache or downloaded.

    Raises:
        ClassifierError: The file is not there or of another network, or can't be downloaded.
    """

    name = "inception"

    def __init__(self, weights=None):
        path = _downloaded_weights() if weights is None else Path(weights)
        if not path.is_file():
            raise ClassifierError(f"Expected a weights file at {path}. Received: none. {_advice()}")
        model = keras.applications.InceptionV3(weights=None)
        try:
            with warnings.catch_warnings():
                # Beside its error, Keras warns of each layer that a file of another network lacks.
                warnings.simplefilter("ignore", UserWarning)
                model.load_weights(path)
        # Keras reports a file that doesn't fit in many ways, and any of them means the same.
        except Exception as error:
            raise ClassifierError(
                f"Expected the weights of Inception v3 with its 1000 classes in {path}. "
                f"Received: {_first_line(error)}. {_advice()}"
            ) from error

        def probabilities(images):
            enlarged = tf.raw_ops.ResizeBilinear(
                images=images, size=[_SIDE, _SIDE], align_corners=False, half_pixel_centers=False
            )
            return model(2.0 * enlarged - 1.0, training=False)

        super().__init__(probabilities, chunk=50)
        known = _digest(path, "md5") == INCEPTION_MD5
        origin = "Keras's" if known else f"SHA-256 {_digest(path, 'sha256')[:12]}"
        self.description = (
            f"Inception v3 of keras.applications, 1000 ImageNet classes, weights: {origin}"
        )

    def __call__(self, images) -> np.ndarray:
        """Return class probabilities, float32 [b, 1000], of images [b, h, w, 1 or 3] in [0, 1]."""
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"Expected images of shape [b, h, w, 1 or 3]. Received: {list(images.shape)}."
            )
        if images.shape[-1] == 1:
            images = images.repeat(3, axis=-1)
        return self._classify(images, images.shape[1:])


class DatasetClassifier(_Classifier):
    """A classifier trained on a dataset; see `trained_classifier`.

    Args:
        model: A Keras model, images [b, *image_shape] to logits [b, C].
        record: How it was trained: "dataset" ("name", "digest"), "settings", "classifier_version"
            (see `mvae_tf.training.version`), "train_images", "test_images", "test_part" (what those
            are), "test_accuracy" and "seconds".

    Attributes:
        name: The dataset's name.
        test_accuracy: On the dataset's test images, in %.
        record: As given.
    """

    def __init__(self, model, record: dict):
        super().__init__(lambda images: tf.nn.softmax(model(images, training=False)), chunk=500)
        self._model = model
        self.record = record
        self.name = record["dataset"]["name"]
        self.test_accuracy = record["test_accuracy"]
        self.description = (
            f"{record['settings']['network']} trained here on {record['train_images']:,} training "
            f"images of {self.name}, accuracy {self.test_accuracy:.1f} % on "
            f"{record['test_images']:,} images ({record['test_part']})"
        )

    def __call__(self, images) -> np.ndarray:
        """Return class probabilities, float32 [b, C], of images [b, *image_shape] in [0, 1]."""
        return self._classify(images, self._model.input_shape[1:])

    def save(self, folder) -> None:
        """Write `model.keras` and, last, `record.json`: where that is, all of it is there."""
        folder = Path(folder)
        path, aside = folder / "model.keras", folder / "writing.keras"
        try:
            with files.writing(path, RuntimeError):  # which h5py raises as well
                folder.mkdir(parents=True, exist_ok=True)
                # An older record must not vouch for the new model.
                (folder / "record.json").unlink(missing_ok=True)
                self._model.save(aside)
                files.put(aside, path)
        finally:
            files.remove(aside)
        record = {**self.record, "model_sha256": _digest(path, "sha256")}
        files.write_text(folder / "record.json", json.dumps(record, indent=1))

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote.

        Raises:
            ClassifierError: It is not there, or damaged.
        """
        folder = Path(folder)
        try:
            record = stored.read_json(folder / "record.json")
            stored.require(record, _RECORD)
            if _digest(folder / "model.keras", "sha256") != record.pop("model_sha256"):
                raise ValueError("model.keras has another SHA-256 than when it was written")
            model = keras.models.load_model(folder / "model.keras", compile=False)
            return cls(model, record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClassifierError(
                f"Expected a trained classifier in {folder}. Received: {_first_line(error)}. "
                "Move that folder away, and it is trained again."
            ) from error


def trained_classifier(
    data, folder, *, epochs: int = 30, seed: int = 0, flips: bool = True, progress: bool = True
) -> DatasetClassifier:
    """Return a classifier of a dataset's images: from a folder, or trained now and stored there.

    Args:
        data: What `datasets.load` gives, with labels.
        folder: Where it is stored, one folder a classifier. While it trains nothing is written.
        epochs: As for `resnet.train_classifier`.
        seed: As for `resnet.train_classifier`.
        flips: As for `resnet.train_classifier`.
        progress: As for `resnet.train_classifier`.

    Returns:
        The `DatasetClassifier`.

    Raises:
        ClassifierError: What is in the folder is damaged, or of other data or settings, or of
            another version of what is trained.
        OSError: The folder can't be written, which is found before anything is trained.
    """
    asked = {
        "dataset": {"name": data.name, "digest": data.digest},
        "settings": resnet.settings(epochs, seed, flips),
        "classifier_version": CLASSIFIER_VERSION,
    }
    if not (Path(folder) / "record.json").exists():
        files.require_writable(Path(folder), "model.keras")
        began = time.monotonic()
        model, accuracy = resnet.train_classifier(
            data.train, data.test, epochs=epochs, seed=seed, flips=flips, progress=progress
        )
        record = {
            **asked,
            "train_images": len(data.train),
            "test_images": len(data.test),
            "test_part": data.test_part,
            "test_accuracy": accuracy,
            "seconds": round(time.monotonic() - began, 3),
        }
        DatasetClassifier(model, record).save(folder)
    classifier = DatasetClassifier.load(folder)
    stored = {key: classifier.record.get(key) for key in asked}
    stored["classifier_version"] = recorded(classifier.record, "classifier_version")
    if stored != asked:
        raise ClassifierError(
            f"Expected in {folder} a classifier of {asked}. Received: {stored}. Choose another "
            "folder."
        )
    return classifier


def _downloaded_weights():
    """Return the path of Keras's weights, downloaded unless they are in its cache."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    cached = home / "models" / INCEPTION_FILE
    if cached.is_file() and _digest(cached, "md5") == INCEPTION_MD5:
        return cached
    try:
        probe(INCEPTION_URL)  # Keras would go on trying a host that is out of reach
        home.mkdir(parents=True, exist_ok=True)
        return Path(
            keras.utils.get_file(
                INCEPTION_FILE,
                INCEPTION_URL,
                cache_dir=home,
                cache_subdir="models",
                file_hash=INCEPTION_MD5,
            )
        )
    # Keras reports a failed download as a plain Exception.
    except Exception as error:
        raise ClassifierError(
            f"Expected Keras's weights of Inception v3 at {cached} or by download. Received: "
            f"{_first_line(error)}. {_advice()}"
        ) from error


def _advice():
    return (
        f"Download {INCEPTION_URL} (96 MB, MD5 {INCEPTION_MD5}) where there is a network, and give "
        "the path of that file as the weights."
    )


def _first_line(error):
    return f"{error or type(error).__name__}".splitlines()[0].rstrip(".")


def _digest(path, algorithm):
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
