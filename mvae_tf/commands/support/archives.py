"""What a .keras file says of itself, read without TensorFlow."""

import json
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

from mvae_tf.commands.support.arguments import CommandError
from mvae_tf.training import stored

_CONFIG = {
    "class_name": stored.TEXT,
    "config": stored.Kind("a JSON object", lambda value: isinstance(value, dict)),
}


class Archive(NamedTuple):
    """A .keras file.

    Attributes:
        class_name: Of the model.
        config: The arguments it was made with.
        num_parameters: How many numbers its networks have, moving averages included.
        precision: Keras's name of the dtype policy.
        keras_version: What wrote it.
    """

    class_name: str
    config: dict
    num_parameters: int
    precision: str
    keras_version: str


def read(path: Path) -> Archive:
    """Read a .keras file, all of which is compared with its checksums.

    Raises:
        CommandError: it is damaged, or something else.
        OSError: it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} has another checksum than when it was written")
            described = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json"))
            stored.require(described, _CONFIG, "config.json")
            stored.require(metadata, {"keras_version": stored.TEXT}, "metadata.json")
            with archive.open("model.weights.h5") as weights:
                num_parameters = _count(weights)
            config = described["config"]
            return Archive(
                described["class_name"],
                config,
                num_parameters,
                _precision(config),
                metadata["keras_version"],
            )
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error
    # Damage shows in many ways.
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path, error):
    reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return CommandError(f"Expected a whole .keras file. Received: {path} ({reason}).")


def _precision(config):
    policy = config.get("dtype", "float32")
    return policy["config"]["name"] if isinstance(policy, dict) else policy


def _count(file):
    """Return how many numbers a weights file holds, beside those of the optimizer and the seeds."""
    import h5py

    total = 0

    def add(name, item):
        nonlocal total
        counted = isinstance(item, h5py.Dataset) and item.dtype.kind == "f"
        if counted and not name.startswith("optimizer/"):
            total += math.prod(item.shape)

    with h5py.File(file, "r") as weights:
        weights.visititems(add)
    return total
