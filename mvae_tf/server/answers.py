"""What the signatures of a SavedModel answer, asked from many threads at once.

Single rows are what clients send, and a product of one row takes nearly as long as one of many:
weights have to come from memory either way. Requests that meet are therefore answered together, by
TensorFlow's own scheduler of batches, the one that TensorFlow Serving is made of. It adds no delay:
a batch is whatever has come while the one before was computed.
"""

import os
import re
import uuid
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Of signatures whose rows have nothing to do with one another. `score` has draws for each place
# in a batch, and gives other last digits, by chance, in another one.
_BY_ROW = re.compile(
    "(serving_default|reconstruct|encode|component_reconstructions|features|decode)(_uint8|_bytes)?"
)


class RefusedError(ValueError):
    """A request that can't be answered, and what was expected in its place."""


class Signature(NamedTuple):
    """What a signature takes and gives: `tf.TensorSpec`s by name."""

    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]


class Answers:
    """A SavedModel's answers.

    Attributes:
        signatures: what can be asked, by name.
        max_batch: rows that one request may have.
    """

    def __init__(self, folder: str | os.PathLike, *, max_batch: int = 128, threads: int = 64):
        """Load a SavedModel.

        Args:
            folder: of the version.
            max_batch: rows that one request may have, images that it may ask for, and rows that
                are answered together.
            threads: how many may ask at the same time.
        """
        self.max_batch = max_batch
        # To the graphs of the signatures this is what keeps their variables alive.
        self._loaded = tf.saved_model.load(os.fspath(folder))
        self._functions, self._joined, self.signatures = {}, {}, {}
        for name, function in self._loaded.signatures.items():
            inputs = function.structured_input_signature[1]
            self.signatures[name] = Signature(dict(inputs), dict(function.structured_outputs))
            self._functions[name] = function
            if _BY_ROW.fullmatch(name):
                self._joined[name] = _joined(function, max_batch, threads)

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answer a request.

        Args:
            name: of the signature.
            inputs: arrays of the signature's dtypes, by name. Their shapes and values are for the
                graph to check.

        Returns:
            Arrays by name.

        Raises:
            RefusedError: it takes other inputs, or fewer at a time.
        """
        signature = self.signature(name)
        self._require(signature, inputs)
        tensors = {each: tf.constant(inputs[each], signature.inputs[each].dtype) for each in inputs}
        try:
            return self._answer(name, signature, tensors)
        except tf.errors.InvalidArgumentError as error:
            raise RefusedError(_in_one_line(error)) from None

    def signature(self, name: str) -> Signature:
        """Return a signature; it is refused if there is no such."""
        if not isinstance(name, str) or name not in self.signatures:
            raise RefusedError(
                f"Expected signature_name to be one of {', '.join(sorted(self.signatures))}. "
                f"Received: {_short(name)}."
            )
        return self.signatures[name]

    def warm_up(self) -> None:
        """Call what can be called without knowing more, so that no client waits for it."""
        for name in self._joined:
            specs = self.signatures[name].inputs
            if all(spec.dtype != tf.string for spec in specs.values()):
                self(name, {each: _zeros(spec) for each, spec in specs.items()})

    def _answer(self, name, signature, tensors):
        # What the graph refuses would be refused to all whose rows are in the same batch.
        if name in self._joined and _fit(signature.inputs, tensors):
            try:
                outputs = self._joined[name](**tensors)
                return {each: output.numpy() for each, output in outputs.items()}
            except tf.errors.InvalidArgumentError:
                pass  # perhaps another one's rows: alone it is seen whose
        outputs = self._functions[name](**tensors)
        return {each: output.numpy() for each, output in outputs.items()}

    def _require(self, signature, inputs):
        if inputs.keys() != signature.inputs.keys():
            received = ", ".join(_short(each, quoted=False) for each in sorted(inputs)[:8])
            raise RefusedError(
                f"Expected inputs {', '.join(sorted(signature.inputs))}. Received: "
                f"{received or 'none'}."
            )
        for name, spec in signature.inputs.items():
            values = np.asarray(inputs[name])
            if values.dtype != spec.dtype.as_numpy_dtype:
                raise RefusedError(
                    f"Expected {name} to be {spec.dtype.name}. Received: {values.dtype.name}."
                )
            if name == "count":  # of images that are asked for
                asked = int(values.max(initial=0))
            else:
                asked = len(values) if values.ndim else 1
            if asked > self.max_batch:
                raise RefusedError(
                    f"Expected {name} of at most {self.max_batch} at a time. Received: {asked}. "
                    "Several requests may come at once."
                )


def _joined(function, max_batch, threads):
    """Return a function that answers as a signature does, with whoever asks at the same time."""
    inputs = function.structured_input_signature[1]
    outputs = sorted(function.structured_outputs)

    @tf.nondifferentiable_batch_function(
        num_batch_threads=1,  # each has all processors
        max_batch_size=max_batch,
        batch_timeout_micros=0,
        max_enqueued_batches=threads,
        enable_large_batch_splitting=False,  # with it, batches pass the bound
        autograph=False,
    )
    def together(*tensors):
        answers = function(**dict(zip(sorted(inputs), tensors, strict=True)))
        return [answers[each] for each in outputs]

    @tf.function(input_signature=[inputs[each] for each in sorted(inputs)], autograph=False)
    def call(*tensors):
        # TensorFlow knows a queue by its name, and shares it, with its bounds, in all the process.
        with tf.name_scope(f"queue_{uuid.uuid4().hex}"):
            return together(*tensors)

    call = call.get_concrete_function()

    def by_name(**tensors):
        answers = call(*(tensors[each] for each in sorted(tensors)))
        return dict(zip(outputs, answers, strict=True))

    return by_name


def _zeros(spec):
    return np.zeros([1, *spec.shape[1:]], spec.dtype.as_numpy_dtype)


def _fit(specs, tensors):
    """Return whether shapes are the declared ones, with at least a row."""
    return all(
        specs[name].shape.is_compatible_with(values.shape) and values.shape[0]
        for name, values in tensors.items()
    )


def _in_one_line(error):
    """Return what a graph's check says, without TensorFlow's words around it."""
    said = re.search(r"\[(Expected .*)\]$", error.message, re.MULTILINE)
    if said is not None:
        return said[1].replace("] [] [", " [] ").replace("] [", " ") + "."
    at_node = re.search(r"^(.+)\n\s*\[\[\{\{node", error.message, re.MULTILINE)
    received = at_node[1] if at_node else error.message.partition("\n")[0]
    return f"Expected what the signature takes. Received: {received}"


def _short(value, quoted=True):
    text = repr(value) if quoted else str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
