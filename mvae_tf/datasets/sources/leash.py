"""Run a command that ends when the process that asked for it does, however that ends.

Run by its path, `python leash.py COMMAND...`, in a session of its own, and with a standard input of
which the asking process holds the other end: it closes when that process is gone.
"""

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run the command and return its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_when_alone, args=[child], daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _end_when_alone(child: subprocess.Popen) -> None:
    os.read(0, 1)  # nothing, once the asking process is gone
    if sys.platform == "win32":
        tree = ["taskkill", "/F", "/T", "/PID", str(os.getpid())]
        subprocess.run(tree, check=False, capture_output=True)
    elif os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    else:  # a group that is another's
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
