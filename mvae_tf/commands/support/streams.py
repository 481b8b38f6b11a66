"""Standard streams as others leave them: closed, full, read no more, or of few characters."""

import contextlib
import os
import sys
import warnings
from typing import TextIO

CLOSED = (
    "Expected stdout to be open, for the results. Received: a closed one; >/dev/null drops them."
)


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
        if hasattr(stream, "reconfigure"):  # not so a notebook's
            stream.reconfigure(errors="backslashreplace")  # a path may be of any bytes


def finish(stream: TextIO) -> None:
    """Write what a stream still holds; where it takes no more, drop it, now and as Python ends."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())
