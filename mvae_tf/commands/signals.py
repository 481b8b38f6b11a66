"""What Ctrl-C and SIGTERM do to the program: it leaves at once, with one line and its exit status.

No exception is raised: amid an import, or TensorFlow's building of a graph, it would be lost there
or come out as another. What must not be left half done is written aside (`mvae_tf.files`) and put
away here. Training hears the signals by itself (`commands.support.stopping`).

Imported first of all, and so with nothing that takes time.
"""

import contextlib
import os
import signal
import sys


class Terminated(KeyboardInterrupt):
    """SIGTERM, to be handled as Ctrl-C is."""


STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
TOLD = {signal.SIGINT: "Stopped.", signal.SIGTERM: "Terminated."}

_stderr = None  # a way to it of our own, while it is set aside as TensorFlow starts
_process = None


def hear() -> None:
    """Handle both signals from now on, but for those that the process is to ignore."""
    global _stderr, _process
    _process = os.getpid()
    try:
        _stderr = os.dup(2)
    except OSError:
        _stderr = None
    for number in STATUS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a job in the background
            signal.signal(number, leave)


def leave(number, frame) -> None:
    """Handle a signal: say one line, put away what is half written and end the process."""
    if os.getpid() == _process:  # a child that was forked has none of it
        words = " ".join(["mvae-tf", *sys.argv[1:2]])
        line = f"{words}: {TOLD[number]}\n"
        if _stderr is not None:
            with contextlib.suppress(OSError):
                # What a bar or a line of progress has begun is ended.
                os.write(_stderr, (("\n" if os.isatty(_stderr) else "") + line).encode())
        files = sys.modules.get("mvae_tf.files")
        if hasattr(files, "remove_asides"):
            files.remove_asides()
    os._exit(STATUS[number])
