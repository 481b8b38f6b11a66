"""What a trained model is worth on images it has not seen.

The images come from a source: what `datasets.load` gives as `.train` or `.test`, or a
`tf.data.Dataset` of batches of float images in [0, 1], [b, *image], or of tuples (images, ...) of
which only the images are used. A dataset's batches may be of any sizes: they are cut anew into
`batch_size` images. It is gone through once, and has to come to an end.

Images are taken in a batch at a time and let go: memory grows with `batch_size` (and a dataset's
own batches), not with the number of images.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mvae_tf import checks, melbo


class ReconstructionErrors(NamedTuple):
    """Mean squared errors of the mixture image (Table I); pixels in [0, 1].

    Attributes:
        mse: Summed over an image's pixels, at posterior means and expected weights.
        mse_sampled: The same, at draws of the latent codes and the mixing weights.
        mse_per_pixel: `mse` divided by the number of pixels (and channels).
    """

    mse: float
    mse_sampled: float
    mse_per_pixel: float


class Codes(NamedTuple):
    """What the encoders say of images.

    Attributes:
        means: Posterior means of the latent codes, float32 [n, K, d].
        weights: Expected mixing weights, float32 [n, K].
    """

    means: np.ndarray
    weights: np.ndarray


class LogLikelihood(NamedTuple):
    """The mean over images of an estimate of log p(x), in nats.

    Attributes:
        mean: The mean.
        standard_error: Its standard deviation over the choice of images; NaN for one image.
    """

    mean: float
    standard_error: float


def reconstruction_errors(model, source, *, batch_size: int = 1000, seed: int = 0):
    """Measure how well a model reconstructs images.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see the module's docstring.
        batch_size: Images at a time.
        seed: Of the draws.

    Returns:
        `ReconstructionErrors`, summed in float64.

    Raises:
        ValueError: The source has no end or no images, its images don't fit the model, or it is
            something else.
    """

    @tf.function(reduce_retracing=True)
    def squared_errors(images, draw_seed):
        seed_z, seed_w = tf.unstack(tf.random.split(draw_seed, 2))
        posterior = model.encode(images)
        sampled = posterior.z.sample(seed=seed_z), posterior.w.sample(seed=seed_w)
        return [
            tf.reduce_sum(
                tf.math.squared_difference(images, melbo.mix(weights, model.decode(codes))),
                axis=range(1, images.shape.rank),
            )
            for codes, weights in [(posterior.z.mean(), posterior.w.mean()), sampled]
        ]

    count, total = 0, np.zeros(2)
    for images in _batches(model, source, batch_size):
        errors = squared_errors(images, tf.constant([checks.seed(seed), count]))
        total += [np.sum(error, dtype=np.float64) for error in errors]
        count += len(images)
    mse, mse_sampled = (total / count).tolist()
    return ReconstructionErrors(mse, mse_sampled, mse / np.prod(model.image_shape).item())


def component_errors(model, source, *, batch_size: int = 1000) -> np.ndarray:
    """Measure how well each component alone reconstructs images (Fig. 2).

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see the module's docstring.
        batch_size: Images at a time.

    Returns:
        float64 [K]: squared errors of the posterior means' images, pixels in [0, 1], summed over
        pixels and averaged over images.

    Raises:
        ValueError: As for `reconstruction_errors`.
    """

    @tf.function(reduce_retracing=True)
    def squared_errors(images):
        squared = tf.math.squared_difference(
            images[:, None], model.component_reconstructions(images)
        )
        return tf.reduce_sum(squared, axis=range(2, squared.shape.rank))

    count, total = 0, np.zeros(model.num_components)
    for images in _batches(model, source, batch_size):
        total += np.sum(squared_errors(images), axis=0, dtype=np.float64)
        count += len(images)
    return total / count


def encode_split(
    model, source, *, batch_size: int = 1000, out: str | os.PathLike | None = None
) -> Codes:
    """Encode all images of a source.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see the module's docstring.
        batch_size: Images at a time.
        out: A folder, made if need be. The codes then go into its files `means.npy` and
            `weights.npy`, batch by batch, and never are in memory all together. The files appear,
            in place of older ones, once they are complete. A killed process may leave a folder
            `writing-*` there, which can be deleted.

    Returns:
        `Codes`, in the order of the images; with `out` the files, mapped into memory read-only.

    Raises:
        ValueError: As for `reconstruction_errors`.
        OSError: `out` can't be written to.

    Example:
        >>> codes = encode_split(model, dataset, out="codes")
        >>> np.load("codes/means.npy", mmap_mode="r")             # the same later, [n, K, d]
    """

    @tf.function(reduce_retracing=True)
    def encode(images):
        posterior = model.encode(images)
        return posterior.z.mean(), posterior.w.mean()

    encoded = map(encode, _batches(model, source, batch_size))
    if out is None:
        return Codes(*(np.concatenate(parts) for parts in zip(*encoded, strict=True)))
    means, weights = (model.num_components, model.latent_dim), (model.num_components,)
    return _written(encoded, Codes(means, weights), Path(out))


def mean_log_likelihood(
    model,
    source,
    *,
    num_samples: int = 64,
    batch_size: int = 500,
    max_images: int | None = None,
    seed: int = 0,
) -> LogLikelihood:
    """Estimate the mean log-likelihood of images (`MixtureVAE.log_likelihood`).

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see the module's docstring.
        num_samples: Posterior draws for each image; the bound tightens as it grows.
        batch_size: Images at a time.
        max_images: Use the first so many images; a dataset then needs no end. Default: all.
        seed: Of the draws.

    Returns:
        `LogLikelihood`, in nats.

    Raises:
        ValueError: As for `reconstruction_errors`.
    """
    rng = np.random.default_rng(checks.seed(seed) % 2**32)
    count, mean, squares = 0, 0.0, 0.0
    for images in _batches(model, source, batch_size, max_images):
        values = model.log_likelihood(images, num_samples, seed=rng.integers(2**31))
        values = np.asarray(values, np.float64)
        # Chan, Golub & LeVeque: moments of two parts from those of each.
        share = len(values) / (count + len(values))
        squares += np.square(values - values.mean()).sum()
        squares += count * share * (values.mean() - mean) ** 2
        mean = (1 - share) * mean + share * values.mean()
        count += len(values)
    error = np.sqrt(squares / (count - 1) / count) if count > 1 else np.nan
    return LogLikelihood(float(mean), float(error))


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Measure how alike two sets of features of the same images are.

    Linear centred kernel alignment (Kornblith et al., Similarity of neural network representations
    revisited, ICML 2019). It changes under no rotation, shift or common scaling of either set.

    Args:
        first: Finite features [n, d_1].
        second: Finite features [n, d_2] of the same images in the same order.

    Returns:
        From 0 (no linear relation) to 1 (equal up to rotation, shift and scale). 0 where the
        features of either set are the same for all images.

    Raises:
        ValueError: The features are not finite, not of rank 2, empty, or differ in n.
    """
    first, second = _centred("first", first), _centred("second", second)
    if len(first) != len(second):
        raise ValueError(
            f"Expected as many rows in both. Received: {len(first)} and {len(second)}."
        )
    norms = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(np.linalg.norm(first.T @ second) ** 2 / norms) if norms > 0 else 0.0


def _batches(model, source, batch_size, max_images=None) -> Iterator[tf.Tensor]:
    """Return a source's images as float32 [b, *image], at most `max_images` altogether."""
    checks.size("batch_size", batch_size)
    if max_images is not None:
        checks.size("max_images", max_images)
    if isinstance(source, tf.data.Dataset):
        source = checks.image_dataset(source, model.image_shape, endless=max_images is not None)
        batches = source.rebatch(batch_size)
    elif hasattr(source, "float_images"):
        starts = range(0, len(source), batch_size)
        batches = (source.float_images(start, start + batch_size) for start in starts)
    else:
        raise ValueError(
            "Expected source to be a split of a loaded dataset or a tf.data.Dataset. "
            f"Received: {type(source).__name__}."
        )
    return _checked(batches, model.image_shape, max_images)


def _checked(batches: Iterable, image_shape, max_images):
    count = 0
    for images in batches:
        if max_images is not None:
            images = images[: max_images - count]
        yield checks.images(images, image_shape)
        count += len(images)
        if count == max_images:
            return
    if not count:
        raise ValueError("Expected source to have at least one image. Received: none.")


def _written(encoded: Iterable, shapes: Codes, folder: Path) -> Codes:
    """Write batches of codes, of given shapes for one image, to a folder's files; return those."""
    paths = [folder / f"{name}.npy" for name in Codes._fields]
    with _aside(folder) as aside:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context((aside / path.name).open("wb")) for path in paths]
            _write_headers(files, 0, shapes)
            count = 0
            for batch in encoded:
                for file, rows in zip(files, batch, strict=True):
                    file.write(np.ascontiguousarray(rows, "<f4"))
                count += len(batch[0])
            _write_headers(files, count, shapes)
        # Of two encodings, no moment has one's means beside the other's weights.
        paths[-1].unlink(missing_ok=True)
        for path in paths:
            os.replace(aside / path.name, path)
    return Codes(*(np.load(path, mmap_mode="r") for path in paths))


@contextlib.contextmanager
def _aside(folder):
    """Give a folder for files that are to be moved to `folder`, made if need be, when complete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = tempfile.TemporaryDirectory(prefix="writing-", dir=folder)
    except OSError as error:
        raise OSError(
            f"Expected out to be a folder that can be written to. Received: {str(folder)!r} "
            f"({error.strerror})."
        ) from error
    with aside as path:
        yield Path(path)


def _write_headers(files, count, shapes):
    """Write the headers of .npy files, which NumPy makes as long for any number of rows."""
    for file, shape in zip(files, shapes, strict=True):
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header)


def _centred(name, features):
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.size == 0:
        raise ValueError(
            f"Expected {name} of shape [n, d], n and d >= 1. Received: {features.shape}."
        )
    if not np.all(np.isfinite(features)):
        raise ValueError(f"Expected {name} to be finite. Received: NaN or infinity among them.")
    # Of a constant feature the mean leaves rounding errors, the difference from a row does not.
    features = features - features[0]
    features -= features.mean(axis=0)
    # Of one scale, so that no fourth power over- or underflows.
    return features / (np.abs(features).max() or 1.0)
