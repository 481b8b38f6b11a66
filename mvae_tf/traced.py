"""Functions that are traced once: of whatever it has traced TensorFlow keeps a part.

`by_itself` is for functions with gradients of their own. TensorFlow keeps the gradient that
`tf.custom_gradient` defines inside a graph for as long as the process lives, and with it the graph,
the model that was built there, and its weights. A function that is traced by itself, from tensors
alone, keeps no more than its own few operations: once for each kind of arguments, however many
models call it. And once for each thread: TensorFlow adds the gradient to a trace when it is first
asked for, and two threads that ask at the same time meet there in the middle.

Not where XLA compiles what calls it: there a number of samples that is handed from the function to
its gradient is no constant any more, which XLA wants of every size.

`of_model` is for what is computed with a model outside training: a graph for each model, which goes
with it.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def by_itself(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of tensors be traced by itself where a graph calls it.

    Args:
        function: Its arguments are tensors, None, or lists of tensors, and by keyword what is not
            a tensor, and hashable: `compiled` among it says whether XLA compiles the caller. It
            has no state.
    """

    @functools.cache
    def traced(thread, kinds, **static):
        # A trace for each kind: one `tf.function` for all would answer a call of known sizes from
        # an earlier trace of unknown ones, and what was called before would show in the rounding.
        del thread
        trace = tf.function(lambda *tensors: function(*tensors, **static), autograph=False)
        return trace.get_concrete_function(*kinds)

    @functools.wraps(function)
    def call(*arguments, **static):
        if tf.executing_eagerly() or static.get("compiled"):
            return function(*arguments, **static)
        arguments = tuple(tuple(a) if isinstance(a, list) else a for a in arguments)
        return traced(threading.get_ident(), _kind(arguments), **static)(*arguments)

    return call


def of_model(model, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function (model, *tensors) of a model as a graph, the same one in each call.

    Args:
        model: It keeps the graph, which goes with it.
        function: Not made anew for each call.
    """
    if "_traced" not in model.__dict__:
        object.__setattr__(model, "_traced", {})  # Keras would track what is in it
    kept = model.__dict__["_traced"]
    if function not in kept:
        # Each partial function is one of its own. TensorFlow would else count all models' graphs as
        # one function's, and from the fifth on warn of what it takes for tracing again and again.
        kept[function] = tf.function(functools.partial(function, model), reduce_retracing=True)
    return kept[function]


def _kind(argument):
    if isinstance(argument, tuple):
        return tuple(map(_kind, argument))
    return None if argument is None else tf.TensorSpec(argument.shape, argument.dtype)
