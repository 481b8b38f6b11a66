"""Mean and variance of dHSIC over all permutations of all variables but one, in closed form.

With a kernel matrix's mean a, what its rows' means have beyond it, r_i, and the rest C_ij, whose
rows and columns sum to 0, dHSIC is the mean over pairs of samples (i, j) of

    prod_k (a_k + r_k[i] + r_k[j] + C_k[i, j]) - prod_k (a_k + r_k[i]) - prod_k (a_k + r_k[j])
        + prod_k a_k.

In the product each variable gives one of four terms; S are those that give one with the index i,
r_i or C_ij, T those that give one with j. The products of which S or T is empty are what is taken
away, those in which one of them is a single variable sum to 0. So dHSIC is the sum over all S and T
of at least two variables. Its square has two pairs of indices. They may coincide in 15 ways, and in
any of them the variables are permuted independently of each other: the expectation is a product
over variables of one's expectation over distinct indices, summed over four sets, which is done
variable by variable in the sizes of the sets. No term is of a lower order in 1 - G than the result.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np

_MOST = 2  # Sizes of sets from here on are alike.


def moments(deficits: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance, over all permutations, of dHSIC, [...] each.

    Args:
        deficits: 1 - G_k, [..., n, n] with a diagonal of 0, of each of K variables, n >= 4. Leading
            axes are those of samples that have nothing to do with each other.
    """
    n = deficits[0].shape[-1]
    variables = [_Variable(each) for each in deficits]
    mean = _expectation(variables, n, 2)
    return mean, _expectation(variables, n, 4) - mean**2


def _expectation(variables, n, sets):
    """Return the expectation of dHSIC (2 sets, S and T) or of its square (4 sets)."""
    patterns = _patterns(sets)
    samples = np.shape(variables[0].a)
    total = np.zeros([_MOST + 1] * sets + [len(patterns), *samples])  # by the sets' sizes
    shares = np.array([_falling(n, max(each) + 1) / n**sets for each in patterns])
    total[(0,) * sets] = shares.reshape([-1] + [1] * len(samples))
    for variable in variables:
        added = np.zeros_like(total)
        for chosen in itertools.product((False, True), repeat=sets):
            values = [variable.expected(each, chosen) for each in patterns]
            values = np.stack(np.broadcast_arrays(*values, variable.a)[:-1])
            if np.any(values):
                added += values * functools.reduce(_grown, np.flatnonzero(chosen), total)
        total = added
    return total[(_MOST,) * sets].sum(axis=0)


def _grown(sums, axis):
    """Return sums by sizes when one set, that of the axis, gets another variable."""
    sums = np.moveaxis(sums, axis, 0)
    grown = np.stack([np.zeros_like(sums[0]), sums[0], sums[1] + sums[2]])
    return np.moveaxis(grown, 0, axis)


class _Variable:
    """Expectations of one variable's terms."""

    def __init__(self, deficits):
        rows = deficits.mean(axis=-1)
        mean = rows.mean(axis=-1)
        self.n, self.a, self.r = deficits.shape[-1], 1.0 - mean, mean[..., None] - rows
        self.c = rows[..., None] + rows[..., None, :] - mean[..., None, None] - deficits
        self._sums = {}

    def expected(self, pattern, chosen):
        """Return the expectation of a product of terms over distinct random indices.

        Args:
            pattern: For i, j, or i, j, i', j', which of the distinct indices each is.
            chosen: For each of them whether the variable is in its set.
        """
        total = sum(
            sign * self._sum(tuple(merged[each] for each in pattern), chosen)
            for merged, sign in _mergers(max(pattern) + 1)
        )
        return total / _falling(self.n, max(pattern) + 1)

    def _sum(self, pattern, chosen):
        """Return the same product's sum over all values of the indices, distinct or not."""
        if (pattern, chosen) not in self._sums:
            self._sums[pattern, chosen] = self._summed(pattern, chosen)
        return self._sums[pattern, chosen]

    def _summed(self, pattern, chosen):
        used = [index for index, is_in in zip(pattern, chosen, strict=True) if is_in]
        if any(used.count(index) == 1 for index in used):
            return 0.0  # C's rows and r sum to 0
        factor = float(self.n) ** (max(pattern) + 1 - len(set(used)))
        arrays, letters = [], []
        for start in range(0, len(pattern), 2):
            pair = [x for x in (start, start + 1) if chosen[x]]
            if not pair:
                factor = factor * self.a
                continue
            arrays.append(self.c if len(pair) == 2 else self.r)
            letters.append("..." + "".join("abcd"[pattern[x]] for x in pair))
        return factor * np.einsum(",".join(letters) + "->...", *arrays) if arrays else factor


@functools.cache
def _patterns(count):
    """Return all ways in which so many indices may coincide: for each the number of its value."""
    found = [(0,)]
    for _ in range(count - 1):
        found = [(*each, new) for each in found for new in range(max(each) + 2)]
    return found


@functools.cache
def _mergers(count):
    """Return ways to merge distinct indices, signed: their sum leaves the distinct ones alone."""
    return [
        (each, math.prod((-1) ** (size - 1) * math.factorial(size - 1) for size in _sizes(each)))
        for each in _patterns(count)
    ]


def _sizes(pattern):
    return [pattern.count(value) for value in set(pattern)]


def _falling(n, count):
    return math.perm(n, count)
