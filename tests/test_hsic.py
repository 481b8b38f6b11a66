import concurrent.futures
import functools
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.spatial
import tensorflow as tf

from mvae_tf.hsic import blocks, criterion, dhsic, dimension_bandwidth, median_bandwidth

# What dhsic of 12,000 samples adds to a process that has done it with few. Their three kernel
# matrices would be 1.7 GB.
MEMORY = """
import json, re
from pathlib import Path
import numpy as np, tensorflow as tf
from mvae_tf import dhsic

def step(count):
    variables = tf.random.normal([3, count, 4], seed=0)
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = dhsic(tf.unstack(variables))
    gradient = tape.gradient(value, variables)
    assert np.all(np.isfinite(gradient)) and 0 < float(value) < 1e-3
    # Not getrusage's maximum: a process starts with that of the one which started it.
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**10

before = step(2_000)
print(json.dumps(step(12_000) - before))
"""


def draw(count, dimensions, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=[count, 1])
    return [rng.normal(size=[count, dimension]) + shared for dimension in dimensions]


def kernel(variable, sigma):
    squared = scipy.spatial.distance.cdist(variable, variable, "sqeuclidean")
    return np.exp(-squared / (2 * sigma**2))


def brute_force(variables, sigmas):
    """Eq. 13 as three sums, each over every index tuple."""
    kernels = [kernel(*each) for each in zip(variables, sigmas, strict=True)]
    count, total = len(variables[0]), len(variables)
    pairs = functools.reduce(np.multiply, kernels)  # (i1, i2)
    product = functools.reduce(np.multiply.outer, kernels)  # (i1, ..., i2K)
    assert product.ndim == 2 * total
    cross = [functools.reduce(np.multiply.outer, [g[i] for g in kernels]) for i in range(count)]
    return pairs.sum() / count**2 + product.mean() - 2 * np.sum(cross) / count ** (total + 1)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize("dimensions", [[3], [2, 2], [1, 4, 2], [2, 1, 3, 2]])
def test_agrees_with_sums_over_all_index_tuples(count, dimensions):
    variables = draw(count, dimensions)
    sigmas = [0.7 + 0.4 * index for index in range(len(dimensions))]
    np.testing.assert_allclose(
        dhsic(variables, sigmas), brute_force(variables, sigmas), rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize("count", [3, 50])
def test_of_two_variables_is_biased_hsic(count):
    variables = draw(count, [3, 5])
    first, second = kernel(variables[0], 1.5), kernel(variables[1], 2.0)
    centring = np.eye(count) - 1 / count
    hsic = np.trace(first @ centring @ second @ centring) / count**2
    np.testing.assert_allclose(dhsic(variables, [1.5, 2.0]), hsic, rtol=1e-9)


@pytest.mark.parametrize("total", [2, 3, 4])
def test_agrees_with_hyppo(total):
    hyppo = pytest.importorskip("hyppo.d_variate", reason="hyppo is in the extra 'bench'")
    variables = draw(40, [3] * total)
    sigma = 1.7
    theirs = hyppo.dHsic(gamma=1 / (2 * sigma**2)).statistic(*variables)
    np.testing.assert_allclose(dhsic(variables, [sigma] * total), theirs, rtol=1e-8)


@pytest.mark.parametrize("bandwidths", ["dimension", [1.0, 2.0, 0.5]])
def test_gradient_agrees_with_finite_differences(bandwidths):
    variables = [tf.constant(variable) for variable in draw(6, [2, 1, 3])]
    theoretical, numerical = tf.test.compute_gradient(
        lambda *variables: dhsic(variables, bandwidths), variables, delta=1e-5
    )
    for ours, expected in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-9)
        assert np.any(ours != 0)


def test_blocks_change_nothing(monkeypatch):
    variables = [tf.constant(variable) for variable in draw(23, [2, 3, 2])]
    alike = [variable[:, :2] for variable in variables]

    def values_and_gradients(variables, bandwidths):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = dhsic(variables, bandwidths)
        return [value, *tape.gradient(value, variables)]

    cases = [(each, rule) for each in (variables, alike) for rule in ("dimension", "median")]
    whole = [values_and_gradients(*case) for case in cases]
    for size in (1, 5):  # 5 leaves the last block filled up
        monkeypatch.setattr(blocks, "BLOCK", size)
        for case, expected in zip(cases, whole, strict=True):
            for ours, theirs in zip(values_and_gradients(*case), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_float32_is_exact_for_many_samples(share):
    rng = np.random.default_rng(1)
    variables = rng.normal(size=[4, 4000, 20]) + share * rng.normal(size=[4000, 1])
    variables = variables.astype(np.float32)
    sigma = dimension_bandwidth(20)
    kernels = [kernel(variable.astype(np.float64), sigma) for variable in variables]
    rows = [each.mean(1) for each in kernels]
    joint = functools.reduce(np.multiply, kernels).mean()
    cross = functools.reduce(np.multiply, rows).mean()
    expected = joint + np.prod([row.mean() for row in rows]) - 2 * cross
    assert float(dhsic(list(variables))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is Linux's to tell")
def test_memory_does_not_grow_with_pairs():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout) < 300  # MiB


def test_refuses_a_second_derivative():
    (variable,) = draw(6, [2])
    variable = tf.constant(variable)
    with tf.GradientTape() as outer:
        outer.watch(variable)
        with tf.GradientTape() as inner:
            inner.watch(variable)
            value = dhsic([variable, variable**2])
        gradient = inner.gradient(value, variable)
    with pytest.raises(NotImplementedError, match="differentiated once"):
        outer.gradient(gradient, variable)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1)])
def test_a_tape_that_could_ask_for_more_changes_nothing_for_others(sizes):
    """All graphs share one trace, which TensorFlow rewrites for a tape that is persistent."""
    variables = [tf.constant(each) for each in draw(9, sizes)]

    def gradients(*variables, persistent=False):
        with tf.GradientTape(persistent=persistent) as tape:
            tape.watch(variables)
            value = dhsic(variables)
        return tape.gradient(value, variables)

    expected = gradients(*variables)
    tf.function(functools.partial(gradients, persistent=True), autograph=False)(*variables)
    compiled = tf.function(gradients, jit_compile=True, autograph=False)(*variables)
    stacked = [tf.stack([each, 2 * each]) for each in variables]
    mapped = tf.vectorized_map(lambda pair: dhsic(pair), stacked)
    for one, other in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    np.testing.assert_allclose(mapped[0], dhsic(variables), rtol=1e-9)


def test_threads_ask_for_gradients_at_the_same_time():
    """With one trace for all of them, one or another found its gradient half made."""
    variables = [tf.constant(each) for each in draw(13, (2, 2))]
    start = threading.Barrier(6)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = dhsic(variables)
        return tape.gradient(value, variables)

    def in_a_graph(_):
        start.wait()
        return tf.function(gradients, autograph=False)()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for found in pool.map(in_a_graph, range(6)):
            np.testing.assert_allclose(found, gradients(), rtol=1e-9)


def test_gradient_at_equal_samples_is_finite():
    variables = [tf.Variable(tf.zeros([4, 2])), tf.Variable(tf.ones([4, 2]))]
    for bandwidths in ("dimension", "median"):
        with tf.GradientTape() as tape:
            value = dhsic([variable * 1.0 for variable in variables], bandwidths)
        assert value == 0
        for gradient in tape.gradient(value, variables):
            assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("bandwidths", ["dimension", "median"])
def test_a_constant_variable_is_independent(bandwidths):
    variables = [*draw(30, [3]), np.full([30, 2], 5.0)]
    np.testing.assert_allclose(dhsic(variables, bandwidths), 0, atol=1e-14)


@pytest.mark.parametrize("bandwidths", ["dimension", "median"])
def test_tells_dependence_from_independence(bandwidths):
    rng = np.random.default_rng(0)
    # Pairwise independent, jointly dependent: no sum of pairwise HSICs sees it.
    first, second = rng.choice([-1.0, 1.0], size=[2, 400, 1])
    jointly = [first, second, first * second]
    for apart in ([rng.permutation(variable) for variable in jointly], jointly[:2]):
        assert dhsic(jointly, bandwidths) > 3 * dhsic(apart, bandwidths)


@pytest.mark.parametrize("dimension", [1, 2, 20, 256])
def test_dimension_bandwidth_is_the_mean_distance_of_normal_draws(dimension):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=[2, 20_000, dimension])
    distances = np.linalg.norm(first - second, axis=1)
    error = distances.std() / np.sqrt(len(distances))
    assert dimension_bandwidth(dimension) == pytest.approx(distances.mean(), abs=5 * error)


@pytest.mark.parametrize("count", [2, 7, 8, 50])
def test_median_bandwidth_is_the_median_distance(count):
    (variable,) = draw(count, [4])
    expected = np.median(scipy.spatial.distance.pdist(variable, "sqeuclidean")) ** 0.5
    np.testing.assert_allclose(median_bandwidth(tf.constant(variable)), expected, rtol=1e-9)


def test_median_bandwidth_ignores_repeated_samples():
    variable = tf.constant([[0.0]] * 9 + [[3.0]])
    assert float(median_bandwidth(variable)) == pytest.approx(3)
    assert median_bandwidth(variable[:9]) == 1


@pytest.mark.parametrize("bandwidths", ["dimension", "median"])
def test_works_in_a_graph_of_unknown_sizes(bandwidths):
    spec = [tf.TensorSpec([None, 2], tf.float64), tf.TensorSpec([None, 3], tf.float64)]
    traced = tf.function(lambda *variables: dhsic(variables, bandwidths), input_signature=spec)
    for count in (1, 9, blocks.BLOCK + 9):
        variables = draw(count, [2, 3])
        np.testing.assert_allclose(
            traced(*variables), dhsic(variables, bandwidths), rtol=1e-9, atol=1e-14
        )


def test_a_graph_of_known_sizes_has_a_trace_of_its_own():
    """One for unknown sizes, where it came first, would add in another order."""

    def loops(count):
        spec = [tf.TensorSpec([count, width], tf.float64) for width in (6, 7)]
        penalty = tf.function(lambda *codes: criterion.penalty(codes, "dimension"))
        library = penalty.get_concrete_function(*spec).graph.as_graph_def().library
        nodes = [node.op for function in library.function for node in function.node_def]
        return {"While", "StatelessWhile"} & set(nodes)

    assert loops(None)  # over blocks, however many there are
    assert not loops(11)


@pytest.mark.parametrize(
    ("shapes", "bandwidths", "message"),
    [
        ([], "dimension", "at least one"),
        ([(4, 2), (5, 2)], "dimension", "same number of samples"),
        ([(4,), (4, 2)], "dimension", r"shape \[n, d\]"),
        ([(0, 2), (0, 2)], "dimension", "n and d >= 1"),
        ([(4, 0)], "dimension", "n and d >= 1"),
        ([(4, 2)], "silverman", "Received: 'silverman'"),
        ([(4, 2)], [1.0, 2.0], "1 positive numbers"),
        ([(4, 2)], [0.0], "above 0"),
        ([(4, 2)], [float("nan")], "each of bandwidths"),
    ],
)
def test_refuses_what_it_cannot_do(shapes, bandwidths, message):
    with pytest.raises(ValueError, match=message):
        dhsic([np.zeros(shape) for shape in shapes], bandwidths)


@pytest.mark.parametrize(
    ("count", "bandwidths"),
    [(1, "median"), (7, "median"), (8, "median"), (8, [0.7, 1.3]), (blocks.BLOCK + 9, "dimension")],
)
def test_compiled_by_xla_value_and_gradient_are_the_same(count, bandwidths):
    rng = np.random.default_rng(count)
    variables = [rng.normal(size=[count, 2]), rng.integers(3, size=[count, 3]).astype(float)]
    variables = [tf.constant(variable) for variable in variables]

    def value_and_gradients(*variables, compiled):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            value = dhsic(variables, bandwidths, compiled=compiled)
        return value, *tape.gradient(value, variables)

    def fast(*variables):
        return value_and_gradients(*variables, compiled=True)

    plain = value_and_gradients(*variables, compiled=False)
    for one, other in zip(tf.function(fast, jit_compile=True)(*variables), plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-14)


# Weighted samples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [7, 600])
@pytest.mark.parametrize("sizes", [(3, 3), (2, 3, 1)])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_sample_of_weight_2_counts_as_two_in_value_and_gradient(count, sizes, compiled):
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 4, size=count)
    variables = [tf.constant(rng.normal(size=[count, size])) for size in sizes]
    variables[1] = variables[1] + variables[0][:, :1] ** 2

    def value_and_gradients(weights, repeats):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            each = [tf.repeat(variable, repeats, axis=0) for variable in variables]
            value = dhsic(each, compiled=compiled, weights=weights)
        return value, *tape.gradient(value, variables)

    ours = value_and_gradients(whole, np.ones(count, int))
    repeated = value_and_gradients(None, whole)
    for one, other in zip(ours, repeated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-14)
    assert ours[0] > 1e-3


def test_weights_of_a_sample_are_checked_and_may_all_be_0():
    variables = [np.random.default_rng(k).normal(size=[9, 2]).astype("float32") for k in (0, 1)]
    assert dhsic(variables, weights=np.zeros(9)) == 0
    with pytest.raises(ValueError, match=r"Expected weights of shape \[9\]. Received: \(8,\)"):
        dhsic(variables, weights=np.ones(8))
    with pytest.raises(ValueError, match='Expected bandwidths "dimension".*Received: "median"'):
        dhsic(variables, "median", weights=np.ones(9))


def test_weighted_samples_of_a_constant_variable_or_a_single_one_give_0():
    varied = np.random.default_rng(0).normal(size=[9, 2])
    for variables in ([varied, np.full([9, 3], 0.1)], [varied[:1]] * 3, [varied]):
        value = dhsic(variables, weights=np.arange(1.0, len(variables[0]) + 1))
        assert float(value) == pytest.approx(0, abs=1e-12)
    assert float(dhsic([1e-3 * varied], weights=np.arange(9))) == 0
