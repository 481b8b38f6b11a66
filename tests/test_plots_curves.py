"""Measures drawn against settings, controls and print: each value stands where it should."""

import itertools

import numpy as np
import pytest
from test_plots import AHEAD, PRINTED, SWEEP, TRENDS, words

from mvae_tf import plots


def test_sweep_draws_bars_only_where_given_and_names_its_lines():
    x, means = range(4, 11), np.linspace(97, 98, 7)
    figure = plots.sweep(
        x,
        means,
        [0.1, None, *[0.2] * 5],
        ("VAE", 96.3, 0.1),
        paper=[97.17, *[None] * 6],
        **SWEEP,
    )
    axes = figure.axes[0]
    bars = axes.containers[0].lines[2][0].get_segments()
    assert [len(bar) > 0 for bar in bars] == [True, False, *[True] * 5]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["M-VAE", "M-VAE (paper)", "VAE"]
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert {"components", "accuracy, %"} <= set(words(figure))
    plain = plots.sweep(x, means, None, None, label="x", **SWEEP)
    assert [text.get_text() for text in plain.legends[0].get_texts()] == ["x"]


def test_ablation_has_one_panel_a_measure_and_writes_each_value():
    names = ["0", "1", "root"]
    figure = plots.ablation(
        names,
        [
            ("MSE", [9.125, 8.5, 30], [0.1, None, 2]),
            plots.Measure("dHSIC", [1e-1, 1e-3, 1e-5], log=True, format=".0e"),
        ],
        xlabel="weight",
    )
    mse, dhsic = figure.axes
    assert [text.get_text() for text in mse.texts] == ["9.125", "8.5", "30"]
    assert [text.get_text() for text in dhsic.texts] == ["1e-01", "1e-03", "1e-05"]
    assert (mse.get_yscale(), dhsic.get_yscale()) == ("linear", "log")
    assert [tick.get_text() for tick in dhsic.get_xticklabels()] == names
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert all(not a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert all(axes.bbox.y0 < box.y0 and box.y1 < axes.bbox.y1 for box in boxes)


def test_differences_stand_beside_zero_with_their_intervals():
    figure = plots.differences(["K VAEs", "VAE"], [("MSE", AHEAD), ("KNN", {**AHEAD})])
    mse, _ = figure.axes
    assert list(mse.lines[0].get_xdata()) == [0, 0]
    for (points, _, (bars,)), (values, halves) in zip(mse.containers, AHEAD.values(), strict=True):
        assert list(points.get_xdata()) == values
        # The first name stands at the top, series of one name close to each other.
        assert np.all(np.abs(points.get_ydata() - [0, 1]) < 0.4)
        segments = [bar for bar in bars.get_segments() if len(bar)]
        expected = [(v - h, v + h) for v, h in zip(values, halves, strict=True) if h is not None]
        np.testing.assert_allclose([bar[:, 0] for bar in segments], expected)
    first, second = (container[0].get_ydata() for container in mse.containers)
    assert np.all(first < second)
    assert mse.yaxis_inverted()
    assert [tick.get_text() for tick in mse.get_yticklabels()] == ["K VAEs", "VAE"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(AHEAD)
    plain = plots.differences(["VAE"], [("MSE", {"K = 4": ([1], None)})])
    assert not plain.axes[0].collections


def test_trends_are_lines_of_one_colour_in_all_panels_and_those_of_none_are_left_out():
    """Whatever the lines of each panel are."""
    own = {"VAEs": TRENDS["VAEs"], "M-VAE": ([], [], [])}
    figure = plots.trends([("MSE", TRENDS), ("KNN", own)], xlabel="K")
    first, second = figure.axes
    for container, (x, means, stds) in zip(first.containers, TRENDS.values(), strict=True):
        points, _, (bars,) = container
        assert (list(points.get_xdata()), list(points.get_ydata())) == (x, means)
        segments = [bar[:, 1] for bar in bars.get_segments() if len(bar)]
        ends = [(m - s, m + s) for m, s in zip(means, stds, strict=True) if s is not None]
        np.testing.assert_allclose(segments, ends)
    (only,) = second.containers
    assert only[0].get_color() == first.containers[1][0].get_color()
    assert only[0].get_color() != first.containers[0][0].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(TRENDS)
    assert (second.get_xlabel(), second.get_ylabel()) == ("K", "KNN")
    plain = plots.trends([("MSE", {"VAEs": ([1, 2], [1, 2], [None, None])})], xlabel="K")
    assert not plain.axes[0].collections
    assert len(plots.trends([("MSE", own)] * 4, xlabel="K").axes) == 4


def test_a_printed_value_stands_beside_each_settings_two_deviations():
    figure = plots.against_print(["first", "second"], [PRINTED], xlabel="error")
    (axes,) = figure.axes
    (bars,), (line,) = (
        axes.containers,
        [each for each in axes.lines if each.get_linestyle() == "--"],
    )
    points, _, (ranges,) = bars
    np.testing.assert_allclose(points.get_xdata(), [12, 10])
    np.testing.assert_allclose(
        [segment[:, 0] for segment in ranges.get_segments()], [[10, 14], [9, 11]]
    )
    np.testing.assert_allclose(line.get_xdata(), 11.54)
    assert axes.get_ylim() == (1.5, -0.5)  # the first on top
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert "K = 7" in words(figure)
    with pytest.raises(ValueError, match=r"values of K = 7 to be of shape \[1\]"):
        plots.against_print(["one"], [PRINTED], xlabel="error")
