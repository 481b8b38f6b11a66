"""TensorFlow Serving's JSON, the body of its REST API's predict, which is KServe's V1 as well.

A request holds its rows one by one ("instances") or each input as a whole ("inputs"), and the
answer has the same form ("predictions" or "outputs"). With a single input or output, its name may
be, or is, left out.
"""

import base64
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mvae_tf.server.answers import RefusedError, Signature

DEFAULT = "serving_default"


class Request(NamedTuple):
    """What is asked: a signature's name, its inputs, and whether the body has them by rows."""

    signature_name: str
    inputs: dict[str, np.ndarray]
    by_rows: bool


def read(body, signature_named: Callable[[str], Signature]) -> Request:
    """Read the body of a request.

    Args:
        body: as JSON gives it.
        signature_named: gives the signature of a name, or refuses it.

    Raises:
        RefusedError: it is none, or its values are not what the signature takes.
    """
    if not isinstance(body, dict) or ("instances" in body) == ("inputs" in body):
        raise RefusedError(
            'Expected a JSON object with either "instances" or "inputs". Received: '
            + (f"{_kind(body)}." if not isinstance(body, dict) else f"{_keys(body)}.")
        )
    unknown = body.keys() - {"instances", "inputs", "signature_name"}
    if unknown:
        raise RefusedError(f"Expected no other keys than those. Received: {_keys(unknown)}.")
    name = body.get("signature_name", DEFAULT)
    specs = signature_named(name).inputs
    by_rows = "instances" in body
    columns = _columns(body["instances"], specs) if by_rows else _named(body["inputs"], specs)
    inputs = {
        each: tensor(each, specs[each], values) if each in specs else np.zeros(0)  # refused later
        for each, values in columns.items()
    }
    return Request(name, inputs, by_rows)


def written(outputs: Mapping[str, np.ndarray], by_rows: bool) -> dict:
    """Return the body of an answer, for a writer of JSON that knows arrays.

    Args:
        outputs: a signature's, by name.
        by_rows: as the request was.
    """
    only = next(iter(outputs.values())) if len(outputs) == 1 else None
    if not by_rows:
        return {"outputs": outputs if only is None else only}
    if only is not None:
        return {"predictions": only}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def tensor(name: str, spec: tf.TensorSpec, values) -> np.ndarray:
    """Return what JSON holds as an array of the dtype that a signature declares.

    JSON has one kind of number: a whole one may stand for a float, but nothing is rounded.

    Raises:
        RefusedError: it can't be.
    """
    if spec.dtype == tf.string:
        decoded = [_decoded(name, each) for each in values] if isinstance(values, list) else None
        return np.array(_decoded(name, values) if decoded is None else decoded, dtype=object)
    # Left to itself, NumPy would give every string the room of the longest.
    array = np.array(values, dtype=object)
    kinds = set(map(type, array.ravel()))
    allowed = {int, float} if spec.dtype.is_floating else {int}
    if not kinds <= allowed:
        raise _refused(name, spec, _others(kinds - allowed))
    if array.size and not spec.dtype.is_floating:
        least, most = array.min(), array.max()
        if least < spec.dtype.min or most > spec.dtype.max:
            raise _refused(name, spec, f"values from {least} to {most}")
    with np.errstate(over="ignore"):  # infinity, which the graph refuses
        return array.astype(spec.dtype.as_numpy_dtype)


def _columns(rows, specs):
    """Return the inputs, each of all rows."""
    if not isinstance(rows, list) or not rows:
        raise RefusedError(
            'Expected "instances" to be a list of at least one. Received: '
            + ("an empty one." if isinstance(rows, list) else f"{_kind(rows)}.")
        )
    if not isinstance(rows[0], dict) or _is_bytes(rows[0]):
        return _named(rows, specs)
    for row in rows:
        if not isinstance(row, dict) or row.keys() != rows[0].keys():
            raise RefusedError(
                f'Expected all of "instances" to be objects of {_keys(rows[0])}. Received: '
                + (f"{_keys(row)}." if isinstance(row, dict) else f"{_kind(row)}.")
            )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _named(values, specs):
    """Return inputs by name, where a single one may come without."""
    if isinstance(values, dict) and not _is_bytes(values):
        return values
    if len(specs) > 1:
        raise RefusedError(
            f"Expected an object of {', '.join(sorted(specs))}. Received: {_kind(values)}."
        )
    return {next(iter(specs)): values}


def _is_bytes(value):
    return isinstance(value, dict) and value.keys() == {"b64"}


def _decoded(name, value):
    """Return a string of JSON's, or bytes in base64, as bytes."""
    if isinstance(value, str):
        return value.encode()
    if _is_bytes(value) and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except ValueError as error:  # binascii's is one; so is that of other letters than ASCII's
            raise RefusedError(
                f"Expected {name} to hold base64. Received: something else ({error})."
            ) from None
    raise RefusedError(
        f'Expected {name} to be strings, or bytes as {{"b64": "..."}}. Received: {_kind(value)}.'
    )


def _refused(name, spec, received):
    return RefusedError(f"Expected {name} to be {spec.dtype.name}. Received: {received}.")


def _others(kinds):
    """Return in words what is among numbers, or in the place of whole ones."""
    if list in kinds:
        return "lists of unequal lengths or depths"
    words = {float: "numbers that are not whole", str: "strings", bool: "true or false"}
    return words.get(sorted(kinds, key=str)[0], "something else than numbers")


def _kind(value):
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return "nothing" if value is None else kinds.get(type(value), "a number")


def _keys(keys):
    shown = ", ".join(sorted(keys)[:8])[:200]
    return shown or "an empty object"
