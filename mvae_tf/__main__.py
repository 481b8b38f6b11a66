"""The command line: `mvae-tf COMMAND [flags]`, or `python -m mvae_tf COMMAND [flags]`."""

import signal
import sys

from mvae_tf.commands import program


def main() -> int:
    """Run the command that the process was started with, and return its exit status."""

    def terminate(number, frame):
        raise program.Terminated

    signal.signal(signal.SIGTERM, terminate)
    status = program.main(sys.argv[1:])
    # Whatever comes while TensorFlow winds up ends the process at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


if __name__ == "__main__":
    sys.exit(main())
