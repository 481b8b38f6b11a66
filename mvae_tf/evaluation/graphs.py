"""What is computed with a model in graphs, each of them made once for a model, not for a call.

TensorFlow keeps part of every graph it has made, such as the gradients of its functions.
"""

from collections.abc import Callable

import tensorflow as tf


def of(model, function: Callable) -> Callable:
    """Return a function (model, *tensors) of a model as a graph, the same one in each call.

    Args:
        model: It keeps the graph, which goes with it.
        function: Not made anew for each call.
    """
    if "_evaluation_graphs" not in model.__dict__:
        object.__setattr__(model, "_evaluation_graphs", {})  # Keras would track what is in it
    kept = model.__dict__["_evaluation_graphs"]
    if function not in kept:
        kept[function] = tf.function(lambda *args: function(model, *args), reduce_retracing=True)
    return kept[function]
