"""TensorFlow's start in our programs: with the fastest products, without its start-up messages."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path


def import_tensorflow() -> None:
    """Import TensorFlow, with oneDNN; on a machine without a GPU, keep its talk off the terminal.

    By default TensorFlow takes oneDNN's products only on processors with AVX512-VNNI or better; on
    others, too, a training step takes a quarter less with them (docs/costs.md). Results differ by
    rounding, as between processors. Whoever has set the variable keeps it so. Without AVX-512
    oneDNN gets one thing wrong that nothing trains here: the weights' gradient of a convolution of
    size 1 and stride 2 with fewer than 8 channels.

    The messages come from native code before any log level counts, so that the process's own stderr
    is set aside meanwhile. If the import fails, they are shown.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
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
        except Exception:
            aside.seek(0)
            os.write(terminal, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
