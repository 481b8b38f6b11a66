"""What goes on while Keras goes through images with compiled steps, and when it is waited for."""

import functools
import threading

import keras


class Running:
    """What goes on while Keras goes through images, by part of the data, "train" or "test".

    Attributes:
        feeds: The `feeds.BlockFeed`s in use; None for a user's own batches.
        limits: How many steps go through the images once, where that was asked for.
        left: How many of them are still to come.
        steps: The `compiled.Steps` made so far.
        begun: The parts, "predict" among them, of which a batch has been taken, and the threads
            that took it: several may predict at the same time.
    """

    def __init__(self):
        self.feeds, self.limits, self.left, self.steps = {}, {}, {}, {}
        self.begun = set()

    def noting(self, part: str, function):
        """Return a function of batches that says so once it has taken some."""

        @functools.wraps(function)
        def take(batches):
            answer = function(batches)
            self.begun.add((part, threading.get_ident()))
            return answer

        return take

    def require(self, part: str) -> None:
        """Refuse data without a batch."""
        if (part, threading.get_ident()) not in self.begun:
            raise ValueError("Expected data with at least one batch. Received: none.")

    def forget_batches(self, part: str) -> None:
        """Let this thread begin with a part, of which it has taken no batch yet."""
        self.begun.discard((part, threading.get_ident()))

    def begin(self, part: str) -> None:
        """Begin to go through a part's images."""
        self.left[part] = self.limits.get(part)

    def finish(self, part: str) -> None:
        """Wait for a part's compiled steps, and look at what came of them."""
        if part in self.steps:
            self.steps[part].finish()

    def forget(self, part: str) -> None:
        """Let go of what a part's compiled steps left, whatever stopped them."""
        if part in self.steps:
            self.steps[part].forget()

    def most_steps(self, part: str, at_once: int) -> int:
        """Return how many of a user's batches to take now."""
        left = self.left.get(part)
        if left is None:
            return at_once
        self.left[part] = max(0, left - at_once)
        return min(at_once, left)


class Settling(keras.callbacks.Callback):
    """Waits for compiled steps before anything else is made of an epoch's end."""

    def __init__(self, running):
        super().__init__()
        self._running = running

    def on_train_begin(self, logs=None):
        self._running.forget_batches("train")

    def on_epoch_begin(self, epoch, logs=None):
        self._running.begin("train")

    def on_epoch_end(self, epoch, logs=None):
        self._running.require("train")
        self._running.finish("train")

    def on_test_begin(self, logs=None):
        self._running.forget_batches("test")
        self._running.begin("test")

    def on_test_end(self, logs=None):
        self._running.require("test")
        self._running.finish("test")

    def on_predict_begin(self, logs=None):
        self._running.forget_batches("predict")

    def on_predict_end(self, logs=None):
        self._running.require("predict")


def settled(running: Running, callbacks) -> list[keras.callbacks.Callback]:
    """Return callbacks of which the first waits for compiled steps; refuse what are none."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    callbacks = keras.tree.flatten(callbacks or [])
    for each in callbacks:
        # Other libraries have callbacks of their own, which do as well.
        if isinstance(each, type) or not hasattr(each, "set_model"):
            raise ValueError(
                f"Expected callbacks to be Keras callbacks, made. Received: {each!r} among them."
            )
    return [Settling(running), *callbacks]
