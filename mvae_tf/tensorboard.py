"""TensorBoard: the course of a training, what the model makes of some images, and their codes.

The callback writes two runs, as Keras's own does: `train` and, where `fit` is given validation
data, `validation`. Steps are epochs, counted from 0 as in Keras.

- terms/...: what `fit` reports (loss, melbo, reconstruction, kl_z, kl_w, dhsic, mse), in both runs.
- training/learning_rate, that of the next step, and training/steps_per_second, without validation.
- mixing_weights/component_1 ...: mean expected weight of each component (eq. 6).
- images/reconstructions, images/prior: images, what becomes of them, and draws from the prior.
- Projector: the latent codes, of all components joined and of each one, with labels and thumbnails;
  TensorBoard keeps those it shows until others are chosen, or it is started anew.
"""

import contextlib
import logging
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from tensorboard.plugins import projector

from mvae_tf import checks, plots
from mvae_tf.datasets import shown

_BATCH = 500  # images encoded at a time
_THUMBNAIL, _SPRITE = 64, 8192  # longest side, pixels; the second is the projector's limit


class TensorBoard(keras.callbacks.Callback):
    """Writes what TensorBoard shows of a `MixtureVAE`'s training, epoch by epoch.

    Training is the same with it, bit for bit. A `fit` that goes on at `initial_epoch` continues the
    curves of the same folder. If writing fails once training runs (a full disk), it warns, and
    training goes on.

    Args:
        log_dir: A folder, made if need be: `tensorboard --logdir log_dir`.
        split: The images to show and encode: what `datasets.load` gives as `.test` or `.train`, of
            the model's image shape. Of more than are shown it is always the same ones, of all
            classes: see `mvae_tf.datasets.shown`.
        every: Epochs from one set of images and latent codes to the next; 0, `every`, 2 `every`
            ... and the last one.
        images: Images shown, and draws from the prior.
        codes: Images whose latent codes the projector shows and whose mixing weights are averaged.
        class_names: What the projector calls the labels 0, 1, ..., such as `data.class_names`.

    Raises:
        OSError: (as training begins) log_dir can't be written to.
        ValueError: for a number below 1, or images of another shape than the model's.

    Example:
        >>> board = TensorBoard("logs/mnist", data.test)
        >>> model.fit(data, epochs=10, validation_data=data, callbacks=[board])
    """

    def __init__(
        self,
        log_dir,
        split,
        *,
        every: int = 1,
        images: int = 8,
        codes: int = 1000,
        class_names: Sequence[str] | None = None,
    ):
        super().__init__()
        self._folder = Path(log_dir)
        if not hasattr(split, "float_images"):
            raise ValueError(
                f"Expected split to be part of a loaded dataset, such as data.test. Received: "
                f"{type(split).__name__}."
            )
        self._split = split
        self._every = checks.size("every", every)
        self._shown = shown.some(split, checks.size("images", images))
        self._encoded = shown.some(split, checks.size("codes", codes))
        self._names = _names(split, self._encoded, class_names)

    def on_train_begin(self, logs=None):
        shape = tuple(self._split.images.shape[1:])
        if shape != self.model.image_shape:
            raise ValueError(
                f"Expected split of images of shape {self.model.image_shape}, the model's. "
                f"Received: shape {shape}."
            )
        self._writers = {}
        self._epoch = None
        try:
            # Before any event: once TensorBoard knows a run, it never looks for its codes again.
            self._projector = _Projector(
                self._folder / "train", self._split, self._encoded, self._names
            )
            self._projector.begin(self._encode()[0])
            self._writer("train")
        except (OSError, tf.errors.OpError) as error:
            raise OSError(
                f"Expected log_dir to be a folder that can be written to. Received: "
                f"{str(self._folder)!r} ({_reason(error)})."
            ) from error

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = int(self.model.optimizer.iterations)
        self._began, self._trained = time.monotonic(), None

    def on_test_begin(self, logs=None):
        self._trained = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch
        seconds = (self._trained or time.monotonic()) - self._began
        steps = int(self.model.optimizer.iterations) - self._first_step
        with self._tolerantly():
            means, weights = self._encode()
            train, validation = _terms(logs or {})
            train["training/learning_rate"] = self.model.optimizer.learning_rate
            train["training/steps_per_second"] = steps / seconds
            for component, weight in enumerate(weights.mean(axis=0), start=1):
                train[f"mixing_weights/component_{component}"] = weight
            self._write("train", train)
            if validation:
                self._write("validation", validation)
            if epoch % self._every == 0:
                self._write_images()
                self._projector.write(means)

    def on_train_end(self, logs=None):
        if self._epoch is not None:
            with self._tolerantly():
                if self._epoch % self._every:
                    self._write_images()
                # In any case: a callback may have brought the best weights back.
                self._projector.write(self._encode()[0])
        with self._tolerantly():
            for writer in self._writers.values():
                writer.close()

    def _writer(self, run):
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self._folder / run))
        return self._writers[run]

    def _write(self, run, values):
        with self._writer(run).as_default(self._epoch):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer(run).flush()  # nothing of an epoch that is over can be lost

    def _write_images(self):
        images = shown.float_images(self._split, self._shown)
        components = self.model.component_reconstructions(images).numpy().swapaxes(0, 1)
        rows = [images, self.model.reconstruct(images).numpy(), *components]
        labels = ["image", "mixture", *(f"C{k}" for k in range(1, len(components) + 1))]
        errors = [np.sum((row - images) ** 2) / len(images) for row in rows[1:]]
        notes = ["MSE\nof these", *(f"{error:.1f}" for error in errors)]
        reconstructions = plots.image_rows([_shown(row) for row in rows], labels, notes)
        draws = self.model.sample(len(self._shown)).numpy()
        prior = plots.image_grids([_shown(draws)], ["draws from the prior"])
        with self._writer("train").as_default(self._epoch):
            tf.summary.image("images/reconstructions", _pixels(reconstructions, 15))
            tf.summary.image("images/prior", _pixels(prior, 12))
        self._writer("train").flush()

    def _encode(self):
        """Return the posterior means [n, K, d] and expected mixing weights [n, K]."""
        parts = []
        for start in range(0, len(self._encoded), _BATCH):
            indices = self._encoded[start : start + _BATCH]
            posterior = self.model.encode(shown.float_images(self._split, indices))
            parts.append((posterior.z.mean().numpy(), posterior.w.mean().numpy()))
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    @contextlib.contextmanager
    def _tolerantly(self):
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            logging.warning(
                "Epoch %s is missing from TensorBoard's folder %s, or in part (%s). "
                "Training goes on.",
                self._epoch,
                self._folder,
                _reason(error),
            )


class _Projector:
    """The files of TensorBoard's projector, in the folder of a run.

    TensorBoard reads the configuration once and the codes each time they are chosen: so the files
    keep their names, each is written aside and renamed, and the configuration comes last.
    """

    def __init__(self, run, split, indices, names):
        self._run, self._split, self._indices, self._names = run, split, indices, names
        self._files = run / "projector"

    def begin(self, means):
        """Write everything, for the codes of a model with these posterior means [n, K, d]."""
        self._files.mkdir(parents=True, exist_ok=True)
        # That of an earlier training, perhaps of other images: never beside files of this one.
        (self._run / "projector_config.pbtxt").unlink(missing_ok=True)
        config = projector.ProjectorConfig()
        sheet, thumbnail = _sprite(self._split, self._indices)
        with _aside(self._files / "images.png") as path:
            sheet.save(path, format="png")
        if self._names is not None:
            with _aside(self._files / "labels.tsv") as path:
                path.write_text("".join(f"{name}\n" for name in self._names), encoding="utf-8")
        self.write(means)
        for name, codes in _embeddings(means):
            embedding = config.embeddings.add(
                tensor_name=name, tensor_path=f"projector/{name}.tsv", tensor_shape=codes.shape
            )
            embedding.sprite.image_path = "projector/images.png"
            embedding.sprite.single_image_dim.extend(thumbnail)
            if self._names is not None:
                embedding.metadata_path = "projector/labels.tsv"
        projector.visualize_embeddings(str(self._files), config)
        written = self._files / "projector_config.pbtxt"
        os.replace(written, self._run / written.name)

    def write(self, means):
        """Write the codes anew."""
        for name, codes in _embeddings(means):
            with _aside(self._files / f"{name}.tsv") as path:
                np.savetxt(path, codes, fmt="%.6g", delimiter="\t")


def _embeddings(means):
    """Yield the name and the codes [n, d] of what the projector offers, from means [n, K, d]."""
    yield "codes", means.reshape(len(means), -1)
    if means.shape[1] > 1:
        for component in range(means.shape[1]):
            yield f"component_{component + 1}", means[:, component]


def _names(split, indices, class_names):
    """Return what the projector calls the images: their classes' names, or numbers; or None."""
    if split.labels is None:
        return None
    labels = np.asarray(split.labels)[indices].tolist()
    known = dict(enumerate(class_names or ()))
    # A line each, without columns, and whatever bytes a folder's name has.
    names = {label: " ".join(str(known.get(label, label)).split()) for label in labels}
    return [names[label].encode(errors="replace").decode() or str(label) for label in labels]


def _sprite(split, indices):
    """Return one picture of some images, row by row, and each one's (width, height).

    It has as many rows as columns, since TensorBoard divides by the number of rows to find the row.
    """
    columns = math.ceil(math.sqrt(len(indices)))
    side = min(_THUMBNAIL, _SPRITE // columns)
    sheet = None
    for number, index in enumerate(indices.tolist()):
        pixels = np.round(255 * _shown(split.float_images(index, index + 1)[0])).astype(np.uint8)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        image.thumbnail((side, side))
        if sheet is None:
            sheet = Image.new(image.mode, (columns * image.width, columns * image.height))
        row, column = divmod(number, columns)
        sheet.paste(image, (column * image.width, row * image.height))
    return sheet, image.size


def _terms(logs):
    """Return what `fit` reports of an epoch as scalars of the runs train and validation."""
    runs = {}, {}
    for name, value in logs.items():
        if name != "learning_rate":  # some callbacks put it there
            runs[name.startswith("val_")][f"terms/{name.removeprefix('val_')}"] = value
    return runs


def _shown(images):
    """Return images [..., c] in grey or colour; of any other number of channels the first."""
    return images if images.shape[-1] in (1, 3) else images[..., :1]


def _pixels(figure, font_size):
    """Return a figure as one image [1, h, w, 3], its words large: TensorBoard shows it small."""
    for axes in figure.axes:
        for text in (axes.title, *axes.texts):
            text.set_fontsize(font_size)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[None, ..., :3]


@contextlib.contextmanager
def _aside(path):
    """Give a path to write to that becomes `path` once it is whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _reason(error):
    return str(error).splitlines()[0]
