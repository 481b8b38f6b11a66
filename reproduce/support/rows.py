"""Rows of a result, of which --rows takes some: by --seeds each, or as NAME@0+1 by its own."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping

from mvae_tf.training import stored
from support.summaries import summary

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
        """Return the seeds of each of a result's rows, by name.

        Raises:
            ValueError: the result is damaged: as for `seeds_of`, or it has no row, or one twice, or
                one that it can't have.
        """
        rows = self.by_name(result)
        if not rows or len(rows) < len(result["rows"]):
            raise ValueError("Expected rows, each once. Received: none, or one several times.")
        if unknown := set(rows) - set(self.names):
            raise ValueError(f"Expected rows among {', '.join(self.names)}. Received: {unknown}.")
        for row in rows.values():
            stored.require(row, {"epochs?": stored.SIZE})
        return {name: seeds_of(result, row) for name, row in rows.items()}


def seeds_of(result: Mapping, row: Mapping) -> list[int]:
    """Return the seeds of one of a result's rows.

    Raises:
        ValueError: the result is damaged: they are no different integers, or not as many as the
            row's measures are of, or such a measure is none.
    """
    seeds = row.get("seeds", result["settings"]["seeds"])
    are_seeds = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    if not are_seeds or len(set(seeds)) < len(seeds) or not seeds:
        raise ValueError(f"Expected seeds of a row, each once. Received: {seeds!r}.")
    require_measures(row, {len(seeds)})
    return seeds


def require_measures(value: Mapping, counts: Collection[int], beside: Collection[str] = ()) -> None:
    """Refuse summaries in a result, or a part of it, that are not of so many seeds.

    Args:
        value: The result, or the part.
        counts: Of seeds.
        beside: Names of parts that are of other seeds.

    Raises:
        ValueError: the result is damaged.
    """
    for each in _summaries(value, beside):
        values = each["per_seed"]
        are_numbers = isinstance(values, list) and {*map(type, values)} <= {int, float}
        if not are_numbers or len(values) not in counts:
            told = " or ".join(map(str, sorted(counts)))
            raise ValueError(f"Expected measures of {told} seeds. Received: {values!r}.")


def require_means(result: Mapping) -> None:
    """Refuse a result in which a mean or a deviation is not that of the numbers beside it.

    Raises:
        ValueError: the result is damaged.
    """
    for each in _summaries(result):
        expected = summary(each["per_seed"])
        if not all(_are_alike(each[name], expected[name]) for name in ("mean", "std")):
            raise ValueError(f"Expected {expected}. Received: {each}.")


def require_parts(present: Collection[str], wanted: Collection, only: bool = False) -> None:
    """Refuse a result in which a part is missing that its script always measures: a model, a K.

    What is left would be told, and judged, as the whole.

    Args:
        present: The names there are.
        wanted: Those there have to be.
        only: Whether there must be no others, and none of them twice.

    Raises:
        ValueError: the result is damaged.
    """
    present, wanted = list(present), set(map(str, wanted))
    there = set(present)
    if wanted - there or (only and (there - wanted or len(there) < len(present))):
        raise ValueError(f"Expected {sorted(wanted)}. Received: {sorted(present)}.")


def require_images(indices: list[int], count: int) -> None:
    """Refuse a result in which images are missing, or twice, of those that its picture shows.

    Args:
        indices: Of its images.
        count: Of those there have to be.

    Raises:
        ValueError: the result is damaged.
    """
    are_indices = isinstance(indices, list) and {*map(type, indices)} == {int}
    if not are_indices or len(set(indices)) < len(indices) or len(indices) != count:
        raise ValueError(f"Expected {count} images, each once. Received: {indices}.")


def common_seeds(result: Mapping, rows: Rows | None = None, usual: Collection[str] = ()) -> list:
    """Return the seeds that the usual rows of a result have all; without such, the result's.

    Args:
        result: Of any script.
        rows: Those that it can have.
        usual: Of these, by name; further ones have what seeds they were given.

    Raises:
        ValueError: the result is damaged, as for `seeds_of`.
    """
    seeds = {} if rows is None else rows.seeds(result)
    return _in_all([seeds[name] for name in usual if name in seeds] or [seeds_of(result, {})])


def of_common_seeds(result: Mapping, rows: Collection[Mapping]) -> list[dict] | None:
    """Return rows with their measures of the seeds that all of them have alone, to be compared.

    None where they have no seed in common.

    Args:
        result: Of which the rows are.
        rows: Those to be compared.
    """
    shared = _in_all([seeds_of(result, row) for row in rows])
    return [_cut(row, seeds_of(result, row), shared) for row in rows] if shared else None


def _cut(row, seeds, shared):
    places = [seeds.index(seed) for seed in shared]
    cut = {
        name: value | summary([value["per_seed"][place] for place in places])
        for name, value in row.items()
        if isinstance(value, dict) and "per_seed" in value
    }
    return row | cut | {"seeds": shared}


def _are_alike(stored, expected):
    if stored is None or expected is None:
        return stored is expected
    both_nan = math.isnan(stored) and math.isnan(expected)
    return both_nan or math.isclose(stored, expected, rel_tol=1e-9, abs_tol=1e-12)


def _summaries(value, beside=()):
    """Return the summaries in a row, however deep; those that have lost their values as well."""
    if isinstance(value, dict):
        if "per_seed" in value or not isinstance(value.get("mean", {}), dict):
            return [value]
        value = [part for name, part in value.items() if name not in beside]
    parts = value if isinstance(value, list) else ()
    return [each for part in parts for each in _summaries(part, beside)]


def _in_all(lists):
    first, *others = lists
    return [each for each in first if all(each in other for other in others)]
