"""Which activations hidden layers take: Keras's, and one's own, as long as they have no state."""

import contextlib
from collections.abc import Sequence

import keras
import numpy as np


def checked(name: str, value, count: int):
    """Return value if it is an activation of Keras's, or one for each of `count` hidden layers.

    By name, as a function, or as a layer without weights or draws, for which banks have no place;
    several as a tuple.
    """
    is_one = isinstance(value, str) or not isinstance(value, Sequence)
    given = [value] if is_one else value
    with contextlib.suppress(ValueError, TypeError):
        found = [keras.activations.get(each) for each in given]
        # A class is none of its layers. A file has a function as a dict.
        kept = [
            one if isinstance(each, dict) else each for each, one in zip(given, found, strict=True)
        ]
        if (is_one or len(kept) == count) and not any(map(_is_no_function, kept)):
            return kept[0] if is_one else tuple(kept)
    raise ValueError(
        f"Expected {name} to be one of Keras's without weights or draws, or {count}, one a hidden "
        f"layer. Received: {', '.join(map(_stored, given))}."
    )


def _is_no_function(activation):
    """Return whether it is a class, or a layer with a state: of weights, or of draws."""
    if not isinstance(activation, keras.Layer):
        return isinstance(activation, type)
    activation(np.zeros([1, 2], np.float32))  # by which it makes them
    return bool(activation.variables)


def _stored(activation):
    """Return what a file has of a function and how to load it, or what else it is."""
    kind = activation.get("class_name") if isinstance(activation, dict) else None
    if kind == "__lambda__":
        return "a lambda, which load_model takes with safe_mode=False"
    if kind == "function":
        one = activation.get("config")
        return f"the function {one!r}, which load_model takes with custom_objects={{{one!r}: ...}}"
    return repr(activation)
