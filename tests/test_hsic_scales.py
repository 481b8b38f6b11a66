"""dHSIC and its bandwidths at any scale, and with samples far from the others."""

import functools

import numpy as np
import pytest
import scipy.spatial
import tensorflow as tf
from test_hsic import draw, kernel

from mvae_tf.hsic import blocks, deficits, dhsic, dhsic_test, gaussian_kernel, median_bandwidth
from mvae_tf.hsic.deficits import pulls


def exact(variables, sigmas):
    """Eq. 13 in as many digits as it takes, which differences of kernels near 1 need."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(400):
        count = len(variables[0])
        kernels = []
        for variable, sigma in zip(variables, sigmas, strict=True):
            rows = [[mpmath.mpf(float(value)) for value in row] for row in variable]
            squared = [
                [sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows] for x in rows
            ]
            kernels.append(
                [[mpmath.exp(-s / (2 * mpmath.mpf(sigma) ** 2)) for s in row] for row in squared]
            )
        pairs = list(np.ndindex(count, count))
        joint = sum(mpmath.fprod(k[i][j] for k in kernels) for i, j in pairs) / count**2
        means = mpmath.fprod(
            sum(k[i][j] for i, j in pairs) / mpmath.mpf(count) ** 2 for k in kernels
        )
        cross = (
            sum(mpmath.fprod(sum(k[i]) / mpmath.mpf(count) for k in kernels) for i in range(count))
            / count
        )
        return float(joint + means - 2 * cross)


@pytest.mark.parametrize("scale", [0.05, 1.0])  # by deficits, by kernels
def test_more_variables_after_fewer(scale, monkeypatch):
    """Sums over blocks are traced once for all sizes; how many variables there are is no size."""

    def value_and_gradients(variables):
        variables = [tf.constant(variable) for variable in variables]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = dhsic(variables, [1.0] * len(variables))
        return [value, *tape.gradient(value, variables)]

    cases = [[scale * each for each in draw(n, [2] * k)] for k, n in ((3, 20), (4, 25), (2, 30))]
    whole = [value_and_gradients(case) for case in cases]
    monkeypatch.setattr(blocks, "BLOCK", 8)
    for case, expected in zip(cases, whole, strict=True):
        for ours, theirs in zip(value_and_gradients(case), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-16)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e-3, 0.05, 1.0, 50.0, 1e6, 1e150])
def test_is_right_at_any_scale(scale):
    for dimensions in ([2, 2], [2, 2, 2], [1, 3, 2]):
        variables = [scale * variable for variable in draw(7, dimensions)]
        sigmas = [0.8, 1.1, 1.5][: len(dimensions)]
        expected = exact(variables, sigmas)
        assert expected != 0
        assert float(dhsic(variables, sigmas)) == pytest.approx(expected, rel=1e-9)
        if 1e-7 < scale < 1e10:
            narrow = [variable.astype(np.float32) for variable in variables]
            expected = exact(narrow, sigmas)
            for compiled in (False, True):
                value = float(dhsic(narrow, sigmas, compiled=compiled))
                assert value == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sample_far_away_costs_the_others_no_digit(dtype, compiled):
    variables = [variable.astype(dtype) for variable in draw(40, [2, 2, 2])]
    for variable, far in zip(variables, (3e3, 1e10, 1e20), strict=True):
        variable[3] = far
    wide = [variable.astype(np.float64) for variable in variables]
    kernels = [kernel(variable, 1.5) for variable in wide]  # SciPy takes differences
    rows = [each.mean(1) for each in kernels]
    expected = functools.reduce(np.multiply, kernels).mean()
    expected += (
        np.prod([row.mean() for row in rows]) - 2 * functools.reduce(np.multiply, rows).mean()
    )
    value = float(dhsic(variables, [1.5] * 3, compiled=compiled))
    assert value == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-9)


def in_long_double(variables, sigmas, weights=None):
    """Eq. 13 and its gradients by definition, in long double's 19 digits."""
    variables = [np.asarray(each, np.longdouble) for each in variables]
    shares = (
        np.ones(len(variables[0]), np.longdouble) if weights is None else np.longdouble(weights)
    )
    shares = shares / shares.sum()
    apart = [each[:, None] - each for each in variables]
    scaled = [d / np.longdouble(sigma) for d, sigma in zip(apart, sigmas, strict=True)]
    kernels = [np.exp(-(d**2).sum(axis=2) / 2) for d in scaled]
    rows = [each @ shares for each in kernels]
    means = [each @ shares for each in rows]
    value = shares @ np.prod(kernels, axis=0) @ shares + np.prod(means)
    value -= 2 * shares @ np.prod(rows, axis=0)
    gradients = []
    for k, sigma in enumerate(sigmas):
        joint, row, mean = (np.prod(np.delete(x, k, 0), 0) for x in (kernels, rows, means))
        forces = kernels[k] * (joint + mean - row[:, None] - row) * np.outer(shares, shares)
        pulls = -2 * np.einsum("ij,ijd->id", forces, scaled[k]) / sigma
        gradients.append(pulls.astype(np.float64))
    return float(value), gradients


def assert_right(variables, sigmas, weights=None, *, compiled, rel):
    expected, of_each = in_long_double(variables, sigmas, weights)
    variables = [tf.constant(each) for each in variables]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = dhsic(variables, sigmas, weights=weights, compiled=compiled)
    assert float(value) == pytest.approx(expected, rel=rel)
    for ours, theirs in zip(tape.gradient(value, variables), of_each, strict=True):
        assert np.abs(ours - theirs).max() <= rel * np.abs(theirs).max()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_samples_away_from_many_that_are_close_cost_no_digit(weighted, compiled, monkeypatch):
    """In float32 all other kernels are 1 but for a few digits."""
    if not compiled:  # XLA has all pairs in one block
        monkeypatch.setattr(blocks, "BLOCK", 20)
    rng = np.random.default_rng(0)
    weights = np.r_[[0.0] * 3, rng.uniform(1e-3, 1, size=57)] if weighted else None
    for jitter, far in [(0.0, 1.0), (1e-3, 3.0), (1e-2, 80.0), (0.1, 0.0), (0.3, 0.0), (1.0, 0.0)]:
        variables = [(jitter * rng.normal(size=[60, 2])).astype(np.float32) for _ in range(2)]
        for variable in variables:
            variable[7] += far
        assert_right(variables, [1.0, 1.0], weights, compiled=compiled, rel=2e-4)


@pytest.mark.parametrize("block", [16, 512])
@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_is_right_where_all_samples_are_far_apart(compiled, block, monkeypatch):
    """Kernels are near 0 but for each sample's own, 1, which the gradient knows nothing of."""
    monkeypatch.setattr(blocks, "BLOCK", block)
    variables = [variable.astype(np.float32) for variable in draw(60, [20, 20, 20])]
    for sigma in (1.5, 1.0):
        assert_right(variables, [sigma] * 3, compiled=compiled, rel=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_far_from_0_cost_no_digit(dtype, compiled):
    """Differences are exact; a quotient by a bandwidth that is no power of 2 would not be."""
    rng = np.random.default_rng(0)
    rel = 5e-5 if dtype == np.float32 else 1e-9
    offsets = {np.float32: (1e3, 1e6), np.float64: (1e6, 1e15)}[dtype]
    for offset, spread in zip(offsets, (1e-2, 0.5), strict=True):
        # One of other dimensions, so that not all are one tensor.
        moved = [(offset + spread * rng.normal(size=[30, d])).astype(dtype) for d in (2, 2, 1)]
        at_0 = [each - dtype(offset) for each in moved]
        for count in (2, 3):
            sigmas = [1.5, 1.77, 0.9][:count]
            assert_right(moved[:count], sigmas, compiled=compiled, rel=rel)
        np.testing.assert_array_equal(gaussian_kernel(moved[0], 1.7), gaussian_kernel(at_0[0], 1.7))
        if dtype == np.float64:
            expected = kernel(moved[0], 1.7)
            np.testing.assert_allclose(gaussian_kernel(moved[0], 1.7), expected, rtol=1e-12)
        expected = float(median_bandwidth(at_0[0], compiled=compiled))
        ours = float(median_bandwidth(moved[0], compiled=compiled))
        assert ours == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-12)
        first, second = (
            dhsic_test([np.float64(each[0]), np.float64(each[1])], [1.7, 1.9], method="gamma")
            for each in (moved, at_0)
        )
        assert first.p_value == pytest.approx(second.p_value, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("light", [1e-3, 1e-12])
@pytest.mark.parametrize("far", [1.0, 60.0])
def test_light_samples_elsewhere_cost_the_others_no_digit(far, light, dtype):
    rng = np.random.default_rng(0)
    variables = [1e-2 * rng.normal(size=[40, 2]) for _ in range(2)]
    for variable in variables:
        variable[20:] += far
    variables = [variable.astype(dtype) for variable in variables]
    rel = 5e-5 if dtype == np.float32 else 1e-9
    weights = np.repeat([1.0, light], 20)
    assert_right(variables, [1.0, 1.0], weights, compiled=False, rel=rel)


def test_far_samples_that_move_the_mean_cost_no_digit():
    rng = np.random.default_rng(0)
    variables = [(1e-2 * rng.normal(size=[300, 1])).astype(np.float32) for _ in range(2)]
    variables[0][0] += 95
    variables[1][1] += 95
    assert_right(variables, [1.0, 1.0], compiled=False, rel=1e-5)
    variables[0][::2] += 130  # two clusters, each far from the mean
    variables[1][::3] += 130
    assert_right(variables, [1.0, 1.0], compiled=False, rel=1e-5)


@pytest.mark.parametrize("scale, kernels_do", [(1.0, True), (0.03, False), (30.0, False)])
def test_kernels_are_taken_where_they_have_the_digits(scale, kernels_do, monkeypatch):
    called = []
    monkeypatch.setattr(deficits, "pulls", lambda *given: called.append(given) or pulls(*given))
    variables = [tf.constant(scale * each, tf.float32) for each in draw(200, [2, 2])]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = dhsic(variables, [1.0, 1.0])
    tape.gradient(value, variables)
    assert bool(called) != kernels_do


@pytest.mark.parametrize("scale", [1e-2, 1.0])  # by deficits, by kernels
@pytest.mark.parametrize("block", [8, 512])
def test_weighted_gradients_are_those_of_repeated_samples(scale, block, monkeypatch):
    variables = [scale * each for each in draw(20, [2, 2])]
    weights = np.r_[[0] * 4, [1] * 6, [2] * 5, [3] * 5]
    repeated = [np.repeat(each, weights, axis=0) for each in variables]

    def value_and_gradients(variables, **kwargs):
        variables = [tf.constant(variable) for variable in variables]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = dhsic(variables, [1.0, 1.0], **kwargs)
        return value, tape.gradient(value, variables)

    expected, of_repeated = value_and_gradients(repeated)
    monkeypatch.setattr(blocks, "BLOCK", block)
    value, gradients = value_and_gradients(variables, weights=weights)
    assert float(value) == pytest.approx(float(expected), rel=1e-9)
    for ours, theirs in zip(gradients, of_repeated, strict=True):
        of_each = np.split(theirs, np.cumsum(weights)[:-1])
        summed = [each.sum(axis=0) for each in of_each]
        np.testing.assert_allclose(ours, summed, rtol=1e-7, atol=1e-9 * np.abs(ours).max())


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e2])
def test_gradient_is_right_at_any_scale(scale):
    variables = draw(6, [2, 1, 3])
    variables = [
        variable * factor for variable, factor in zip(variables, (1e-3, 1, 1e-3), strict=True)
    ]

    def gradients(scale):
        scaled = [tf.constant(scale * v) for v in variables[:2]] + [tf.constant(variables[2])]
        with tf.GradientTape() as tape:
            tape.watch(scaled)
            value = dhsic(scaled, [scale, 2 * scale, 0.7])
        return tape.gradient(value, scaled)

    # Both scales are known to it: the gradient is that of the step in between, divided by it.
    expected = gradients(1.0)
    for ours, theirs, factor in zip(gradients(scale), expected, (scale, scale, 1.0), strict=True):
        np.testing.assert_allclose(ours * factor, theirs, rtol=1e-8)
    # Against differences, relative to the gradient itself.
    point = [tf.constant(variable) for variable in variables]
    direction = np.random.default_rng(1).normal(size=[6, 2]) * 1e-7
    up, down = (dhsic([point[0] + s * direction, *point[1:]], [1.0, 2.0, 0.7]) for s in (1, -1))
    slope = float(up - down) / 2
    assert np.sum(expected[0] * direction) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_refuses_what_varies_too_little_for_a_number(compiled):
    variables = [1e-20 * variable.astype(np.float32) for variable in draw(9, [2, 2])]
    with pytest.raises(ValueError, match="at least 1e-08 bandwidths.*Received"):
        dhsic(variables, compiled=compiled)
    assert np.isnan(tf.function(lambda *v: dhsic(v, compiled=compiled))(*variables))
    assert float(dhsic(variables, "median", compiled=compiled)) > 1e-3


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_median_bandwidth_at_any_scale_and_with_samples_far_away(dtype, compiled):
    variable = np.random.default_rng(0).normal(size=[200, 2])
    for far, scale in [(None, 1e-30), (None, 1e30), (3e3, 1.0), (1e20, 1e-3), (1e6, 1e10)]:
        moved = scale * variable
        if far:
            moved[3] *= far
        moved = moved.astype(dtype)
        expected = np.median(scipy.spatial.distance.pdist(moved.astype(np.float64)))
        ours = median_bandwidth(tf.constant(moved), compiled=compiled)
        assert float(ours) == pytest.approx(expected, rel=1e-5)
    too_far = np.repeat([[-3e38], [3e38]], 5, axis=0).astype(dtype)  # more than float32 has
    ours = float(median_bandwidth(too_far, compiled=compiled))
    assert np.isnan(ours) if dtype == np.float32 else ours == pytest.approx(6e38)
    if dtype == np.float64:
        for scale in (1e-150, 1e150):
            ours = median_bandwidth(tf.constant(scale * variable), compiled=compiled)
            expected = np.median(scipy.spatial.distance.pdist(variable, "sqeuclidean")) ** 0.5
            assert float(ours) / scale == pytest.approx(expected, rel=1e-9)


def test_float32_stays_exact_far_from_the_origin():
    variables = draw(64, [20, 20])
    exact = float(dhsic(variables))
    far = [tf.constant(variable + 300, tf.float32) for variable in variables]
    assert dhsic(far).dtype == tf.float32
    assert float(dhsic(far)) == pytest.approx(exact, rel=1e-2, abs=1e-6)
    near = [tf.constant(variable, tf.bfloat16) for variable in variables]
    assert dhsic(near).dtype == tf.float32


def test_no_sample_is_nearer_to_its_twin_than_to_itself():
    """Of twins, products and halves cancel but for rounding, which makes no kernel exceed 1."""
    points = 10 * np.random.default_rng(0).normal(size=[1, 64, 50]).astype(np.float32)
    block = blocks.single([tf.constant(np.concatenate([points, points], axis=1))])
    assert np.max(blocks.exponents(block, block, same=True)) == 0
