"""What dHSIC is handed: other kinds of numbers, sizes that a graph doesn't know, odd weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_hsic import brute_force

from mvae_tf.hsic import (
    dhsic,
    dhsic_test,
    dimension_bandwidth,
    gaussian_kernel,
    median_bandwidth,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=[30, 1])
# Far from 0, as times are: in float32 all the same.
FAR = [1_700_000_000 + np.arange(7)[:, None], 1_700_000_000 + np.array([[0, 3, 1, 5, 2, 6, 4]]).T]


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.uint32, list, tuple])
def test_integers_and_numbers_in_lists_keep_their_digits(kind):
    variables = [v.tolist() if kind is list else tuple(map(tuple, v.tolist())) if kind is tuple
                 else v.astype(kind) for v in FAR]  # fmt: skip
    expected = brute_force([each - 1_700_000_000.0 for each in FAR], [2.0, 2.0])
    value = dhsic(variables, [2.0, 2.0])
    assert value.dtype == tf.float64
    assert float(value) == pytest.approx(expected, rel=1e-9) and expected > 1e-2
    assert dhsic_test(variables, [2.0, 2.0]).statistic == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "variable",
    [np.float16, np.float32, np.uint8, np.int16, np.bool_, tf.bfloat16.as_numpy_dtype],
)
def test_what_float32_can_tell_is_in_float32(variable):
    variables = [np.round(3 * X[:8]).astype(variable), np.round(X[8:16] + X[:8]).astype(variable)]
    value = dhsic(variables, [1.0, 2.0])
    assert value.dtype == tf.float32
    expected = brute_force([each.astype(np.float64) for each in variables], [1.0, 2.0])
    assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_keras_variables_and_lists_of_tensors_have_gradients():
    held = keras.Variable(X + 1)
    with tf.GradientTape(persistent=True) as tape:
        of_variable = dhsic([held, X])
        of_list = dhsic([tf.unstack(held.value), X])
        of_variables = dhsic([[keras.Variable(row) for row in X], X])
    assert float(of_variables) == pytest.approx(float(of_list))  # whose values are X + 1
    plus, minus = (float(dhsic([(1 + sign * 1e-6) * X + 1, X])) for sign in (1, -1))
    for value in (of_variable, of_list):
        along_x = np.sum(tape.gradient(value, held.value) * X)
        assert along_x == pytest.approx((plus - minus) / 2e-6, rel=1e-4)


ODD = {
    "masked": np.ma.masked_array(X, X > 1),
    "complex": 1j * X,
    "text": np.array([["1"]] * 30),
    "dates": np.array([["2020-01-01"]] * 30, "M8[s]"),
    "objects": np.array([[None]] * 30),
    "none": None,
    "sparse": tf.sparse.from_dense(X),
    "ragged": tf.RaggedTensor.from_tensor(X),
    "a list that is ragged": [[1.0], [1.0, 2.0]],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("function", [dhsic, dhsic_test])
def test_what_are_no_real_numbers_is_refused(kind, function):
    with pytest.raises(ValueError, match="^Expected variables that are arrays of real numbers"):
        function([X, ODD[kind]])


@pytest.mark.parametrize("kind", ODD)
def test_the_median_and_a_kernel_take_what_dhsic_takes(kind):
    for function in (median_bandwidth, lambda variable: gaussian_kernel(variable, 1.0)):
        with pytest.raises(ValueError, match="^Expected variables that are arrays of real numbers"):
            function(ODD[kind])
        for shape in ([30], [0, 2], [3, 0], [2, 3, 1]):
            with pytest.raises(ValueError, match=r"Expected variables of shape \[n, d\]"):
                function(np.zeros(shape))
    rounded = np.round(3 * X).astype(np.int64)
    distances = np.abs(rounded - rounded.T)[np.triu_indices(30, 1)]
    median = np.median(distances[distances > 0])
    assert float(median_bandwidth(rounded.tolist())) == pytest.approx(median)
    half = gaussian_kernel(rounded.astype(np.float16), 2.0)
    np.testing.assert_allclose(half, np.exp(-((rounded - rounded.T) ** 2) / 8), rtol=1e-5)


@pytest.mark.parametrize("bandwidth", [2, np.array(2.0), tf.constant(2.0), tf.Variable(2)])
def test_a_kernels_bandwidth_may_be_a_tensor(bandwidth):
    expected = np.exp(-((X - X.T) ** 2) / 8)
    np.testing.assert_allclose(gaussian_kernel(X, bandwidth), expected, rtol=1e-12)
    with tf.GradientTape() as tape:
        sigma = tf.constant(2.0, tf.float64)
        tape.watch(sigma)
        value = tf.reduce_sum(gaussian_kernel(X, sigma))
    slope = np.sum(expected * (X - X.T) ** 2 / 8)  # d exp(-r^2 / (2 s^2)) / ds at s = 2
    assert float(tape.gradient(value, sigma)) == pytest.approx(slope)


@pytest.mark.parametrize("bandwidth", [[1.0, 2.0], [[1.0]], 1j, "one"])
def test_a_kernels_bandwidth_is_one_real_number(bandwidth):
    with pytest.raises(ValueError, match="Expected bandwidth to be "):
        gaussian_kernel(X, tf.constant(bandwidth))


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.nan, np.inf])
def test_a_graph_has_nan_for_a_bandwidth_that_is_not_positive(bandwidth):
    graph = tf.function(lambda sigma: gaussian_kernel(X, sigma))
    assert np.isnan(graph(tf.constant(bandwidth))).all()
    assert np.isfinite(graph(tf.constant(1.0))).all()


@pytest.mark.parametrize(
    "bandwidth",
    [0.0, -1.0, np.nan, "median", None, tf.constant(0.0), tf.constant(-1), np.array(-1.0)],
)
def test_a_kernels_bandwidth_is_positive(bandwidth):
    with pytest.raises(ValueError, match="Expected bandwidth to be a finite number above 0"):
        gaussian_kernel(X, bandwidth)


@pytest.mark.parametrize("dimension", [0, -1, 2.5, None])
def test_a_dimension_is_an_integer_of_at_least_1(dimension):
    with pytest.raises(ValueError, match="Expected dimension to be an integer"):
        dimension_bandwidth(dimension)


@pytest.mark.parametrize("variable", [X, tf.constant(X), X[:, 0]])
def test_a_variable_without_its_list_is_told_of_in_a_line(variable):
    with pytest.raises(ValueError, match=r"in a list. Received: an? .* of shape \(30"):
        dhsic(variable)
    stacked = np.stack([X, X**2])  # all of one size may come in one array
    assert float(dhsic(stacked)) == pytest.approx(float(dhsic([X, X**2])))


@pytest.mark.parametrize("variables", [None, "xy", 3, {"x": X, "y": X}])
def test_variables_come_in_a_list(variables):
    with pytest.raises(ValueError, match=r"real numbers, \[n, d\], in a list. Received: "):
        dhsic(variables)


@pytest.mark.parametrize(
    "bandwidths",
    [
        np.array([1.0, 2.0]),
        tf.constant([1.0, 2.0]),
        [tf.constant(1.0), keras.Variable(2.0)],
        [np.float32(1), tf.constant(2.0)],
    ],
)
def test_bandwidths_may_be_an_array(bandwidths):
    np.testing.assert_array_equal(dhsic([X, X**2], bandwidths), dhsic([X, X**2], [1.0, 2.0]))


@pytest.mark.parametrize("bandwidths", ["dimension", "median", [1.0, 2.0]])
@pytest.mark.parametrize("sizes", [(1, 2), (2, 2)])
def test_a_graph_need_not_know_a_variables_size(bandwidths, sizes):
    variables = [np.hstack([X] * size) ** (k + 1) for k, size in enumerate(sizes)]
    signature = [tf.TensorSpec([None, None], tf.float64)] * 2
    graph = tf.function(lambda *each: dhsic(each, bandwidths), input_signature=signature)
    expected = dhsic(variables, bandwidths)
    assert float(graph(*variables)) == pytest.approx(float(expected), rel=1e-10)
    if bandwidths == "dimension":
        sigmas = [dimension_bandwidth(size) for size in sizes]
        some = [variable[:6] for variable in variables]
        assert float(graph(*some)) == pytest.approx(brute_force(some, sigmas), rel=1e-9)


@pytest.mark.parametrize("rows", [(0, 0), (30, 1), (1, 30), (30, 29)])
def test_a_graph_that_learns_of_wrong_sizes_stops(rows):
    signature = [tf.TensorSpec([None, 1], tf.float64), tf.TensorSpec(None, tf.float64)]
    graph = tf.function(lambda *each: dhsic(each), input_signature=signature)
    assert float(graph(X, X**2)) == pytest.approx(float(dhsic([X, X**2])), rel=1e-10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected .*(variables|number)"):
        graph(*(X[:count] for count in rows))


@pytest.mark.parametrize("count", [30, None])  # as the graph knows it
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("other", [X, np.hstack([X, X])])
def test_a_graph_that_learns_of_too_few_weights_stops(count, compiled, other):
    """A single one would count for all samples: dHSIC of sums that aren't those of shares."""
    variables = [X, other**2]
    weights = np.r_[np.zeros(10), np.ones(20)]
    signature = [tf.TensorSpec([count, each.shape[1]], tf.float64) for each in variables]
    graph = tf.function(
        lambda weights, *each: dhsic(each, compiled=compiled, weights=weights),
        input_signature=[tf.TensorSpec([None], tf.float64), *signature],
        jit_compile=compiled,
    )
    expected = float(dhsic([each[10:] for each in variables]))
    assert float(graph(weights, *variables)) == pytest.approx(expected, rel=1e-9)
    for wrong in (1, 5, 31):
        with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
            graph(np.ones(wrong), *variables)


WEIGHTS = {
    "below 0": np.r_[-2.0, np.ones(29)],
    "of both signs": np.r_[np.ones(15), -np.ones(15)],
    "NaN": np.r_[np.nan, np.ones(29)],
    "infinite": np.r_[np.inf, np.ones(29)],
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_no_weights_are_refused_and_nan_inside_a_graph(kind):
    with pytest.raises(ValueError, match="Expected weights that are finite and at least 0"):
        dhsic([X, X**2], weights=WEIGHTS[kind])
    inside = tf.function(lambda weights: dhsic([X, X**2], weights=weights))
    assert np.isnan(inside(tf.constant(WEIGHTS[kind])))


@pytest.mark.parametrize("value", [0.0, 50.0, 200.0, 1e30, np.nan, np.inf])
@pytest.mark.parametrize("in_graph", [False, True])
def test_a_sample_of_weight_0_counts_for_nothing_whatever_it_is(value, in_graph):
    function = tf.function(dhsic) if in_graph else dhsic
    variables = [tf.constant(np.vstack([each, [[value]]])) for each in (X, X**2)]
    weights = np.r_[np.ones(30), 0.0]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        found = function(variables, weights=weights)
    assert float(found) == pytest.approx(float(dhsic([X, X**2])), rel=1e-10)
    for gradient in tape.gradient(found, variables):
        assert np.isfinite(gradient).all() and gradient[-1] == 0 and np.any(gradient[:-1] != 0)


@pytest.mark.parametrize(
    "first",
    [[-90.0, 90.0, -80.0, 70.0], [-0.25, 0.25, -0.2, 0.24], [-1.0, 0.0, 1.0, 3.0], [1.0] * 4],
)
@pytest.mark.parametrize("value", [0.0, 77.0, np.nan])
def test_samples_of_weight_0_decide_nothing_about_the_digits(first, value):
    """Far from the others or near, one or many."""

    def of(count):
        variables = [np.r_[each, np.full(count, value)][:, None] for each in (first, [-1, 1, 0, 2])]
        return float(dhsic(variables, [1.0, 1.0], weights=np.r_[np.ones(4), np.zeros(count)]))

    without = of(0)
    assert (without == 0) == (len(set(first)) == 1)
    assert [of(1), of(30)] == pytest.approx([without] * 2, rel=1e-9)


def test_all_of_weight_0_give_0_whatever_they_are():
    variables = [np.r_[np.nan, X[1:, 0]][:, None], X**2]
    assert float(dhsic(variables, weights=np.zeros(30))) == 0.0


def test_what_is_masked_is_refused_wherever_it_stands():
    rows = [np.ma.masked_less(row, 0) for row in X]
    for among in (rows, [tf.constant(X[0]), *rows[1:]]):
        with pytest.raises(ValueError, match="some of which is masked"):
            dhsic([among, X])
    with pytest.raises(ValueError, match="bandwidths to be .* some of which is masked"):
        dhsic([X, X**2], np.ma.array([1.0, 2.0], mask=[0, 1]))


def test_bandwidths_that_a_graph_has_not_worked_out_are_refused():
    with pytest.raises(ValueError, match="Expected bandwidths to be .* Received: .*Tensor"):
        tf.function(lambda sigmas: dhsic([X, X**2], sigmas))(tf.constant([1.0, 2.0]))


@pytest.mark.parametrize("sigma", [1e-40, 1e39])
def test_bandwidths_beyond_the_variables_dtype_are_refused(sigma):
    """In float32 they are 0 and infinite: dHSIC would be NaN, or of no kernels at all."""
    with pytest.raises(ValueError, match="Expected bandwidths that float32 has. Received: 1e"):
        dhsic([X.astype(np.float32), X.astype(np.float32)], [1.0, sigma])
    assert np.isfinite(dhsic([X, 1e39 * X], [1.0, 1e39]))


def test_a_keras_variable_is_as_good_as_a_tensor():
    both = np.stack([X, X**2])
    assert float(dhsic(keras.Variable(both, dtype="float64"))) == float(dhsic(tf.constant(both)))


@pytest.mark.parametrize("odd", ["heavy", 1j * X[:, 0], np.ma.masked_array(X[:, 0], X[:, 0] > 1)])
def test_weights_are_real_numbers(odd):
    with pytest.raises(ValueError, match=r"Expected weights of shape \[30\], real numbers."):
        dhsic([X, X**2], weights=odd)


@pytest.mark.parametrize("size", [1e-300, 1e-44, 1e37, 1e308])
def test_the_weights_scale_changes_nothing(size):
    """Also where float32 has no number for it, or their sum is infinite."""
    variables = [X.astype(np.float32), (X**2).astype(np.float32)]
    expected = dhsic(variables, weights=np.ones(30))
    assert float(dhsic(variables, weights=np.full(30, size))) == pytest.approx(float(expected))
