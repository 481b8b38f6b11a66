"""Keras's `fit` and `evaluate` of images alone: one step at a time, or many in one program.

`ImageTrainer` is what of `MixtureVAE` is not its own: how the steps on an objective are taken,
checked and counted. Where Keras would compile a step with XLA (`jit_compile`), whole blocks of them
are compiled, see `devices.compiled`.
"""

import contextlib
import functools
import importlib
import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from mvae_tf import checks
from mvae_tf.devices import compiled, distribution, feeds, guards, running
from mvae_tf.objective import seeds, step

_USUAL_BATCH_SIZE = 32  # Keras's


class ImageTrainer(keras.Model):
    """A Keras model that trains on images alone, by an objective of its own.

    It has `image_shape`, `encoder`, `decoder`, `_seeds` (a `keras.random.SeedGenerator`),
    `_trackers` (`keras.metrics.Mean`s by name) and `_objective(images, count, seed, training)`, as
    in `MixtureVAE`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._running = running.Running()

    @property
    def metrics(self):
        """The model's metrics, in their order."""
        return list(self._trackers.values())

    def fit(  # noqa: D417
        self,
        x=None,
        y=None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose="auto",
        callbacks=None,
        validation_split: float = 0.0,
        validation_data=None,
        shuffle: bool = True,
        class_weight=None,
        sample_weight=None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq=1,
    ):
        """`keras.Model.fit` of images alone.

        Args:
            x: Float images in [0, 1], [n, *image], a tf.data.Dataset of batches of them, or a
                loaded `mvae_tf.datasets` dataset (its training part) or part.
            y: Ignored, as are a dataset's targets.
            batch_size: Images a step, of arrays and loaded datasets. Default: 32.
            validation_split: The share of an array's images, its last, to measure on.
            validation_data: Like x (of a loaded dataset its test part), measured after each epoch.
            shuffle: Whether an array's images come in a new order in each epoch.
            epochs, verbose, callbacks, initial_epoch, steps_per_epoch, validation_steps,
                validation_batch_size, validation_freq: As in Keras.
            class_weight, sample_weight: Refused.

        Returns:
            A `keras.callbacks.History` of the metrics.

        Raises:
            ValueError: for other images, and for weights.
            FloatingPointError: naming the term and the step, as soon as a gradient is not finite;
                the weights are then those of the step before.
        """
        if class_weight is not None or sample_weight is not None:
            raise ValueError(
                "Expected no class_weight and no sample_weight. Received: one of them."
            )
        images = checks.fit_source(x, "train", self.image_shape)
        order, validation_images = _order(x, images, shuffle), None
        if validation_split and validation_data is None:
            if not isinstance(images, np.ndarray):
                raise ValueError(
                    "Expected validation_split with an array or a loaded dataset alone. Received: "
                    f"{type(images).__name__}."
                )
            kept = math.floor(len(images) * (1.0 - validation_split))
            images, validation_images = images[:kept], images[kept:]
        elif validation_data is not None:
            validation_images = checks.fit_source(validation_data, "test", self.image_shape)
        with contextlib.ExitStack() as stack:
            stack.enter_context(guards.clear_errors())
            for part in ("train", "test"):
                stack.callback(self._running.forget, part)
            x, steps = self._fed("train", images, order, batch_size, steps_per_epoch, stack)
            if validation_images is not None:
                validation_data, validation_steps = self._fed(
                    "test",
                    validation_images,
                    feeds.in_order,
                    validation_batch_size or batch_size,
                    validation_steps,
                    stack,
                )
            return super().fit(
                x,
                epochs=epochs,
                verbose=verbose,
                callbacks=self._settling(callbacks),
                validation_data=validation_data,
                shuffle=False,  # they come in order; Keras warns that it can't shuffle them
                initial_epoch=initial_epoch,
                steps_per_epoch=steps,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )

    def evaluate(self, x=None, y=None, batch_size: int | None = None, **kwargs):
        """`keras.Model.evaluate` of images alone, given as to `fit` (a dataset's test part)."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(guards.clear_errors())
            if not kwargs.get("_use_cached_eval_dataset"):
                stack.callback(self._running.forget, "test")
                images, steps = checks.fit_source(x, "test", self.image_shape), kwargs.get("steps")
                order = _order(x, images, shuffle=False)
                x, kwargs["steps"] = self._fed("test", images, order, batch_size, steps, stack)
                kwargs["callbacks"] = self._settling(kwargs.get("callbacks"))
            return super().evaluate(x, **kwargs)

    def _settling(self, callbacks):
        """Return callbacks of which the first waits for compiled steps."""
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks.callbacks
        return [running.Settling(self._running), *keras.tree.flatten(callbacks or [])]

    def _fed(self, part, images, order, batch_size, steps, stack):
        """Return what Keras takes for images, and its number of steps, None where it counts them.

        Args:
            part: "train" or "test".
            images: An array, or what goes to Keras as it is.
            order: Returns the orders of so many images, see `feeds`.
            batch_size: Images a step, of an array.
            steps: How many to take, where it is not once through all images.
            stack: At whose end the device's memory is given back.
        """
        # A callback of fit's may evaluate, too.
        for kept, now in ((self._running.feeds, None), (self._running.limits, steps)):
            stack.callback(kept.__setitem__, part, kept.get(part))
            kept[part] = now
        if isinstance(images, np.ndarray):
            usual = _USUAL_BATCH_SIZE if batch_size is None else batch_size
            batch_size = checks.size("batch_size", usual)
            orders = order(len(images))
            if not self._is_compiled() or steps is not None:
                count = -(-len(images) // batch_size)
                stream = feeds.gather(images, feeds.batches(orders, batch_size))
                return stream.apply(tf.data.experimental.assert_cardinality(count)), steps
            images = feeds.BlockFeed(images, orders.repeat(), batch_size, self._most_steps())
        if not isinstance(images, feeds.BlockFeed):
            return images, steps
        self._running.feeds[part] = images
        if part == "train" or self._running.feeds.get("train") is None:
            # Keras counts in steps, and asks for so many at once.
            stack.callback(setattr, self, "steps_per_execution", self.steps_per_execution)
            self.steps_per_execution = images.steps_per_block
        return images.blocks, images.steps_per_epoch

    def _most_steps(self):
        """Return how many steps a block may have; of several feeds all have as many blocks."""
        if self._running.feeds.get("train") is not None:
            return self._running.feeds["train"].steps_per_block
        return feeds.MOST_STEPS if self.steps_per_execution == 1 else self.steps_per_execution

    def _is_compiled(self):
        """Return whether steps are compiled by XLA."""
        if not self.jit_compile:
            return False
        if self.distribute_strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "Expected jit_compile=False for a model on several devices. Received: True."
            )
        return True

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Of the model nothing is left to build, and Keras would take the mean of the replicas'
        # batches for it, whose sizes may differ. The optimizer's moments are there before a program
        # is compiled, which holds back what a step that failed did to them.
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config):
        """As Keras does, which finds an optimizer of this package in a file once it is imported."""
        importlib.import_module("mvae_tf.training.optimizers")
        super().compile_from_config(config)

    def make_train_function(self, force=False):
        """As Keras does; compiled steps are taken a block at a time."""
        if not self._is_compiled():
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = self._in_blocks("train", self._compiled_train_step)
        return self.train_function

    def make_test_function(self, force=False):
        """As Keras does; compiled steps are taken a block at a time."""
        if not self._is_compiled():
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function = self._in_blocks("test", self._compiled_test_step)
        return self.test_function

    def train_step(self, data):
        """One step on the objective, every term at one posterior draw."""
        images, count = distribution.padded(guards.batch(data, self.image_shape))
        seed = distribution.fold_in(tf.cast(self._seeds.next(), tf.int32))
        averages = [tf.identity(variable) for variable in self._moving_averages()]
        loss, terms, gradients = self._gradients(images, count, seed)
        shared = distribution.shared_averages(self._moving_averages(), averages, count)
        if self._stops_at_infinity():
            gradients = guards.finite_gradients(
                gradients,
                step.TERMS,
                self._broken_terms,
                [images, seed, *averages],
                self.optimizer.iterations,
            )
        with tf.control_dependencies(gradients[:1]):
            for variable, average in shared:
                variable.assign(average)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._track(loss, terms)

    def test_step(self, data):
        """The terms at one posterior draw; mse at the posterior means."""
        images, count = distribution.padded(guards.batch(data, self.image_shape))
        return self._track(*self._objective(images, count, self._test_seed()))

    # Parts of a step -----------------------------------------------------------------------------

    def _gradients(self, images, count, seed):
        """Return the loss, the terms, and the gradients of what the optimizer is to minimise."""
        with tf.GradientTape() as tape:
            loss, terms = self._objective(images, count, seed, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = [variable.value for variable in self.trainable_variables]
        return loss, terms, tape.gradient(scaled, variables)

    def _stops_at_infinity(self):
        # A loss-scaling optimizer skips such steps by design.
        return not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def _test_seed(self):
        # The count of images so far: new draws for each batch, the same in each evaluation, and
        # never training's.
        counted = tf.cast(distribution.counted(self._trackers["loss"].count), tf.int32)
        return seeds.apart(distribution.fold_in(tf.stack([0, counted])))

    def _track(self, loss, terms):
        # Weighted by images, so that a short last batch counts for what it is. Each replica has
        # the terms of all images; its trackers are added up to those of the others.
        shares = tf.fill(tf.shape(terms["melbo"]), 1.0 / distribution.num_replicas())
        for name, tracker in self._trackers.items():
            values = tf.broadcast_to({"loss": loss, **terms}[name], tf.shape(shares))
            tracker.update_state(values, sample_weight=shares)
        return distribution.logs(self._logs())

    def _moving_averages(self):
        """Return the banks' variables that a forward pass in training updates."""
        variables = self.encoder.non_trainable_variables + self.decoder.non_trainable_variables
        return [variable.value for variable in variables if variable is not self._seeds.state]

    def _broken_terms(self, images, seed, *averages):
        """Return the terms whose gradient is not finite; reset the moving averages."""
        flags = self._finite_terms(images, seed)
        for variable, average in zip(self._moving_averages(), averages, strict=True):
            variable.assign(average)
        return [name for name, is_finite in flags.items() if not is_finite]

    def _finite_terms(self, images, seed):
        """Return by name whether each term's own gradient is finite."""
        with tf.GradientTape(persistent=True) as tape:
            _, terms = self._objective(images, None, seed, training=True)
            means = {name: tf.reduce_mean(terms[name]) for name in step.TERMS}
        # Outside the graph is outside the replica, too: any of its copies of the weights will do.
        copies = self.distribute_strategy.experimental_local_results
        variables = [copies(variable.value)[0] for variable in self.trainable_variables]
        zero = tf.UnconnectedGradients.ZERO
        return {
            name: guards.is_finite(tape.gradient(mean, variables, unconnected_gradients=zero))
            for name, mean in means.items()
        }

    # Compiled steps ------------------------------------------------------------------------------

    def _in_blocks(self, part, one_step):
        """Return Keras's function of an iterator: of blocks, or of a user's own batches."""
        steps = self._running.steps[part] = compiled.Steps(
            one_step, self._logs, self._changing_variables, self._refuse
        )

        def take(iterator):
            feed = self._running.feeds.get(part)
            if feed is None:
                most = self._running.most_steps(part, self.steps_per_execution)
                taken = list(itertools.islice(iterator, most))
                if not taken:
                    raise StopIteration
                for images in map(checks.first, taken):
                    checks.spec("images", images, self.image_shape)  # their values: in the step
                    logs = steps(None, tf.cast(images, tf.float32)[None], 1)
                if not isinstance(iterator, tf.data.Iterator):  # train_on_batch
                    steps.finish()
                return logs
            block = next(iterator)
            logs = steps(feed.source, block.batches, block.size) if block.size else None
            return steps(feed.source, block.rest, 1) if block.rest.shape[1] else logs

        return take

    def _compiled_train_step(self, images):
        seed = tf.cast(self._seeds.next(), tf.int32)
        loss, terms, gradients = self._gradients(images, None, seed)
        finite = guards.is_finite(gradients) if self._stops_at_infinity() else tf.constant(True)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._track(loss, terms)
        return compiled.Verdict.of(images, finite)

    def _compiled_test_step(self, images):
        self._track(*self._objective(images, None, self._test_seed()))
        return compiled.Verdict.of(images, tf.constant(True))

    def _changing_variables(self):
        """Return all variables that a step may change, each once."""
        variables = [*self.variables, *self.optimizer.variables]
        for metric in self.metrics:
            variables += metric.variables
        return list({id(variable): variable.value for variable in variables}.values())

    def _refuse(self, verdict, images):
        """Raise what is wrong with the step to come."""
        if not verdict.in_range():
            raise guards.out_of_range(verdict.least, verdict.greatest)

        @tf.function(jit_compile=True)
        def finite_terms(images):
            changing = self._changing_variables()
            before = [tf.identity(variable) for variable in changing]
            flags = self._finite_terms(images, tf.cast(self._seeds.next(), tf.int32))
            for variable, value in zip(changing, before, strict=True):
                variable.assign(value)
            return flags

        broken = [name for name, is_finite in finite_terms(images).items() if not is_finite]
        raise guards.not_finite(broken, int(self.optimizer.iterations) + 1)

    def _logs(self):
        return {name: tracker.result() for name, tracker in self._trackers.items()}


def _order(source, images, shuffle):
    """Return the function of `feeds` that orders a source's images."""
    if hasattr(source, "train") or hasattr(source, "is_train"):
        is_train = images is getattr(getattr(source, "train", source), "images", None)
        shuffle = is_train and getattr(source, "is_train", True)
        return functools.partial(feeds.shuffled, seed=0) if shuffle else feeds.in_order
    return functools.partial(feeds.shuffled, seed=None) if shuffle else feeds.in_order
