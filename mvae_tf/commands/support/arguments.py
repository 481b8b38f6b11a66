"""Flags: each command has a set of its own, defined when it starts and gone when it ends."""

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

_LARGEST_FLOAT32 = 3.4028234e38

PROGRAM = "mvae-tf"  # the script that an installation puts beside Python


class CommandError(Exception):
    """What went wrong, in one or a few plain lines for the user."""


class UsageError(CommandError):
    """The flags are wrong, or contradict each other or the run they are for."""


class HelpShown(Exception):  # noqa: N818
    """Help was asked for and printed: there is nothing else to do."""


def parse(
    description: str, define: Callable[[flags.FlagValues], None], argv: Sequence[str]
) -> flags.FlagValues:
    """Return the flags of a command; --help prints them instead.

    Args:
        description: The command's docstring, printed above its flags.
        define: Defines the flags.
        argv: What stands behind the command's name.

    Raises:
        HelpShown: --help was given.
        UsageError: a flag is unknown, misses or has a wrong value, or there is more than flags.
    """
    values = flags.FlagValues()
    define(values)
    if {"--help", "-help", "-h", "--helpfull"} & set(argv):
        print(description.strip(), "", "flags:", "", *_described(values), sep="\n")
        raise HelpShown
    try:
        _, *others = values(["", *argv])
    except flags.Error as error:
        raise UsageError(_refusal(error, values)) from None
    if others:
        raise UsageError(f"Expected flags, such as --name=value. Received: {' '.join(others)}.")
    return values


def _refusal(error, values):
    """Return what absl says of a wrong flag in the form of all our refusals."""
    if isinstance(error, flags.UnrecognizedFlagError):
        close = re.search(r"Did you mean: ([^?]*[^? ])", str(error))
        hint = f" Did you mean --{close[1].replace(', ', ', --')}?" if close else ""
        return f"Expected a flag of this command. Received: --{error.flagname}.{hint}"
    wrong = re.fullmatch(r"flag --(\w+)=(.*?): (.*)", str(error), re.DOTALL)
    if wrong is None:  # "Missing value for flag --name"
        named = re.search(r"--(\w+)", str(error))
        name = named[1] if named else "name"
        return f"Expected --{name}=VALUE. Received: no value."
    name, value, reason = wrong.groups()
    flag = values[name]
    if value == "None" and flag.default is None and "other than None" in reason:
        text = flag.help.rstrip(".")
        return f"Expected --{name}, {text[0].lower()}{text[1:]}. Received: none."
    if flag.boolean:
        expected = "true or false"
    elif getattr(flag.parser, "enum_values", None):
        expected = f"one of {', '.join(flag.parser.enum_values)}"
    else:
        expected = flag.parser.syntactic_help or reason
    return f"Expected --{name} to be {expected}. Received: --{name}={value}."


def path(name: str, text: str) -> Path:
    """Return a flag's value as a path, ~ expanded.

    Raises:
        UsageError: it is empty, or begins with the home of a user that isn't there.
    """
    if not text:
        raise UsageError(
            f"Expected --{name} to be a path. Received: --{name}= without one; the current folder "
            "is '.'."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            f"Expected --{name} to be a path. Received: {text}, of a user who has no home here. "
            "(A file whose name begins with ~ takes ./ before it.)"
        ) from None


def _described(values):
    """Yield the flags' help, in the order of their definition."""
    for defined in values.flags_by_module_dict().values():
        for flag in defined:
            default = "" if flag.default in (None, False) else f" (default: {flag.default})"
            value = "" if flag.boolean else "=..."
            yield f"  --{'[no]' if flag.boolean else ''}{flag.name}{value}"
            text = textwrap.wrap(flag.help + default, 88)
            yield textwrap.indent("\n".join(text), 8 * " ")


def define_data(values: flags.FlagValues, default: str = "") -> None:
    """Define the flags that say which images a command works on."""
    described = (
        "A named dataset (mnist, fashion_mnist, cifar10, digits, patches), tfds:NAME for any of "
        "TensorFlow Datasets, an .npz or .npy file, or a folder of images."
    )
    flags.DEFINE_string("data", None, f"{described}{default}", flag_values=values)
    flags.DEFINE_string(
        "data_dir", None, "Where downloads are kept (~/tensorflow_datasets).", flag_values=values
    )
    flags.DEFINE(
        ImageSize(),
        "image_size",
        None,
        "The size to which the images of a folder are resized.",
        flag_values=values,
    )
    define_number(
        values,
        "test_fraction",
        "The part of your own images that is held out, where they come without a test part "
        "(default: 0.1).",
    )
    flags.DEFINE_bool(
        "stream",
        None,
        "Read the images of a folder when they are needed, rather than all into memory. The "
        "results are the same (default: where they would take half of the free memory).",
        flag_values=values,
    )
    flags.DEFINE_string(
        "cache",
        None,
        "A folder in which the images of a streamed folder are kept as they are trained on, so "
        "that each file is decoded once.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "skip_unreadable",
        None,
        "Pass over the files of a folder that can't be read, and count them.",
        flag_values=values,
    )


def define_model(values: flags.FlagValues) -> None:
    """Define --model."""
    flags.DEFINE_string(
        "model", None, "A run folder or a .keras file.", required=True, flag_values=values
    )


def define_images(values: flags.FlagValues, default_count: str = "all of them") -> None:
    """Define the flags that say which images a trained model is used on."""
    define_data(
        values,
        " Or one image. Size and channels become the model's: grey in each channel makes colour, "
        "0.299 red + 0.587 green + 0.114 blue makes grey. Default: the run's own.",
    )
    flags.DEFINE_enum(
        "part",
        None,
        ["test", "train", "all"],
        "Which images of the data. Default: the test images of the run's own data, and of data "
        "with a test part; all of any other.",
        flag_values=values,
    )
    define_integer(
        values,
        "count",
        None,
        f"How many images: the first ones, or of all classes where they come class by class. "
        f"Default: {default_count}.",
    )


def define_seed(values: flags.FlagValues, text: str) -> None:
    """Define --seed, 0 by default."""
    define_integer(values, "seed", 0, text, least=0)


def define_integer(
    values: flags.FlagValues,
    name: str,
    default: int | None,
    text: str,
    *,
    least: int = 1,
    most: int = 2**31 - 1,
) -> None:
    """Define a flag that is an integer, by default of at least 1."""
    flags.DEFINE(_Integer(least, most), name, default, text, flag_values=values)


def define_number(values: flags.FlagValues, name: str, text: str, *, zero: bool = True) -> None:
    """Define a flag that is a finite number of at least 0, or above it; without a default."""
    flags.DEFINE(_Number(zero), name, None, text, flag_values=values)


class _Integer(flags.ArgumentParser):
    def __init__(self, least, most):
        self._least, self._most = least, most
        self.syntactic_help = f"an integer from {least} to {most:,}"

    def parse(self, argument):
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", str(argument)):
            raise ValueError(f"expected {self.syntactic_help}")
        if not self._least <= int(argument) <= self._most:
            raise ValueError(f"expected {self.syntactic_help}")
        return int(argument)


class _Number(flags.ArgumentParser):
    def __init__(self, zero):
        self._zero = zero
        self.syntactic_help = f"a finite number {'of at least' if zero else 'above'} 0"

    def parse(self, argument):
        number = float(argument)
        # Finite also in what a model computes in.
        if not math.isfinite(number) or not 0 <= number <= _LARGEST_FLOAT32:
            raise ValueError(f"expected {self.syntactic_help}")
        if number == 0 and not self._zero:
            raise ValueError(f"expected {self.syntactic_help}")
        return number


class ImageSize(flags.ArgumentParser):
    """HEIGHTxWIDTH, as [height, width]."""

    syntactic_help = "HEIGHTxWIDTH, such as 64x48"

    def parse(self, argument):
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", argument)
        if match is None:
            raise ValueError(f"expected {self.syntactic_help}")
        return [int(match[1]), int(match[2])]


class WholeNumbers(flags.ArgumentParser):
    """Numbers from 1, separated by commas, as a list."""

    syntactic_help = "whole numbers from 1, separated by commas"

    def parse(self, argument):
        if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", argument):
            raise ValueError(f"expected {self.syntactic_help}")
        return [int(number) for number in argument.split(",")]


class Names(flags.ArgumentParser):
    """A name, or several, separated by commas, as a list."""

    syntactic_help = "a name, or names separated by commas"

    def parse(self, argument):
        if not re.fullmatch(r"[a-z]\w*(,[a-z]\w*)*", argument, re.ASCII):
            raise ValueError(f"expected {self.syntactic_help}")
        names = argument.split(",")
        return names if len(names) > 1 else names[0]
