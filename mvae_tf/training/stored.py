"""What is read back of what training stored: JSON, checked whole, and the list of checkpoints.

A file that can be parsed may still be another's, cut short and closed again, or edited. So each is
compared with its form, all of it, before anything is taken from it. TensorFlow isn't started.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

HISTORY = "history.json"  # in a checkpoint


class Kind(NamedTuple):
    """What a value has to be: in words, and as a test."""

    words: str
    holds: Callable[[object], bool]


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
    return _is_whole(value) or isinstance(value, float)


def _is_finite(value):
    return _is_number(value) and math.isfinite(value)


TEXT = Kind("text", lambda value: isinstance(value, str))
DIGEST = Kind("a SHA-256", lambda value: _matches("[0-9a-f]{64}", value))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
SIZE = Kind("an integer of at least 1", lambda value: _is_whole(value) and value >= 1)
COUNT = Kind("an integer of at least 0", lambda value: _is_whole(value) and value >= 0)
INTEGER = Kind("an integer", _is_whole)
NUMBER = Kind("a number", _is_number)
NOT_NEGATIVE = Kind("a finite number of at least 0", lambda value: _is_finite(value) and value >= 0)
POSITIVE = Kind("a finite number above 0", lambda value: _is_finite(value) and value > 0)
TEXTS = Kind(
    "names with texts",
    lambda value: isinstance(value, dict) and all(map(TEXT.holds, value.values())),
)
NAMES = Kind(
    "a list of texts", lambda value: isinstance(value, list) and all(map(TEXT.holds, value))
)
TEXT_OR_TEXTS = Kind(
    "text or a list of texts", lambda value: TEXT.holds(value) or NAMES.holds(value)
)


def one_of(*choices) -> Kind:
    """Return the kind of what is one of a few texts."""
    return Kind(
        f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices
    )


def optional(kind: Kind) -> Kind:
    """Return the kind of what is of another one, or null."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.holds(value))


def sizes(count: int | None = None) -> Kind:
    """Return the kind of a list of one or more integers of at least 1, of `count` if given."""

    def holds(value):
        right = isinstance(value, list) and len(value) == (count or len(value)) and value
        return bool(right) and all(map(SIZE.holds, value))

    return Kind(f"a list of {count or 'one or more'} integers of at least 1", holds)


# What `run_folder` needs of a run's settings; a part may hold more.
MODEL = {
    "image_shape": sizes(3),
    "num_components": SIZE,
    "latent_dim": SIZE,
    "hidden_units?": optional(sizes()),
    "network?": TEXT,
    "likelihood?": one_of("gaussian", "bernoulli"),
    "mixing?": one_of("likelihood", "image"),
    "activation?": optional(TEXT_OR_TEXTS),
    "decoder_activation?": optional(TEXT_OR_TEXTS),
    "dropout?": NOT_NEGATIVE,
    "initializer?": one_of("glorot_uniform", "he_normal"),
    "kl_weight?": NOT_NEGATIVE,
    "dhsic_weight?": NOT_NEGATIVE,
    "seed?": optional(INTEGER),
}
TRAINING = {
    "epochs": SIZE,
    "batch_size": SIZE,
    "optimizer?": TEXT,
    "learning_rate": POSITIVE,
    "decay": one_of("none", "cosine"),
    "seed": INTEGER,
    "precision": TEXT,
    "jit?": one_of("on", "off"),
}
RECORD = {
    "settings": {"model": MODEL, "training": TRAINING},
    "dataset": {"name": TEXT, "digest": DIGEST},
    "training_version?": COUNT,
    "strategy?": TEXT,
    "versions?": TEXTS,
    "model_sha256": DIGEST,
    "seconds": NOT_NEGATIVE,
    "peak_memory_mib": NOT_NEGATIVE,
}


def read_json(path: Path):
    """Return what a JSON file holds.

    Raises:
        OSError: it can't be read.
        ValueError: it holds something else, or a name twice, of which one would be lost.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _each_once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def require(value, form: Kind | Mapping, name: str = "") -> None:
    """Refuse a value that has not the form.

    Args:
        value: As JSON gives it.
        form: A `Kind`; or forms by name, those that end in "?" of what may be missing.
        name: Of the value, for the message.

    Raises:
        ValueError: names what is wrong.
    """
    if isinstance(form, Kind):
        if not form.holds(value):
            received = repr(value)
            received = received if len(received) <= 40 else f"{received[:40]}..."
            raise ValueError(f"{name or 'it'} is {received}, not {form.words}")
        return
    if not isinstance(value, dict):
        raise ValueError(f"{name or 'it'} is no JSON object")
    for key, inner in form.items():
        inside, needed = key.removesuffix("?"), not key.endswith("?")
        full = f"{name}.{inside}" if name else inside
        if inside in value:
            require(value[inside], inner, full)
        elif needed:
            raise ValueError(f"{full} is missing")


def require_history(history, length: int | None = None) -> list[dict]:
    """Return a history if it is one, of `length` epochs if given.

    Raises:
        ValueError: it isn't.
    """
    if not isinstance(history, list):
        raise ValueError("the history is no list")
    for number, epoch in enumerate(history, start=1):
        name = f"epoch {number} of the history"
        require(epoch, {"epoch": SIZE, "seconds": NOT_NEGATIVE}, name)
        for term, value in epoch.items():
            require(value, NUMBER, f"{name}, {term},")
        if epoch["epoch"] != number:
            raise ValueError(f"{name} says {epoch['epoch']}")
    if length is not None and len(history) != length:
        raise ValueError(f"the history is of {len(history)} epochs, not {length}")
    return history


def require_record(record) -> dict:
    """Return a finished run's record if it is one.

    Raises:
        ValueError: it isn't.
    """
    require(record, RECORD)
    require_history(record.get("history"), record["settings"]["training"]["epochs"])
    return record


def checkpoint_name(epochs: int) -> str:
    """Return the name of the checkpoint after so many epochs."""
    return f"epoch-{epochs:05d}"


def epochs_of(checkpoint: Path) -> int:
    """Return the number of epochs in a checkpoint's name."""
    return int(checkpoint.name.removeprefix("epoch-"))


def checkpoints(directory: Path) -> list[Path]:
    """Return what bears the name of a checkpoint, from the oldest to the newest."""
    named = [
        path
        for path in directory.glob("epoch-*")
        if _matches(r"epoch-[0-9]{5,18}", path.name)
        and checkpoint_name(epochs_of(path)) == path.name
    ]
    return sorted(named, key=epochs_of)


def read_history(checkpoint: Path) -> list[dict]:
    """Return a checkpoint's history.

    Raises:
        OSError: it can't be read.
        ValueError: it is damaged, or of another epoch than the checkpoint's name says.
    """
    return require_history(read_json(checkpoint / HISTORY), epochs_of(checkpoint))


def _matches(pattern, value):
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
