"""One number over several seeds."""

import math
import statistics


def summary(values: list[float]) -> dict:
    """Return mean, sample deviation (None of one value) and the values seed by seed.

    The deviation is NaN where a value isn't finite, as after a training that diverged.
    """
    values = [float(value) for value in values]
    std = None
    if len(values) > 1:
        std = statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
    return {"mean": statistics.fmean(values), "std": std, "per_seed": values}


def over_seeds(values: list) -> dict:
    """Return a `summary` of each number in nested dicts, one dict a seed.

    Of what only some seeds have, theirs alone.
    """
    if not isinstance(values[0], dict):
        return summary(values)
    names = dict.fromkeys(name for each in values for name in each)
    return {name: over_seeds([each[name] for each in values if name in each]) for name in names}


def format_summary(values: dict, digits: int) -> str:
    """Return a `summary` as text, with its deviation where there is one."""
    text = f"{values['mean']:.{digits}f}"
    return text if values["std"] is None else f"{text} ± {values['std']:.{digits}f}"
