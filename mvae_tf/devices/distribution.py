"""Training on several devices and machines (`tf.distribute`), with the results of one device.

Every replica, a device that holds a copy of the model, takes its part of each batch. `gather`
brings the parts together, so that all that is computed of a batch, dHSIC above all, is of the whole
batch; with the gradient that it gives, the sum of the replicas' gradients, which the optimizer
takes, is that of one device. The draws are each replica's own (`fold_in`). Batch normalisation
takes its statistics of each replica's part; its moving averages are the mean of the replicas',
weighted by their images, and so the same everywhere.

The functions for a replica's context are called inside `tf.distribute.Strategy.run`, as Keras calls
`train_step`; elsewhere there is one replica, and they give back what they are given.
"""

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from mvae_tf.devices import strategies

# What a collective operation raises once a peer is gone.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


# Between workers ---------------------------------------------------------------------------------


def numbers(strategy: tf.distribute.Strategy, number: int) -> list[int]:
    """Return the number that each worker gives, the chief's first; each waits for all others.

    Of a worker with several replicas it is repeated.

    Raises:
        LostWorkerError: another worker is gone.
    """

    @tf.function
    def everyones():
        return strategy.run(lambda: gather_values(tf.constant([int(number)])))

    with clear_errors(strategy):
        return strategy.experimental_local_results(everyones())[0].numpy().tolist()


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Wait until each of several workers has come here.

    Raises:
        LostWorkerError: another worker is gone.
    """
    if strategies.is_multi_worker(strategy):
        numbers(strategy, 0)


def require_agreement(strategy: tf.distribute.Strategy, what: str, value: str) -> None:
    """Refuse to go on unless each of several workers has the same value; all refuse together.

    Args:
        strategy: Of the workers.
        what: It is, in the plural, for the error.
        value: A text, of which a digest is compared.

    Raises:
        LostWorkerError: another worker is gone.
        ValueError: the values differ.
    """
    if strategies.is_multi_worker(strategy):
        digests = numbers(strategy, zlib.crc32(value.encode()) >> 1)  # in int32
        if len(set(digests)) > 1:
            raise ValueError(
                f"Expected all workers to be given the same {what}. Received: {digests}, digests "
                "of what each has. Give every worker the same command."
            )


@contextlib.contextmanager
def chief_first(name: str) -> Iterator[None]:
    """Let the chief alone do what writes files, which the other workers then only read.

    Args:
        name: Of the strategy.

    Raises:
        LostWorkerError: another worker is gone.
    """
    first = strategies.is_chief(name)
    if not first:
        wait_for_all(strategies.get(name))
    yield
    if first:
        wait_for_all(strategies.get(name))


@contextlib.contextmanager
def clear_errors(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Say of what TensorFlow raises once another worker is gone what it means.

    Raises:
        LostWorkerError: another worker is gone.
    """
    try:
        yield
    except _LOST as error:
        if not strategies.is_multi_worker(strategy):
            raise
        raise strategies.LostWorkerError(
            f"Expected all workers to take part in each step. Received: {type(error).__name__}, as "
            "when one has stopped; should it have said why, see there. Start all of them again: "
            "they go on from the last checkpoint."
        ) from error


def batches(
    strategy: tf.distribute.Strategy, indices: tf.data.Dataset, gather: Callable
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Return batches of which each replica gets its part, of neighbours and nearly equal in size.

    Left to itself, `tf.distribute` would cut the stream of images anew, across the ends of epochs.

    Args:
        strategy: With which they will be used.
        indices: Batches of indices, int64 [n], the same in each worker. A batch smaller than the
            number of replicas leaves some of them without an image.
        gather: Turns them into batches of images, as `mvae_tf.datasets.Split.gather`.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return gather(indices)

    def of_pipeline(context):
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def parts(batch):
            bounds = tf.size(batch) * tf.range(replicas + 1) // replicas
            return tf.data.Dataset.range(first, first + here).map(
                lambda replica: batch[bounds[replica] : bounds[replica + 1]]
            )

        return gather(indices.flat_map(parts))

    return strategy.distribute_datasets_from_function(of_pipeline)


# In a replica's context --------------------------------------------------------------------------


def num_replicas() -> int:
    """Return the number of replicas that take this step."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def fold_in(seed: tf.Tensor) -> tf.Tensor:
    """Return a replica's own seed, int32 [2]."""
    if num_replicas() == 1:
        return seed
    return tf.random.fold_in(seed, _replica_id())


def padded(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Return a replica's images, a blank one where it has none, and their true number.

    Convolutions have no gradient of an empty batch in TensorFlow. Where there is one replica the
    number is not counted: None.
    """
    if num_replicas() == 1:
        return images, None
    count = tf.shape(images)[0]
    blank = tf.zeros([tf.cast(count == 0, tf.int32), *images.shape[1:]])
    return tf.concat([images, blank], axis=0), count


def gather(count: tf.Tensor | None, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """Return tensors, one row for each of a replica's images, with the rows of all replicas.

    The gradient is that of the replica's own rows: the others are constants to it. Where every
    replica computes the same of all rows, the sum of their gradients is the whole one.

    Args:
        count: of the replica's images; what `padded` added to them is left out.
        *tensors: [n, ...], with known further sizes, in one dtype.

    Returns:
        [N, ...], the rows of all tensors in the same order.
    """
    if num_replicas() == 1:
        return list(tensors)
    widths = [math.prod(tensor.shape[1:]) for tensor in tensors]
    flat = [tf.reshape(each, [-1, width]) for each, width in zip(tensors, widths, strict=True)]
    own = tf.concat(flat, axis=1)[:count]
    rows = gather_values(tf.stop_gradient(own))
    ids, counts = tf.unstack(gather_values(tf.stack([[_replica_id(), count]])), 2, axis=1)
    before = tf.cumsum(counts, exclusive=True)
    first = tf.reduce_sum(tf.where(ids == _replica_id(), before, 0))
    rows = tf.concat([rows[:first], own, rows[first + count :]], axis=0)
    return [
        tf.reshape(part, [tf.reduce_sum(counts), *tensor.shape[1:]])
        for part, tensor in zip(tf.split(rows, widths, axis=1), tensors, strict=True)
    ]


def gather_values(tensor: tf.Tensor) -> tf.Tensor:
    """Return the rows of all replicas' tensors [n, ...], without a gradient."""
    if num_replicas() == 1:
        return tensor
    return tf.distribute.get_replica_context().all_gather(tensor, axis=0)


def extremes(tensor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the least and the greatest number in all replicas' tensors; NaN if one of them is."""
    least, greatest = tf.reduce_min(tensor), tf.reduce_max(tensor)
    if num_replicas() == 1:
        return least, greatest
    both = gather_values(tf.stack([[least, -greatest]]))  # [replicas, 2]
    least, negated = tf.unstack(tf.reduce_min(both, axis=0), 2)
    return least, -negated


def total(tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Return the sums over the replicas."""
    if num_replicas() == 1:
        return tensors
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def apply(optimizer: keras.optimizers.Optimizer, gradients: list, variables: list) -> None:
    """Let an optimizer apply gradients; where there is one replica, it doesn't add them up.

    Keras would by an operation that has a gradient, which TensorFlow keeps, and with it the graph
    of the step, for as long as the process lives.
    """
    context = tf.distribute.get_replica_context()
    alone = context is not None and not tf.distribute.has_strategy()
    if alone and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        context.merge_call(lambda _, *each: optimizer.apply(list(each), variables), gradients)
    else:
        optimizer.apply(gradients, variables)


def mean_by_images(tensors: Sequence[tf.Tensor], count: tf.Tensor) -> list[tf.Tensor]:
    """Return the means over the replicas, weighted by their number of images; of none, none."""
    weight = tf.cast(count, tf.float32)
    *sums, weights = total([*(tf.math.multiply_no_nan(each, weight) for each in tensors), weight])
    return [each / weights for each in sums]


def shared_averages(
    moving: Sequence[tf.Variable], before: Sequence[tf.Tensor], count: tf.Tensor | None
) -> list[tuple[tf.Variable, tf.Tensor]]:
    """Of several replicas, reset moving averages; return each with its new, shared value.

    They get it only after the gradients have been found finite, of all replicas.

    Args:
        moving: The variables, after a replica's forward pass.
        before: Their values before it.
        count: Of the replica's images.
    """
    if num_replicas() == 1 or not moving:
        return []
    new = mean_by_images([tf.identity(variable) for variable in moving], count)
    for variable, average in zip(moving, before, strict=True):
        variable.assign(average)
    return list(zip(moving, new, strict=True))


def counted(share: tf.Tensor) -> tf.Tensor:
    """Return a whole number of which each replica has counted an equal share."""
    return share if num_replicas() == 1 else tf.round(share * num_replicas())


def logs(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return a step's logs as Keras takes them: of several workers it wants an axis to average."""
    if not strategies.is_multi_worker(tf.distribute.get_strategy()):
        return values
    return {name: tf.reshape(value, [1]) for name, value in values.items()}


def _replica_id():
    return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
