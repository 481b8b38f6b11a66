"""Standard streams as others leave them: closed, full, read no more, or of few characters."""

import contextlib
import os
import sys
import warnings


def prepare() -> None:
    """Put nothing in the place of streams that are closed, and let no text be too much for them.

    A file that is opened later must not become what native code takes for stderr. Whether stdout
    was closed is still seen: `sys.stdout` stays None.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    # What Pillow says of photographs of many megapixels, beside lines of its source.
    warnings.filterwarnings("ignore", message="Image size .* could be decompression bomb")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # a path may be of any bytes


def drop_stdout() -> None:
    """Let nothing more be written, neither here nor as Python ends."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
