"""What the encoders say of images, and how alike two such codes are."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mvae_tf import checks, files, traced
from mvae_tf.evaluation.batches import batches_of


class Codes(NamedTuple):
    """What the encoders say of images.

    Attributes:
        means: Posterior means of the latent codes, float32 [n, K, d].
        weights: Expected mixing weights, float32 [n, K].
    """

    means: np.ndarray
    weights: np.ndarray


def encode_split(
    model, source, *, batch_size: int = 1000, out: str | os.PathLike | None = None
) -> Codes:
    """Encode all images of a source.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        batch_size: Images at a time.
        out: A folder, made if need be. The codes then go into its files `means.npy` and
            `weights.npy`, batch by batch, and never are in memory all together. The files appear,
            in place of older ones, once they are complete. A killed process may leave a folder
            `writing-*` there, which can be deleted.

    Returns:
        `Codes`, in the order of the images; with `out` the files, mapped into memory read-only.

    Raises:
        ValueError: As for `errors.reconstruction_errors`.
        OSError: `out` can't be written to.

    Example:
        >>> codes = encode_split(model, dataset, out="codes")
        >>> np.load("codes/means.npy", mmap_mode="r")             # the same later, [n, K, d]
    """
    encoded = map(
        traced.of_model(model, _encoded), batches_of(model.image_shape, source, batch_size)
    )
    if out is None:
        return Codes(*(np.concatenate(parts) for parts in zip(*encoded, strict=True)))
    means, weights = (model.num_components, model.latent_dim), (model.num_components,)
    return _written(encoded, Codes(means, weights), Path(out))


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


def _encoded(model, images):
    posterior = model.encode(images)
    return posterior.z.mean(), posterior.w.mean()


def _written(encoded: Iterable, shapes: Codes, folder: Path) -> Codes:
    """Write batches of codes, of given shapes for one image, to a folder's files; return those."""
    paths = [folder / f"{name}.npy" for name in Codes._fields]
    with _aside(folder, paths) as aside, files.writing(folder):
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context((aside / path.name).open("wb")) for path in paths]
            _write_headers(opened, 0, shapes)
            count = 0
            for batch in encoded:
                for file, rows in zip(opened, batch, strict=True):
                    file.write(np.ascontiguousarray(rows, "<f4"))
                count += len(batch[0])
            _write_headers(opened, count, shapes)
        # Of two encodings, no moment has one's means beside the other's weights.
        paths[-1].unlink(missing_ok=True)
        files.sync(aside)
        for path in paths:
            files.put(aside / path.name, path)
    return Codes(*(np.load(path, mmap_mode="r") for path in paths))


@contextlib.contextmanager
def _aside(folder, paths):
    """Give a folder for files that are to be moved to `folder`, made if need be, when complete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
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
    expected = f"Expected {name} to be real numbers of shape [n, d]"
    features = np.asarray(checks.real_numbers(expected, features), np.float64)
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
