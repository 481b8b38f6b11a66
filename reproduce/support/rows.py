"""Rows of a result, of which --rows takes some: by --seeds each, or as NAME@0+1 by its own."""

import dataclasses
from collections.abc import Callable, Collection, Mapping

OWN = "@"  # between a row's name and its own seeds


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows that a result can have.

    Attributes:
        names: All, as they are to stand.
        by_name: Returns a result's rows by these names.
        usual: Takes a preset, and a reading that isn't the usual one; returns the rows taken
            without --rows. None: all.
        own_seeds: Whether a row may have seeds of its own, "seeds" in it: where nothing beside the
            rows depends on seeds.
    """

    names: Collection[str]
    by_name: Callable[[dict], dict]
    usual: Callable[..., Collection[str]] | None = None
    own_seeds: bool = False

    def named(self, result: Mapping) -> list[str]:
        """Return a result's rows as --rows takes them, beside the result's seeds as --seeds."""
        whole = result["settings"]["seeds"]
        return [
            name if seeds == whole else f"{name}{OWN}{'+'.join(map(str, seeds))}"
            for name, seeds in self.seeds(result).items()
        ]

    def seeds(self, result: Mapping) -> dict[str, list[int]]:
        """Return the seeds of each of a result's rows, by name."""
        return {name: seeds_of(result, row) for name, row in self.by_name(result).items()}


def seeds_of(result: Mapping, row: Mapping) -> list[int]:
    """Return the seeds of one of a result's rows."""
    return row.get("seeds", result["settings"]["seeds"])


def common_seeds(result: Mapping) -> list[int]:
    """Return the seeds that all rows of a result have; those of the result where it has none."""
    rows = result.get("rows")  # of a script's own form, which is not known here
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    whole = result["settings"].get("seeds", [])  # damaged: none
    return _in_all([whole, *(row.get("seeds", whole) for row in rows)])


def paired(result: Mapping, rows: Collection[Mapping], measure: str) -> list[list[float]]:
    """Return a measure of rows by the seeds that all of them have, [rows][seeds], for comparisons.

    Args:
        result: Of which the rows are.
        rows: Those to be compared.
        measure: The name of a `summary` in them.
    """
    shared = _in_all([seeds_of(result, row) for row in rows])
    by_seed = [
        dict(zip(seeds_of(result, row), row[measure]["per_seed"], strict=True)) for row in rows
    ]
    return [[values[seed] for seed in shared] for values in by_seed]


def _in_all(lists):
    first, *others = lists
    return [each for each in first if all(each in other for other in others)]
