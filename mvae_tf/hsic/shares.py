"""Means over samples that are weighted by their shares [n], or plain where shares are None."""

from collections.abc import Sequence

import tensorflow as tf

from mvae_tf.hsic import blocks as pairs


def split(
    points: Sequence[tf.Tensor],
    shares: tf.Tensor | None,
    *,
    compiled: bool,
    scales: Sequence[tf.Tensor] = (),
) -> tuple[pairs.Blocks, tuple[tf.Tensor, ...]]:
    """Return the points' blocks and the shares', of which there is one tensor or none."""
    parts = () if shares is None else (pairs.cut(shares[None], whole=compiled),)
    return pairs.split(points, scales, whole=compiled), parts


def count(points: Sequence[tf.Tensor], shares: tf.Tensor | None) -> tf.Tensor:
    """Return what a sum over samples is divided by: their number, or 1, the shares' sum."""
    number = tf.shape(points[0])[1] if shares is None else 1
    return tf.cast(number, tf.float64)


def weighted(values: tf.Tensor, parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return values times shares, of which there are one or none."""
    return values * tf.cast(parts[0], values.dtype) if parts else values


def along(parts: Sequence[tf.Tensor], axis: int) -> list[tf.Tensor]:
    """Return a block's shares so that they stand along an axis, 1 or 2, of its pairs."""
    return [tf.expand_dims(each, 3 - axis) for each in parts]
