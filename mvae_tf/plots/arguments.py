"""What callers hand in, checked: every refusal says what was expected and what received."""

import numpy as np


def count(name, values, expected=None):
    """Refuse a single string, no values, or other than the expected number of them."""
    if isinstance(values, str) or not len(values) or len(values) != (expected or len(values)):
        number = "one or more" if expected is None else expected
        raise ValueError(f"Expected {number} {name}. Received: {values!r:.200}.")


def array(name, values, shape, *, gaps=False):
    """Return values as float64 if they are of that shape (None: any size) and finite."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"Expected {name} to be numbers. Received: {values!r:.200}.") from None
    matches = [size in (None, own) for own, size in zip(numbers.shape, shape, strict=False)]
    if numbers.ndim != len(shape) or not all(matches) or not numbers.size:
        sizes = ", ".join("n" if size is None else str(size) for size in shape)
        raise ValueError(
            f"Expected {name} to be of shape [{sizes}]. Received: shape {list(numbers.shape)}."
        )
    if not np.all(np.isfinite(numbers) | (gaps & np.isnan(numbers))):
        raise ValueError(f"Expected {name} to be finite. Received: NaN or infinity among them.")
    return numbers


def stds(name, values, shape):
    """Return standard deviations as float64, NaN where there is none."""
    if values is None:
        return np.full(shape, np.nan)
    checked = array(name, values, shape, gaps=True)
    if np.any(checked < 0):
        raise ValueError(f"Expected {name} to be at least 0. Received: {checked.tolist()}.")
    return checked


def images(name, batches):
    """Return batches of images [n, h, w, c] of one shape as float64 in [0, 1]."""
    count(name, batches)
    shape, checked = (None,) * 4, []
    for index, batch in enumerate(batches):
        pixels = array(f"{name}[{index}]", batch, shape)
        shape = pixels.shape
        if shape[-1] not in (1, 3):
            raise ValueError(f"Expected images of 1 or 3 channels. Received: shape {list(shape)}.")
        # A mixture of images may pass 1 by rounding.
        if pixels.min() < -1e-3 or pixels.max() > 1 + 1e-3:
            raise ValueError(
                f"Expected {name}[{index}] in [0, 1]. "
                f"Received: values from {pixels.min()} to {pixels.max()}."
            )
        checked.append(np.clip(pixels, 0, 1))
    return checked


def codes(batches, labels, titles):
    """Return codes [n, 2] as float64 and labels [n] as an array; there is a title for each."""
    count("codes", batches)
    count("titles", titles, len(batches))
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not np.all(labels // 10 == 0):
        raise ValueError(
            f"Expected labels to be integers from 0 to 9 of shape [n]. Received: {labels!r:.200}."
        )
    shape = (len(labels), 2)
    return [array(f"codes[{index}]", each, shape) for index, each in enumerate(batches)], labels
