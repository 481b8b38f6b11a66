"""Flags: each command has a set of its own, defined when it starts and gone when it ends."""

import re
import textwrap
from collections.abc import Callable, Sequence

from absl import flags

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
        raise UsageError(f"{error}.".replace("..", ".")) from None
    if others:
        raise UsageError(f"Expected flags, such as --name=value. Received: {' '.join(others)}.")
    return values


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
    flags.DEFINE_float(
        "test_fraction",
        None,
        "The part of your own images that is held out, where they come without a test part "
        "(default: 0.1).",
        flag_values=values,
    )


def define_model(values: flags.FlagValues) -> None:
    """Define --model."""
    flags.DEFINE_string(
        "model", None, "A run folder or a .keras file.", required=True, flag_values=values
    )


def define_part(values: flags.FlagValues) -> None:
    """Define --part."""
    flags.DEFINE_enum(
        "part", "test", ["test", "train"], "Which images of the data.", flag_values=values
    )


def define_seed(values: flags.FlagValues, text: str) -> None:
    """Define --seed, 0 by default."""
    flags.DEFINE_integer("seed", 0, text, lower_bound=0, upper_bound=2**31 - 1, flag_values=values)


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
