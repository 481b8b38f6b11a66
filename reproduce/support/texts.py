"""What the scripts' texts share: tables, where a result comes from, on what it was measured."""

import shlex

from tqdm import tqdm

from mvae_tf import presets
from mvae_tf.datasets.splits import TEST_IMAGES
from support.environments import listed, machines
from support.rows import OWN
from support.study import READINGS, reading_of

# For the texts of results in which they stand beside the paper's.
BEST_MNIST = """\
`best_mnist`: our own settings, chosen on training images held out (search_mnist.py); network sizes
are the paper's, epochs those of the other rows."""


def markdown_table(header: list[str], rows: list[list[str]], words: bool = False) -> str:
    """Return a Markdown table whose columns are aligned as plain text too.

    Args:
        header: Of its columns; the first names the rows.
        rows: Of cells.
        words: Whether the others hold words, aligned to the left, in place of numbers.
    """
    cells = [header, *rows]
    # A rule has at least one dash beside its colon.
    widths = [max(2, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row):
        first, *others = zip(row, widths, strict=True)
        align = str.ljust if words else str.rjust
        padded = [first[0].ljust(first[1]), *(align(cell, width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    dashes = ["-" * (width - 1) for width in widths]
    rule = [f":{dashes[0]}", *(f":{each}" if words else f"{each}:" for each in dashes[1:])]
    return "\n".join([line(header), f"| {' | '.join(rule)} |", *map(line, rows)])


def origin(result: dict) -> str:
    """Return the last lines of a result's text: how it came about."""
    environment, seeds = result["environment"], result["settings"]["seeds"]
    training = result["settings"]["training"]
    epochs = training.get("epochs")
    dataset = result["dataset"]
    each = "" if epochs is None else f"{epochs}{_of_the_papers(epochs, dataset)} epochs, "
    tested = dataset.get("test", TEST_IMAGES)
    stands_in = "" if tested == TEST_IMAGES else f"\nTested on: {tested}."
    return f"""\
Rebuilt by `{result["command"]}`: {tqdm.format_interval(result["elapsed_seconds"])} ([h:]mm:ss)
of training and evaluation on {listed(machines(result))}, \
{training["precision"]}, TensorFlow {environment["packages"]["tensorflow"]};
{each}seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}\
{_of_own_seeds(result)}. \
Data: {dataset["name"]}, {dataset["source"]}.{stands_in}"""


def beside_stored(result: dict, rows: list[str]) -> str:
    """Return the command by which rows that were not run join a result: made in the same way."""
    made = [each for each in shlex.split(result["command"]) if not each.startswith("--rows=")]
    return shlex.join([*made, f"--rows={','.join(rows)}", "--add"])


def _of_own_seeds(result):
    """Return how the command names rows of other seeds, where there are such."""
    return f" (a row with {OWN}: those after it)" if OWN in result["command"] else ""


def _of_the_papers(epochs, dataset):
    """Return the epochs of which these are a part; on CIFAR-10 the paper gives no number."""
    whole = presets.get("paper_mnist").epochs
    return f" of the paper's {whole}" if dataset["name"] == "mnist" and epochs < whole else ""


def of_reading(result: dict) -> str:
    """Return what a heading adds where a result is of another reading than the usual one."""
    reading = reading_of(result)
    return "" if reading == READINGS[0] else f", in the reading `{reading}`"


def heading(dataset: dict) -> str:
    """Return what a result was measured on, for its first line."""
    if dataset["name"] != "cifar10":
        return f"{dataset['name']} of photographs, not CIFAR-10"
    stands_in = "" if dataset["test"] == TEST_IMAGES else f" ({dataset['test']})"
    return f"CIFAR-10{stands_in}"


def tested_images(dataset: dict) -> str:
    """Return how many images a result was measured on, and which."""
    of = "" if dataset["test"] == TEST_IMAGES else "images of "
    return f"{dataset['test_images']:,} {of}{dataset['test']}"
