"""Keras's `fit`, `evaluate`, `predict` and their like, of images alone.

`ImageTrainer` is what of `MixtureVAE` is Keras's: how images are taken in, what of Keras's
arguments means nothing here, and is refused, and what is written to files. The steps are in
`steps`.
"""

import contextlib
import importlib

import keras
import numpy as np
import tensorflow as tf

from mvae_tf import checks, sources
from mvae_tf.devices import feeds, guards, running
from mvae_tf.steps import ImageSteps

_USUAL_BATCH_SIZE = 32  # Keras's
_NO_TARGETS = ("loss", "loss_weights", "metrics", "weighted_metrics")


class ImageTrainer(ImageSteps):
    """A Keras model that trains on images alone, see `ImageSteps`."""

    def compile(  # noqa: D417
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile="auto",
        auto_scale_loss: bool = True,
    ):
        """`keras.Model.compile`, with an optimizer: loss and metrics are the model's own.

        Args:
            optimizer, run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: As in Keras.
            loss, loss_weights, metrics, weighted_metrics: Refused.

        Raises:
            ValueError: for one that is refused.
        """
        given = zip(_NO_TARGETS, (loss, loss_weights, metrics, weighted_metrics), strict=True)
        for name, value in given:
            if value is not None:
                raise ValueError(
                    f"Expected no {name}: the objective and its terms are the model's own. "
                    f"Received: {value!r}."
                )
        if optimizer is None:
            raise ValueError("Expected an optimizer. Received: None.")
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=checks.size("steps_per_execution", steps_per_execution),
            jit_compile=checks.choice("jit_compile", jit_compile, (True, False, None, "auto")),
            auto_scale_loss=auto_scale_loss,
        )

    def compile_from_config(self, config):
        """As Keras does, which finds an optimizer of this package in a file once it is imported."""
        importlib.import_module("mvae_tf.training.optimizers")
        config = keras.saving.deserialize_keras_object(config)
        # Earlier versions took them, and made nothing of them.
        self.compile(**{name: each for name, each in config.items() if name not in _NO_TARGETS})
        self.optimizer.build(self.trainable_variables)

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
            x: Images [n, *image], floats in [0, 1] or uint8, which are divided by 255; a
                tf.data.Dataset or generator of batches of them; or a loaded `mvae_tf.datasets`
                dataset (its training part) or part. A batch is images or a tuple (images, targets,
                sample_weight).
            y: Ignored, as are a batch's targets.
            batch_size: Images a step, of arrays and loaded datasets. Default: 32.
            validation_split: The share of an array's images, its last, to measure on; 0 for none.
            validation_data: Like x (of a loaded dataset its test part), or a tuple (x, y) or (x, y,
                sample_weight), measured after each epoch.
            shuffle: Whether an array's images come in a new order in each epoch.
            class_weight: Refused: there are no classes.
            sample_weight: [n], at least 0, of an array's images: one of weight 2 counts as two in
                every term and metric, and in dHSIC, whose means are weighted. What a step minimises
                is scaled by the mean weight of its batch, as in Keras. A batch that weighs nothing
                is passed over (on one device; on several the optimizer's momentum goes on). Batch
                normalisation knows of no weights. Refused with bandwidths "median".
            epochs, verbose, callbacks, initial_epoch, steps_per_epoch, validation_steps,
                validation_batch_size, validation_freq: As in Keras.

        Returns:
            A `keras.callbacks.History` of the metrics.

        Raises:
            ValueError: for an argument outside what is said above.
            FloatingPointError: naming the term and the step, as soon as a gradient is not finite;
                the weights are then those of the step before.
        """
        checks.no_classes(class_weight)
        checks.size("epochs", epochs)
        checks.count("initial_epoch", initial_epoch)
        checks.size_or_sizes("validation_freq", validation_freq)
        sizes = {
            "batch_size": batch_size,
            "steps_per_epoch": steps_per_epoch,
            "validation_steps": validation_steps,
            "validation_batch_size": validation_batch_size,
        }
        for name, value in sizes.items():
            checks.size_or_none(name, value)
        share = checks.share("validation_split", validation_split)
        images = sources.source(x, sample_weight, "train", self.image_shape, steps_per_epoch)
        order = sources.order(x, images.images, shuffle)
        if validation_data is None:
            images, measured = sources.split(images, share)
        else:
            measured = sources.validation(validation_data, self.image_shape, validation_steps)
        with contextlib.ExitStack() as stack:
            stack.enter_context(guards.clear_errors())
            for part in ("train", "test"):
                stack.callback(self._running.forget, part)
            x, steps = self._fed("train", images, order, batch_size, steps_per_epoch, stack)
            if measured is not None:
                validation_data, validation_steps = self._fed(
                    "test",
                    measured,
                    feeds.in_order,
                    validation_batch_size or batch_size,
                    validation_steps,
                    stack,
                )
            return super().fit(
                x,
                epochs=epochs,
                verbose=verbose,
                callbacks=running.settled(self._running, callbacks),
                validation_data=validation_data,
                shuffle=False,  # they come in order; Keras warns that it can't shuffle them
                initial_epoch=initial_epoch,
                steps_per_epoch=steps,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size: int | None = None,
        verbose="auto",
        sample_weight=None,
        steps: int | None = None,
        callbacks=None,
        return_dict: bool = False,
        **kwargs,
    ):
        """`keras.Model.evaluate` of images alone, given as to `fit` (a dataset's test part)."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(guards.clear_errors())
            if not kwargs.get("_use_cached_eval_dataset"):
                checks.size_or_none("batch_size", batch_size)
                checks.size_or_none("steps", steps)
                stack.callback(self._running.forget, "test")
                images = sources.source(x, sample_weight, "test", self.image_shape, steps)
                order = sources.order(x, images.images, shuffle=False)
                x, steps = self._fed("test", images, order, batch_size, steps, stack)
                callbacks = running.settled(self._running, callbacks)
            return super().evaluate(
                x,
                verbose=verbose,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def predict(
        self,
        x,
        batch_size: int | None = None,
        verbose="auto",
        steps: int | None = None,
        callbacks=None,
    ):
        """`keras.Model.predict`: `reconstruct` of images given as to `evaluate`, [n, *image]."""
        checks.size_or_none("batch_size", batch_size)
        checks.size_or_none("steps", steps)
        images = sources.source(x, None, "test", self.image_shape, steps)
        if images.is_array:
            orders = feeds.in_order(len(images))
            size = batch_size or _USUAL_BATCH_SIZE
            x = feeds.gather(images.images, feeds.batches(orders, size))
            x = x.apply(tf.data.experimental.assert_cardinality(-(-len(images) // size)))
        else:
            x = sources.checked_batches(images.images, self.image_shape)
        with guards.clear_errors():
            return super().predict(
                x, verbose=verbose, steps=steps, callbacks=running.settled(self._running, callbacks)
            )

    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, return_dict: bool = False
    ):
        """`keras.Model.train_on_batch` of images alone, given as an array to `fit`."""
        checks.no_classes(class_weight)
        x, sample_weight = self._one_batch(x, sample_weight, "train")
        with guards.clear_errors():
            return super().train_on_batch(x, sample_weight=sample_weight, return_dict=return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict: bool = False):
        """`keras.Model.test_on_batch` of images alone, given as an array to `fit`."""
        x, sample_weight = self._one_batch(x, sample_weight, "test")
        with guards.clear_errors():
            return super().test_on_batch(x, sample_weight=sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x):
        """`keras.Model.predict_on_batch`: `reconstruct` of images, given as an array to `fit`."""
        return super().predict_on_batch(self._one_batch(x, None, "test")[0])

    # Files ---------------------------------------------------------------------------------------

    def save(self, filepath, overwrite: bool = True, zipped: bool | None = None, **kwargs):
        """`keras.Model.save`: a `.keras` file, with the optimizer and the state of the draws.

        What `keras.saving.save_model` writes as `.h5` has the weights and lacks the draws' state;
        it is read with `custom_objects={"MixtureVAE": mvae_tf.MixtureVAE}`.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"Expected a path that ends in .keras. Received: {str(filepath)!r}, a format that "
                "has no place for the state of the draws. For the weights alone: "
                'model.save_weights("NAME.weights.h5").'
            )
        super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=None, **kwargs):
        """Write what `mvae_tf.export_saved_model` writes, and return the version's folder.

        Args:
            filepath: See there.
            format: "tf_saved_model"; Keras's other formats are refused.
            verbose: Whether to print the folder.
            kwargs: `score_samples`, see there.
        """
        from mvae_tf import serving  # it knows the model, which can't know it before

        checks.choice("format", format, ("tf_saved_model",))
        unknown = sorted(set(kwargs) - {"score_samples"})
        if unknown:
            raise ValueError(
                "Expected score_samples alone beside path and format: the signatures are those of "
                f"mvae_tf.export_saved_model. Received: {', '.join(unknown)}."
            )
        folder = serving.export_saved_model(self, filepath, **kwargs)
        if verbose:
            print(f"Saved {folder}")
        return folder

    def save_own_variables(self, store):
        """Store the state of the random draws beside what Keras stores."""
        super().save_own_variables(store)
        store["random_state"] = self._seeds.state

    def load_own_variables(self, store):
        """Load what was stored; files of version 0.1.0 hold no state of the draws."""
        stored = {name: store[name] for name in store.keys()}  # noqa: SIM118, no dict
        random_state = stored.pop("random_state", None)
        super().load_own_variables(stored)
        if random_state is not None:
            self._seeds.state.assign(np.asarray(random_state))

    # What images become for Keras ----------------------------------------------------------------

    def _one_batch(self, x, sample_weight, part):
        """Return checked images and weights."""
        images = sources.source(x, sample_weight, part, self.image_shape)
        if not images.is_array:
            raise ValueError(
                f"Expected a batch to be an array of images. Received: a {type(x).__name__}."
            )
        return feeds.as_floats(tf.constant(images.images)), images.weights

    def _fed(self, part, source, order, batch_size, steps, stack):
        """Return what Keras takes for images, and its number of steps, None where it counts them.

        Args:
            part: "train" or "test".
            source: A `sources.Source`.
            order: Returns the orders of so many images, see `feeds`.
            batch_size: Images a step, of an array.
            steps: How many to take, where it is not once through all images.
            stack: At whose end the device's memory is given back.
        """
        # A callback of fit's may evaluate, too.
        for kept, now in ((self._running.feeds, None), (self._running.limits, steps)):
            stack.callback(kept.__setitem__, part, kept.get(part))
            kept[part] = now
        images = source.images
        if source.is_array:
            batch_size, orders = batch_size or _USUAL_BATCH_SIZE, order(len(images))
            if not self._is_compiled() or steps is not None:
                count = -(-len(images) // batch_size)
                stream = feeds.gather(images, feeds.batches(orders, batch_size), source.weights)
                if source.weights is not None:
                    stream = stream.map(lambda images, weights: (images, (), weights))
                return stream.apply(tf.data.experimental.assert_cardinality(count)), steps
            images = feeds.BlockFeed(
                images, orders.repeat(), batch_size, self._most_steps(), source.weights
            )
        if not isinstance(images, feeds.BlockFeed):
            return images, steps
        self._running.feeds[part] = images
        if part == "train" or self._running.feeds.get("train") is None:
            # Keras counts in steps, and asks for so many at once.
            stack.callback(setattr, self, "steps_per_execution", self.steps_per_execution)
            self.steps_per_execution = images.steps_per_block
        return images.blocks, images.steps_per_epoch

    def _most_steps(self):
        """Return how many steps a block may have, None for as many as are of use.

        Of several feeds all have blocks of as many.
        """
        if self._running.feeds.get("train") is not None:
            return self._running.feeds["train"].steps_per_block
        return None if self.steps_per_execution == 1 else self.steps_per_execution
