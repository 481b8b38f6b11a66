"""The choice of a command, and what every command's end looks like.

A command is a module with `main(argv)`, which returns nothing: it prints results to stdout and
everything else to stderr, and raises what goes wrong. TensorFlow starts only where a command needs
it, after its flags have been found right.
"""

import difflib
import importlib
import signal
import sys
from collections.abc import Sequence

import mvae_tf
from mvae_tf import files
from mvae_tf.commands.signals import STATUS, TOLD, Terminated
from mvae_tf.commands.support import streams
from mvae_tf.commands.support.arguments import PROGRAM, CommandError, HelpShown, UsageError
from mvae_tf.training.run_folder import BusyRunError, DamagedRunError
from mvae_tf.training.version import NewerRunError

COMMANDS = {
    "train": "Train a model on images of your own or on a named dataset; resume a run.",
    "evaluate": "Measure a trained model: errors, components, log-likelihood, KNN accuracy.",
    "reconstruct": "Write images beside what the mixture and each component make of them.",
    "encode": "Write codes and mixing weights of images, by file name, as .npz or .csv.",
    "score": "Write how likely a model finds each image, the least likely first, as .csv.",
    "sample": "Write draws from a trained model's prior.",
    "export": "Write a SavedModel for TensorFlow Serving, ONNX, TensorFlow Lite or a web page.",
    "serve": "Serve a model to clients, by REST and gRPC.",
    "info": "Say what a run folder or a .keras file holds.",
}

DONE, FAILED, USAGE = 0, 1, 2

_HELP = """\
Mixtures of variational autoencoders.

usage: mvae-tf COMMAND [--flag=value ...]

{commands}

mvae-tf COMMAND --help     a command's flags, and examples
mvae-tf --version          the version

Where a shell does not find mvae-tf, python -m mvae_tf is the same.

Exit status: 0 done; 1 failed (no such data, a damaged file, a full disk, values that are not
finite); 2 wrong usage (an unknown flag, flags that contradict each other or the run); 130 and 143
stopped by Ctrl-C and by SIGTERM. Results go to stdout, progress and messages to stderr.
"""

# Also those of our own are among them, such as DataUnavailableError, an OSError.
_FORESEEN = (
    CommandError,
    BusyRunError,
    DamagedRunError,
    FloatingPointError,
    MemoryError,
    NewerRunError,
    OSError,
)


def main(argv: Sequence[str]) -> int:
    """Run a command.

    Args:
        argv: Its name and flags.

    Returns:
        The exit status, see `_HELP`. An error that nothing foresees is raised.
    """
    name, *flags = argv or ["--help"]
    if sys.stdout is None:  # closed by whoever started the process
        _say(PROGRAM, streams.CLOSED)
        return FAILED
    if name in ("--help", "-h", "-help", "help"):
        return _ended(name, lambda: print(_help(), end=""))
    if name == "--version":
        return _ended(name, lambda: print(f"{PROGRAM} {mvae_tf.__version__}"))
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        _say(
            PROGRAM,
            f"Expected one of {', '.join(COMMANDS)}. Received: {name!r}."
            + (f" Did you mean {close[0]}?" if close else "")
            + f" See {PROGRAM} --help.",
        )
        return USAGE
    command = importlib.import_module(f"mvae_tf.commands.{name}")
    return _ended(name, lambda: command.main(flags))


def _ended(name, run) -> int:
    """Run and return the exit status that says how it ended."""
    program = f"{PROGRAM} {name}"
    try:
        try:
            run()
        except HelpShown:
            pass
        finally:
            sys.stdout.flush()
        return DONE
    except BrokenPipeError:
        streams.finish(sys.stdout)  # whoever reads has seen enough, as `head` has
        return DONE
    except UsageError as error:
        _say(program, f"{error}\nSee {program} --help.")
        return USAGE
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        _say(program, "\n".join([TOLD[number], *getattr(stop, "__notes__", [])]))
        return STATUS[number]
    except Exception as error:
        if _is_too_large(error):
            _say(
                program,
                "Expected enough memory. Received: too little. Fewer images at a time take less, "
                "and so do smaller networks.",
            )
            return FAILED
        if not _is_foreseen(error):
            raise
        if isinstance(error, OSError):
            streams.finish(sys.stdout)  # perhaps it is stdout that can't be written
        _say(program, str(error) or type(error).__name__)
        return FAILED


def _is_foreseen(error):
    # Our own refusals begin like this; any other ValueError is a mistake, and shows its traceback.
    ours = isinstance(error, ValueError) and str(error).startswith("Expected ")
    return ours or isinstance(error, _FORESEEN)


def _is_too_large(error):
    """Return whether TensorFlow, which need not have started, or NumPy found too little memory."""
    if isinstance(error, MemoryError):
        return not str(error).startswith("Expected ")  # ours say more
    tf = sys.modules.get("tensorflow")
    exhausted = tf is not None and isinstance(error, tf.errors.ResourceExhaustedError)
    return exhausted and not files.is_full(error)


def _say(program, text):
    if sys.stderr is None:
        return
    try:
        print(f"{program}: {text}", file=sys.stderr, flush=True)
    except OSError:  # where stderr can't be written, the exit status has to do
        streams.finish(sys.stderr)


def _help():
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}   {text}" for name, text in COMMANDS.items()]
    return _HELP.format(commands="\n".join(lines))
