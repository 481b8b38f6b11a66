"""What a training shows of itself: a bar on a terminal, a line an epoch elsewhere."""

import contextlib
import sys
import time

import keras
from tqdm import tqdm


class _Progress(keras.callbacks.Callback, contextlib.AbstractContextManager):
    def __init__(self, history, epochs, steps):
        super().__init__()
        self._done, self._epochs, self._steps = len(history), epochs, steps

    def __exit__(self, *failure):
        pass


class Bar(_Progress):
    """One bar over all epochs, with the terms beside it."""

    def __enter__(self):
        self._bar = tqdm(
            total=self._epochs * self._steps, initial=self._done * self._steps, unit="step"
        )
        return self

    def __exit__(self, *failure):
        self._bar.close()  # also where training was stopped: what is printed next has its own line

    def on_epoch_begin(self, epoch, logs=None):
        self._before = epoch * self._steps
        self._bar.set_description(f"epoch {epoch + 1}/{self._epochs}", refresh=False)

    def on_train_batch_end(self, batch, logs=None):
        # Of one execution; batch is the last's, which may lie beyond the end of the epoch.
        steps = self._before + min(batch + 1, self._steps) - self._bar.n
        if self._bar.update(steps):  # only when it is drawn: reading the terms takes time
            self._bar.set_postfix_str(_format(logs), refresh=False)


class Lines(_Progress):
    """One line an epoch, for logs."""

    def on_train_begin(self, logs=None):
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        each = (time.monotonic() - self._began) / (epoch + 1 - self._done)
        left = tqdm.format_interval(each * (self._epochs - epoch - 1))
        print(
            f"epoch {epoch + 1}/{self._epochs}: {_format(logs)}, {left} left",
            file=sys.stderr,
            flush=True,
        )


def _format(logs):
    shown = {name: value for name, value in logs.items() if not name.startswith("val_")}
    return ", ".join(f"{name} {float(value):.4g}" for name, value in shown.items())
