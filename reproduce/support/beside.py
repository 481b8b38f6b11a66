"""What stands beside a result in its text: controls of its mixtures, where they were run."""

from collections.abc import Mapping

import controls
from mvae_tf.training import stored
from mvae_tf.training.version import recorded
from support.environments import listed
from support.rows import seeds_of
from support.summaries import format_summary

# Of the data of two results whose models are to be held against each other.
_SAME = ("digest", "train_images", "test")
# What the tables have themselves.
_OWN = (controls.MIXTURE, controls.COMPONENTS, controls.VAE)


def of_mixture(
    result: Mapping,
    found: Mapping | None,
    num_components: int,
    epochs: int | None,
    reading: str = "paper_mnist",
) -> dict[str, dict]:
    """Return the controls of one of a result's mixtures, by their names: measures, `summary`s.

    Args:
        result: In whose text they are to stand.
        found: The result of controls.py in the same folder, or None.
        num_components: The mixture's.
        epochs: For which it was trained.
        reading: The preset that it is of.

    Returns:
        Those of the same reading, number of components, epochs, data and version of training; none
        where there are no such. The mixture, its components and the usual VAE are left out.
    """
    if found is None or epochs is None or not _has_form(found) or not are_alike(result, found):
        return {}
    if found["settings"].get("training", {}).get("epochs") != epochs:
        return {}
    for row in found["rows"]:
        if (row["reading"], row["num_components"]) == (reading, num_components):
            return {name: each for name, each in controls.in_order(row).items() if name not in _OWN}
    return {}


def are_alike(result: Mapping, found: Mapping) -> bool:
    """Return whether two results are of the same data, which both tell, and version of training."""
    one, other = ([recorded(each), *map(each["dataset"].get, _SAME)] for each in (result, found))
    return one == other and result["dataset"].get("digest") is not None


def _has_form(found):
    try:
        stored.require(found, {"settings": {}, "dataset": {}})
    except ValueError:
        return False
    return isinstance(found.get("rows"), list)


def cell(measured: Mapping, name: str, digits: int = 2) -> str:
    """Return one of a control's measures as a table has it."""
    return format_summary(measured[name], digits) if name in measured else "-"


def told(found: Mapping) -> str:
    """Return what a text has to say of the controls in its tables."""
    return (
        f"Controls, in italics: {_seeds(found)}, {found['settings']['training']['precision']}; "
        "[what each is, and how far the mixture is ahead](controls.md)."
    )


def _seeds(found):
    """Return the seeds of the controls, by the mixture where they differ."""
    by_mixture = {
        f" of {row['reading']} with K = {row['num_components']}": seeds_of(found, row)
        for row in found["rows"]
    }
    whole = found["settings"]["seeds"]
    if all(seeds == whole for seeds in by_mixture.values()):
        by_mixture = {"": whole}
    return "; ".join(
        f"seed{'s' * (len(seeds) > 1)} {listed([*map(str, seeds)])}{of}"
        for of, seeds in by_mixture.items()
    )
