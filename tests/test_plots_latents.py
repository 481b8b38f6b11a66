"""Latent codes drawn (Figure 3): every class is named, seen and told apart."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from test_plots import CODES, HEIGHTS, LABELS, RNG, TITLES

from mvae_tf import plots


@pytest.mark.parametrize("name", ["panels", "views"])
def test_latents_draw_number_and_name_every_class(name):
    labels = np.where(np.arange(10_000) == 7, 9, LABELS % 9)  # a class of one image
    codes = [np.where(np.arange(10_000)[:, None] == 7, 0.0, code) for code in CODES]
    if name == "panels":
        figure = plots.latent_panels(codes, labels, TITLES)
    else:
        figure = plots.latent_views(codes, HEIGHTS, labels, TITLES, "weight")
    assert len(figure.axes) == 5
    figure.draw_without_rendering()  # until then three dimensions know no colours
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list("0123456789")
    handles = [to_hex(handle.get_color()) for handle in figure.legends[0].legend_handles]
    assert handles == list(plots.CLASS_COLOURS)
    for axes, title in zip(figure.axes, TITLES, strict=True):
        assert axes.get_title() == title
        drawn = {to_hex(colour) for colour in axes.collections[0].get_facecolor()}
        assert drawn == set(plots.CLASS_COLOURS)
        assert [text.get_text() for text in axes.texts] == list("0123456789")


def test_outliers_neither_squash_a_panel_nor_draw_its_number_outside():
    codes = CODES[0].copy()
    codes[:20] *= 1e6
    codes[LABELS == 3] += 1e-3
    axes = plots.latent_panels([codes], LABELS, ["x"]).axes[0]
    usual = plots.latent_panels([CODES[0]], LABELS, ["x"]).axes[0]
    assert np.ptp(axes.get_xlim()) < 1.5 * np.ptp(usual.get_xlim())
    lone = np.where(np.arange(1000)[:, None] < 3, 1e6, RNG.normal(size=(1000, 2)))
    axes = plots.latent_panels([lone], (np.arange(1000) >= 3).astype(int), ["x"]).axes[0]
    assert np.all([np.abs(np.subtract(text.xy, 0.5)) < 0.5 for text in axes.texts])


def test_views_share_a_third_axis_that_holds_nearly_all_heights():
    heights = [0.25 + 0.01 * np.sin(np.arange(10_000)), np.full(10_000, 0.2)]
    heights[1][:20] = 1e6
    figure = plots.latent_views(CODES[:2], heights, LABELS, TITLES[:2], "weight")
    limits = [axes.get_zlim() for axes in figure.axes]
    assert limits[0] == limits[1]
    assert 0.19 < limits[0][0] < 0.2 and 0.26 < limits[0][1] < 0.27


def test_numbers_of_coinciding_classes_stand_apart_and_near():
    axes = plots.latent_panels([RNG.normal(size=(10_000, 2))], LABELS, ["x"]).axes[0]
    places = np.array([text.xy for text in axes.texts])
    distances = [np.linalg.norm(one - other) for one, other in itertools.combinations(places, 2)]
    assert min(distances) > 0.05
    assert np.all(np.abs(places - 0.5) < 0.25)


@pytest.mark.parametrize(
    "codes", [np.zeros((3, 2)), np.full((3, 2), 1e9), [[0, 0], [1, 0], [2, 0]]]
)
def test_collapsed_codes_are_drawn(codes, tmp_path):
    plots.save(plots.latent_panels([codes], [0, 1, 1], ["x"]), tmp_path / "a.png")
    plots.save(plots.latent_views([codes], [[0] * 3], [0, 1, 1], ["x"], "w"), tmp_path / "b.png")


# Machado, Oliveira and Fernandes (2009), severity 1; linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def oklab(colours, sight):
    """OKLab (Ottosson 2020) of sRGB colours, x 100."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    opponents = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return 100 * np.cbrt(linear @ np.transpose(cones)) @ np.transpose(opponents)


@pytest.mark.parametrize("sight", SIGHT)
def test_class_colours_are_told_apart_and_seen_on_white(sight):
    seen = oklab(plots.CLASS_COLOURS, sight)
    distances = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert min(distances) > 15
    assert np.all(np.linalg.norm(seen - oklab(["white"], sight), axis=1) > 12)
    tab10 = oklab(matplotlib.colormaps["tab10"].colors, sight)
    usual = [np.linalg.norm(one - other) for one, other in itertools.combinations(tab10, 2)]
    assert min(usual) < 12
