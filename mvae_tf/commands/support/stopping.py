"""Ctrl-C and SIGTERM while a model trains: heard at once, heeded between two steps.

An exception that a signal raises amid TensorFlow's work, such as the building of a graph, may be
lost there, and training would go on.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

import keras

from mvae_tf.commands.signals import Terminated, leave

_RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class StopWhenAsked(keras.callbacks.Callback):
    """Raises what the signal stands for before the next step."""

    def __init__(self):
        super().__init__()
        self._asked = None
        self.before = {}

    def on_train_batch_begin(self, batch, logs=None):
        if self._asked is not None:
            raise _RAISED[self._asked]

    def ask(self, number, frame):
        """Handle a signal; the second one ends the process, or is raised, at once."""
        if self._asked is not None:
            if self.before.get(number) is leave:  # in our program
                leave(number, frame)
            raise _RAISED[number]
        self._asked = number
        print("\nStopping after this step; another signal stops at once.", file=sys.stderr)


@contextlib.contextmanager
def between_steps() -> Iterator[StopWhenAsked]:
    """Give a callback that stops training when the process is asked to."""
    stop = StopWhenAsked()
    before = stop.before
    # Only the main thread may; what a shell ignores for a job in the background stays ignored.
    if threading.current_thread() is threading.main_thread():
        heard = [each for each in _RAISED if signal.getsignal(each) is not signal.SIG_IGN]
        before.update({each: signal.signal(each, stop.ask) for each in heard})
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
