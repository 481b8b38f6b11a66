"""The steps of training and evaluation on an objective, one at a time or many in one program.

Where Keras would compile a step with XLA (`jit_compile`), whole blocks of them are compiled, see
`devices.compiled`.
"""

import itertools

import keras
import tensorflow as tf

from mvae_tf import checks, sources
from mvae_tf.devices import compiled, distribution, guards, running
from mvae_tf.objective import seeds, step


class ImageSteps(keras.Model):
    """A Keras model whose steps are on images alone, by an objective of its own.

    It has `image_shape`, `encoder`, `decoder`, `_seeds` (a `keras.random.SeedGenerator`),
    `_trackers` (`keras.metrics.Mean`s by name) and `_objective(images, count, seed, training,
    weights)`, as in `MixtureVAE`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._running = running.Running()

    @property
    def metrics(self):
        """The model's metrics, in their order."""
        return list(self._trackers.values())

    def make_train_function(self, force=False):
        """As Keras does; compiled steps are taken a block at a time."""
        if self.train_function is None or force:
            if self._is_compiled():
                self.train_function = self._in_blocks("train", self._compiled_train_step)
            else:
                super().make_train_function(force)
            self.train_function = self._running.noting("train", self.train_function)
        return self.train_function

    def make_test_function(self, force=False):
        """As Keras does; compiled steps are taken a block at a time."""
        if self.test_function is None or force:
            if self._is_compiled():
                self.test_function = self._in_blocks("test", self._compiled_test_step)
            else:
                super().make_test_function(force)
            self.test_function = self._running.noting("test", self.test_function)
        return self.test_function

    def make_predict_function(self, force=False):
        """As Keras does."""
        if self.predict_function is None or force:
            super().make_predict_function(force)
            self.predict_function = self._running.noting("predict", self.predict_function)
        return self.predict_function

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

    def train_step(self, data):
        """One step on the objective, every term at one posterior draw."""
        images, count, weights = self._batch(data)
        with tf.control_dependencies([images]):  # images that are refused have no draws
            seed = distribution.fold_in(tf.cast(self._seeds.next(), tf.int32))
        averages = [tf.identity(variable) for variable in self._moving_averages()]
        before = self._before(weights)
        loss, terms, gradients = self._gradients(images, count, seed, weights)
        shared = distribution.shared_averages(self._moving_averages(), averages, count)
        if self._stops_at_infinity():
            # Not before the forward pass has updated the averages, or a reset would be overwritten.
            with tf.control_dependencies([tf.identity(each) for each in self._moving_averages()]):
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
            # With it, the count of steps stays what it was when a step is stopped.
            distribution.apply(self.optimizer, gradients, self.trainable_variables)
            self._pass_over(before, weights)  # what it reads must not date from before a reset
        return self._track(loss, terms)

    def test_step(self, data):
        """The terms at one posterior draw; mse at the posterior means."""
        images, count, weights = self._batch(data)
        return self._track(*self._objective(images, count, self._test_seed(), weights=weights))

    # Parts of a step -----------------------------------------------------------------------------

    def _batch(self, data):
        """Return a batch's images, their number where several replicas share it, and weights."""
        images, weights = guards.batch(data, self.image_shape)
        images, count = distribution.padded(images)
        if weights is not None and count is not None:
            weights = tf.pad(weights, [[0, tf.shape(images)[0] - count]])
        return images, count, weights

    def _gradients(self, images, count, seed, weights):
        """Return the loss, the terms, and the gradients of what the optimizer is to minimise."""
        if not self.trainable_variables:
            raise ValueError("Expected a model with weights to train. Received: all are frozen.")
        with tf.GradientTape() as tape:
            loss, terms = self._objective(images, count, seed, training=True, weights=weights)
            # Of a weighted mean, a batch of small weights would have as much to say as any other.
            minimised = loss if weights is None else loss * tf.reduce_mean(terms["weight"])
            scaled = self.optimizer.scale_loss(minimised)
        variables = [variable.value for variable in self.trainable_variables]
        return loss, terms, tape.gradient(scaled, variables)

    def _before(self, weights):
        """Return what a step changes, with its values, where its images may weigh nothing."""
        if weights is None or distribution.num_replicas() > 1:
            return []
        variables = [each.value for each in [*self.weights, *self.optimizer.variables]]
        return [(variable, tf.identity(variable)) for variable in variables]

    def _pass_over(self, before, weights):
        """Take a step back whose images weigh nothing."""
        for variable, value in before:
            variable.assign(tf.where(tf.reduce_sum(weights) > 0, variable, value))

    def _stops_at_infinity(self):
        # A loss-scaling optimizer skips such steps by design.
        return not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def _test_seed(self):
        # The count of images so far: new draws for each batch, the same in each evaluation, and
        # never training's. Their weights may add up to no whole number.
        counted = distribution.counted(tf.identity(self._trackers["loss"].count))
        whole = tf.floor(counted)
        seed = tf.stack([tf.bitcast(counted - whole, tf.int32), tf.cast(whole, tf.int32)])
        return seeds.apart(distribution.fold_in(seed))

    def _track(self, loss, terms):
        # Weighted by images, so that a short last batch counts for what it is. Each replica has
        # the terms of all images; its trackers are added up to those of the others.
        shares = tf.fill(tf.shape(terms["melbo"]), 1.0 / distribution.num_replicas())
        shares *= terms.get("weight", 1.0)
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
                for images, weights in map(sources.unpacked, taken):
                    # The images' values are looked at in the step.
                    batch = checks.unchecked_images(images, self.image_shape)[None]
                    if weights is not None:
                        batch = batch, checks.sample_weight(weights, len(images))[None]
                    logs = steps(None, batch, 1)
                if not isinstance(iterator, tf.data.Iterator):  # train_on_batch
                    steps.finish()
                return logs
            block = next(iterator)
            logs = steps(feed.source, block.batches, block.size) if block.size else None
            has_rest = tf.nest.flatten(block.rest)[0].shape[1]
            return steps(feed.source, block.rest, 1) if has_rest else logs

        return take

    def _compiled_train_step(self, images, weights=None):
        seed = tf.cast(self._seeds.next(), tf.int32)
        before = self._before(weights)
        loss, terms, gradients = self._gradients(images, None, seed, weights)
        finite = guards.is_finite(gradients) if self._stops_at_infinity() else tf.constant(True)
        distribution.apply(self.optimizer, gradients, self.trainable_variables)
        self._pass_over(before, weights)
        self._track(loss, terms)
        return compiled.Verdict.of(images, finite)

    def _compiled_test_step(self, images, weights=None):
        self._track(*self._objective(images, None, self._test_seed(), weights=weights))
        return compiled.Verdict.of(images, tf.constant(True))

    def _changing_variables(self):
        """Return all variables that a step may change, each once."""
        variables = [*self.variables, *self.optimizer.variables]
        for metric in self.metrics:
            variables += metric.variables
        return list({id(variable): variable.value for variable in variables}.values())

    def _refuse(self, verdict, images, weights=None):
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
