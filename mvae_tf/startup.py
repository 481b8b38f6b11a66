"""TensorFlow's start without its start-up messages."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path


def import_tensorflow() -> None:
    """Import TensorFlow; on a machine without a GPU, keep its talk about that off the terminal.

    The messages come from native code before any log level counts, so that the process's own stderr
    is set aside meanwhile. If the import fails, they are shown.
    """
    # Whatever stops anything is raised as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    aside = contextlib.nullcontext() if _has_nvidia_driver() else _stderr_set_aside()
    with aside:
        import tensorflow as tf

        tf.config.list_physical_devices()
    # Otherwise it warns of retracing, since each trained model is a new function to it.
    tf.get_logger().setLevel("ERROR")


def _has_nvidia_driver():
    return Path("/proc/driver/nvidia").exists()


@contextlib.contextmanager
def _stderr_set_aside():
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(terminal, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
