"""The rule by which claims are judged.

It was written down when the first seed of each result, and three of Table II and Figure 2, were
known; what was added since, and when, the report says.

A claim is one comparison or several, each a difference that it says is above 0, measured once a
seed, on models of that seed:

- A claim that one thing is better than another: how much better it is.
- That it is better than each of several: than the best of them, which is chosen anew for each seed
  by the measure itself. That is to the claim's disadvantage.
- Of growth or decline over K: the linear contrast, here the slope of the least-squares line over K.
- Of a printed number: how far ahead of it we are, its rounding allowed for.

Of each, the 95 % interval of the mean over seeds is the t interval of the paired differences; of a
mixture and an ensemble, none of whose VAEs of several seeds is that mixture's counterpart, Welch's
of the difference of their means: which would be paired with which is arbitrary. The claim is
supported if each of its intervals lies above 0, contradicted if one of them lies below 0, and
undecided otherwise. One seed has no interval: always undecided, and so is what is no finite number
for one of the seeds, such as the error of a training that diverged. Nothing is corrected for the
number of comparisons: a claim of several is supported no more often by chance for it, but
contradicted up to as many times as often. A verdict is of the reading and the settings that stand
beside it, and of nothing else.
"""

import math
import operator
import statistics
from collections.abc import Collection, Sequence
from typing import NamedTuple

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_RUN = "not run"
NONE_IN_COMMON = f"{UNDECIDED} (no seed in common)"
_LEVEL = 0.95
_ROUNDING = 0.005  # of numbers printed with two decimals


class Interval(NamedTuple):
    """A mean over seeds and its 95 % interval.

    Attributes:
        mean: The mean; NaN where a seed has no finite number.
        half: Half the interval's width; infinite where there is none: of one seed, of such as are
            alike, or then.
        count: Of the seeds.
    """

    mean: float
    half: float
    count: int = 1

    def told(self, digits: int) -> str:
        """Return it as text: 0.50 (0.01 to 0.99)."""
        if math.isinf(self.half):
            return f"{self.mean:z.{digits}f}"
        ends = (f"{self.mean + sign * self.half:z.{digits}f}" for sign in (-1, 1))
        return f"{self.mean:z.{digits}f} ({' to '.join(ends)})"


def interval(differences: Sequence[float], overlap: float = 0.0) -> Interval:
    """Return the mean of the seeds' differences, with the paired t interval.

    Args:
        differences: One a seed.
        overlap: How alike the seeds are: the mean correlation of two of them, 0 where all that
            belongs to one was made for it alone. Correlated by r, n values deviate from their mean
            by a factor 1 - r too little, and their mean by a factor 1 + (n - 1) r more than it
            would be thought to: squares both.
    """
    if not all(map(math.isfinite, differences)):
        return Interval(math.nan, math.inf, len(differences))
    count, mean = len(differences), statistics.fmean(differences)
    if count < 2 or overlap >= 1:
        return Interval(mean, math.inf, count)
    half = t_quantile(count - 1) * _error(differences) * _wider(count, overlap)
    return Interval(mean, half, count)


def unpaired(first: Sequence[float], second: Sequence[float], overlap: float = 0.0) -> Interval:
    """Return the difference of two means over seeds, first - second, with Welch's t interval.

    For what is no counterpart of each other by seed, so that any pairing would be arbitrary.

    Args:
        first: One value a seed.
        second: Likewise, of as many seeds or others.
        overlap: How alike the second's seeds are, as for `interval`.
    """
    return _of_means([1, -1], [first, second], [1, _wider(len(second), overlap)])


def _of_means(weights, measured, wider):
    """Return a weighted sum of means, with the t interval of Welch and Satterthwaite.

    `wider`: by what each mean's standard error is larger than that of seeds which share nothing.
    """
    counts = [len(each) for each in measured]
    if not all(math.isfinite(value) for each in measured for value in each):
        return Interval(math.nan, math.inf, min(counts))
    mean = sum(map(operator.mul, weights, map(statistics.fmean, measured)))
    if min(counts) < 2 or any(map(math.isinf, wider)):
        return Interval(mean, math.inf, min(counts))
    plain = [abs(weight) * _error(each) for weight, each in zip(weights, measured, strict=True)]
    if not any(plain):
        return Interval(mean, 0.0, min(counts))
    errors = [*map(operator.mul, plain, wider)]
    # The fewer: a wider side that comes to weigh as much as the other made intervals narrower.
    freedom = min(_freedom(each, counts) for each in (plain, errors))
    return Interval(mean, t_quantile(freedom) * math.hypot(*errors), min(counts))


def _error(values):
    """Return the standard error of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values))


def _freedom(errors, counts):
    """Return Welch's degrees of freedom of means with these standard errors."""
    squares = [(error / max(errors)) ** 2 for error in errors]
    parts = (square**2 / (count - 1) for square, count in zip(squares, counts, strict=True))
    return sum(squares) ** 2 / sum(parts)


def _wider(count, overlap):
    if overlap >= 1:
        return math.inf
    return math.sqrt((1 + (count - 1) * overlap) / (1 - overlap))


def ahead_of_print(printed: float, measured: Sequence[float], lowest: bool = False) -> Interval:
    """Return how far measured numbers are above (or below) one that is printed with two decimals.

    Args:
        printed: The number, whose rounding counts for the measured ones.
        measured: One a seed.
        lowest: Whether the lower is the better.
    """
    sign = -1 if lowest else 1
    return interval([sign * (each - printed) + _ROUNDING for each in measured])


def slopes(settings: Sequence[float], measured: Sequence[Sequence[float]]) -> list[float]:
    """Return the slope over settings of each seed's least-squares line.

    Args:
        settings: Such as K, [n].
        measured: For each setting, one value a seed, [n, seeds].
    """
    weights = _of_slope(settings)
    return [sum(map(operator.mul, weights, values)) for values in zip(*measured, strict=True)]


def slope(settings: Sequence[float], measured: Sequence[Sequence[float]]) -> Interval:
    """Return the slope over settings of the means over seeds, not paired, as `unpaired` is.

    With the t interval of Welch and Satterthwaite.

    Args:
        settings: Such as K, [n].
        measured: For each setting, its seeds' values; of one seed, or no finite number, there is
            no interval.
    """
    return _of_means(_of_slope(settings), measured, [1] * len(measured))


def _of_slope(settings):
    """Return the weights of the values of which a least-squares line's slope is the sum."""
    centre = statistics.fmean(settings)
    squares = sum((setting - centre) ** 2 for setting in settings)
    return [(setting - centre) / squares for setting in settings]


def best(measured: Collection[Sequence[float]], lowest: bool = False) -> list[float]:
    """Return each seed's highest (or lowest) value among several things'; NaN if one is.

    What is no number could have been the best.
    """
    return [
        math.nan if any(map(math.isnan, values)) else (min if lowest else max)(values)
        for values in zip(*measured, strict=True)
    ]


def minus(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Return first - second, seed by seed."""
    return [one - other for one, other in zip(first, second, strict=True)]


def verdict(comparisons: Sequence[Interval]) -> str:
    """Return what the rule says of a claim of these comparisons, with the reason where it's seeds.

    Raises:
        ValueError: There are none.
    """
    if not comparisons:
        raise ValueError("Expected one or more comparisons. Received: none.")
    if any(each.mean + each.half < 0 for each in comparisons):
        return CONTRADICTED
    if all(each.mean - each.half > 0 for each in comparisons):
        return SUPPORTED
    if any(math.isnan(each.mean) for each in comparisons):
        return f"{UNDECIDED} (no finite number)"
    without = [each.count for each in comparisons if math.isinf(each.half)]
    if not without:
        return UNDECIDED
    return f"{UNDECIDED} ({'one seed' if min(without) < 2 else 'seeds that are all alike'})"


def stated(claim: str, comparisons: Sequence[Interval], reading: str = "`paper_mnist`") -> str:
    """Return a claim and what the rule says of it, as a sentence.

    Args:
        claim: What follows "that".
        comparisons: Its own, as `verdict` takes them.
        reading: Of the paper's text, on which alone the verdict is.
    """
    return f"That {claim}: {verdict(comparisons)}, in this reading ({reading})."


def word(difference: Interval, above: str, below: str) -> str:
    """Return the one of two words that the rule gives to a difference, or that it is undecided."""
    found = verdict([difference])
    return {SUPPORTED: above, CONTRADICTED: below}.get(found, found)


def t_quantile(freedom: float) -> float:
    """Return the t below which |T| lies with a probability of 95 %."""
    import scipy.special  # a script starts at once

    return float(scipy.special.stdtrit(freedom, (1 + _LEVEL) / 2))
