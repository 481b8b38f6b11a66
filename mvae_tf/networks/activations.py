"""Which activations hidden layers take: Keras's, and one's own, as long as they have no state."""

import contextlib
import copy
import functools
import types
import warnings
from collections.abc import Sequence

import keras
import tensorflow as tf

# What hidden layers hand on, dense and convolutional: an activation need know but one of them.
_HIDDEN = ([2, 3, 4], [2, 3, 4, 5])


def checked(name: str, value, count: int):
    """Return value if it is an activation of Keras's, or one for each of `count` hidden layers.

    By name, as a function, or as a layer without weights or draws, for which banks have no place;
    several as a tuple.
    """
    is_one = isinstance(value, str | bytes) or not isinstance(value, Sequence)
    given = [value] if is_one else list(value)
    faults = [_fault(each) for each in given]
    if not any(faults) and (is_one or len(given) == count):
        kept = [_found(each) if isinstance(each, dict) else each for each in given]
        return kept[0] if is_one else tuple(kept)
    received = (
        _described(each) + (f", {fault}" if fault else "")
        for each, fault in zip(given, faults, strict=True)
    )
    raise ValueError(
        f"Expected {name} to be one of Keras's without weights or draws, or {count}, one a hidden "
        f"layer. Received: {'; '.join(received) or 'none'}."
    )


def _fault(activation) -> str:
    """Return what is wrong with an activation, in words; nothing if it can be one."""
    if isinstance(activation, type):
        return "a class"
    if activation is None or isinstance(activation, str):
        return _fault_of_name(activation)
    if not isinstance(activation, keras.Layer):
        return _fault_of_function(activation)
    # Of a copy, since a layer is built by the first shape that it meets; of itself if it has none,
    # as one of a lambda.
    tried = activation
    with contextlib.suppress(NotImplementedError, ValueError):
        tried = type(activation).from_config(activation.get_config())
    fault = _fault_of_shape(tried)
    return "which has weights or draws" if tried.variables else fault


@functools.cache
def _fault_of_name(name):
    return _fault_of_function(name)


def _fault_of_function(function):
    try:
        found = _found(function)
    except (ValueError, TypeError):
        return "which is none" if not isinstance(function, dict) else "which isn't known"
    fault = _fault_of_shape(found)
    if not fault and not isinstance(function, str | dict):
        if not isinstance(found, types.FunctionType) and not hasattr(type(found), "from_config"):
            return "which a file can't keep; a function of one's own, by `def`, it can"
        try:
            with warnings.catch_warnings():  # of a lambda, once it is saved
                warnings.simplefilter("ignore", UserWarning)
                keras.saving.serialize_keras_object(found)
        except (TypeError, ValueError):
            return "which a file can't keep; a function of one's own, by `def`, it can"
    return fault


def _found(activation):
    """Return an activation by its name, or by the dict that a file has of it, which stays whole."""
    return keras.activations.get(
        copy.deepcopy(activation) if isinstance(activation, dict) else activation
    )


def _fault_of_shape(function):
    """Return what is wrong if a graph doesn't get from it the shape that it is given."""
    for shape in _HIDDEN:
        for autograph in (False, True):
            with contextlib.suppress(Exception):  # of a user's function there may be any
                graph = tf.function(function, autograph=autograph)
                outputs = graph.get_concrete_function(tf.TensorSpec(shape)).structured_outputs
                if outputs.shape == shape:
                    return ""
    return "which doesn't give a graph as many numbers as it is given"


def _described(activation):
    """Return what a file has of a function and how to load it, or what else it is."""
    kind = activation.get("class_name") if isinstance(activation, dict) else None
    if kind in ("__lambda__", "Lambda"):
        return "a lambda, which load_model takes with safe_mode=False"
    if kind == "function":
        one = activation.get("config")
        return f"the function {one!r}, which load_model takes with custom_objects={{{one!r}: ...}}"
    return repr(activation)
