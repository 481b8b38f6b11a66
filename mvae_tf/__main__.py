"""The command line: `mvae-tf COMMAND [flags]`, or `python -m mvae_tf COMMAND [flags]`."""

import sys

from mvae_tf.commands import signals


def main() -> int:
    """Run the command that the process was started with, and return its exit status."""
    signals.hear()  # before anything that takes time is imported
    from mvae_tf.commands import program
    from mvae_tf.commands.support import streams

    streams.prepare()
    return program.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
