import concurrent.futures
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from mvae_tf import plots

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.random((12, 28, 28, 1)), RNG.random((9, 32, 32, 3))
LABELS = np.arange(10_000) % 10
CODES = [RNG.normal(size=(10_000, 2)) + RNG.normal(size=(10, 2))[LABELS] * 3 for _ in range(5)]
HEIGHTS = [RNG.random(10_000) for _ in range(5)]
TITLES = [*(f"({letter}) Component" for letter in "abcd"), "(e) VAE"]
AHEAD = {"K = 4": ([0.4, 1.9], [0.1, None]), "K = 10": ([-0.2, 2], [0.3, 0.2])}
TRENDS = {"M-VAE": ([7, 8, 10], [9.4, 9.3, 9.4], [0.1] * 3), "VAEs": ([4, 5], [10, 9], [None, 1])}
SWEEP = {"xlabel": "components", "ylabel": "accuracy, %"}
PRINTED = ("K = 7", 11.54, [12.0, 10.0], [1.0, 0.5])
FIGURES = {
    "rows": lambda: plots.image_rows([GREY] * 6, ["real", *"1234", "mixture"], ["MSE 9.2"] * 6),
    "grids": lambda: plots.image_grids([GREY, GREY], ["(a)", "(b)"]),
    "colour grids": lambda: plots.image_grids([COLOUR, COLOUR, COLOUR], ["(a)", "(b)", "(c)"]),
    "panels": lambda: plots.latent_panels(CODES, LABELS, TITLES),
    "views": lambda: plots.latent_views(CODES, HEIGHTS, LABELS, TITLES, "expected weight"),
    "sweep": lambda: plots.sweep([4, 5], [97, 98], [0.1, 0.2], ("VAE", 96, 0.1), **SWEEP),
    "against print": lambda: plots.against_print(["a", "b"], [PRINTED, PRINTED], xlabel="error"),
    "ablation": lambda: plots.ablation(["0", "1"], [("MSE", [9, 8], [1, None]), ("KNN", [1, 2])]),
    "differences": lambda: plots.differences(["K VAEs", "VAE"], [("MSE ahead", AHEAD)] * 3),
    "trends": lambda: plots.trends([("KNN", TRENDS), ("MSE", TRENDS)], xlabel="K"),
}


def words(figure):
    texts = figure.findobj(matplotlib.text.Text)
    return [text.get_text() for text in texts if text.get_visible() and text.get_text()]


def test_rows_have_their_label_and_note_and_show_each_image_dot_for_dot(tmp_path):
    rows = [GREY, 1 - GREY]
    figure = plots.image_rows(rows, ["real", "mixture"], ["", "MSE 12.3"])
    assert len(figure.axes) == 2
    assert words(figure) == ["real", "mixture", "MSE 12.3"]
    plots.save(figure, tmp_path / "rows.png")
    with Image.open(tmp_path / "rows.png") as image:
        written = np.asarray(image.convert("L"), int)
    for axes, row in zip(figure.axes, rows, strict=True):
        sheet = np.asarray(axes.images[0].get_array(), int)
        scale = len(sheet) // 28
        for index, expected in enumerate(row):
            corner = index * (28 * scale + 3)
            tile = sheet[::scale, corner : corner + 28 * scale : scale]
            np.testing.assert_allclose(tile, 255 * expected[..., 0], atol=0.51)
        assert np.all(sheet[:, 28 * scale : 28 * scale + 3] == 255)
        # Somewhere in the file stands the sheet itself, not stretched or shifted by half a dot.
        fits = np.subtract(written.shape, sheet.shape)
        corners = np.argwhere(np.abs(written - sheet[0, 0]) <= 1)
        corners = corners[np.all(corners <= fits, axis=1)]
        assert any(
            np.abs(written[top : top + len(sheet), left : left + len(sheet[0])] - sheet).max() <= 1
            for top, left in corners
        )


@pytest.mark.parametrize("images", [GREY, COLOUR[:1], COLOUR, GREY[:5, ::2]])
def test_grids_are_square_and_end_in_white(images):
    figure = plots.image_grids([images, images, images], ["(a)", "(b)", "(c)"])
    assert words(figure) == ["(a)", "(b)", "(c)"]
    side = int(np.ceil(len(images) ** 0.5))
    for axes in figure.axes:
        sheet = axes.images[0].get_array()
        scale = (sheet.shape[1] + 3) // side // images.shape[2]
        tiles_down = -(-len(images) // side)
        assert sheet.shape[0] == tiles_down * (images.shape[1] * scale + 3) - 3
        if len(images) % side:
            assert np.all(sheet[-5:, -5:] == 255)
        else:
            np.testing.assert_allclose(sheet[-1, -1], 255 * np.squeeze(images[-1, -1, -1]), atol=1)


def test_three_grids_of_photographs_fit_a_page_and_500_kb(tmp_path):
    photograph = load_sample_image("china.jpg")[-13 * 32 :] / 255
    images = photograph.reshape(13, 32, 20, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    grids = [images[-64:], images[-128:-64], images[-192:-128]]
    figure = plots.image_grids(grids, ["(a)", "(b)", "(c)"])
    plots.save(figure, tmp_path / "grids.png")
    assert figure.get_figwidth() < 7.16
    assert (tmp_path / "grids.png").stat().st_size < 500_000


@pytest.mark.parametrize("name", FIGURES)
def test_saved_files_are_small_legible_and_the_same_bytes_each_time(name, tmp_path):
    figure = FIGURES[name]()
    for path, drawn in [("a", figure), ("b", figure), ("c", FIGURES[name]())]:
        plots.save(drawn, tmp_path / f"{path}.png")
    written = [(tmp_path / f"{path}.png").read_bytes() for path in "abc"]
    assert written[0] == written[1] == written[2]
    assert len(written[0]) < 500_000
    with Image.open(tmp_path / "a.png") as image:
        assert set(image.info) <= {"dpi"}
        assert image.width / 200 < 8
        edges = np.asarray(image.convert("L"))
    # Nothing is cut off: the outermost dots are white all around.
    assert all(np.all(edge > 250) for edge in (edges[0], edges[-1], edges[:, 0], edges[:, -1]))
    sizes = {
        text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()
    }
    assert min(sizes) >= 6


def test_save_replaces_whole_files_only(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    figure = FIGURES["sweep"]()
    figure.savefig = lambda aside, **_: (aside.write_bytes(b"half"), 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plots.save(figure, path)
    assert path.read_bytes() == b"old"
    plots.save(FIGURES["sweep"](), str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"Expected a path that ends in .png. Received: 'x.pdf'"):
        plots.save(figure, "x.pdf")


def test_threads_draw_what_one_thread_draws(tmp_path):
    def write(index):
        plots.save(FIGURES["ablation"](), tmp_path / f"{index}.png")
        return (tmp_path / f"{index}.png").read_bytes()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(write, range(8)))) == 1


def test_the_callers_settings_neither_matter_nor_change(tmp_path):
    plots.save(FIGURES["sweep"](), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 30}):
        before = dict(matplotlib.rcParams)
        plots.save(FIGURES["sweep"](), tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_neither_pyplot_nor_tensorflow_is_loaded():
    script = """
import sys, tempfile
from mvae_tf import plots
codes = [[[0.0, 0.0], [1.0, 1.0]]]
figure = plots.latent_views(codes, [[0.1, 0.2]], [0, 1], ["x"], "w")
with tempfile.TemporaryDirectory() as folder:
    plots.save(figure, folder + "/x.png")
print(sorted({"matplotlib.pyplot", "tensorflow", "keras"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_images_past_the_bounds_by_rounding_are_drawn():
    figure = plots.image_grids([GREY * 0 + 1.0000002], ["mixture"])
    assert np.all(figure.axes[0].images[0].get_array() == 255)


CODE, LABEL = [[0.0, 1.0], [2.0, 3.0]], [0, 1]


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.image_rows([], []), "Expected one or more rows"),
        (lambda: plots.image_rows([GREY], ["a", "b"]), "Expected 1 labels"),
        (lambda: plots.image_rows([GREY], "a"), "Expected 1 labels"),
        (lambda: plots.image_rows([GREY], ["a"], []), "Expected 1 notes"),
        (lambda: plots.image_rows([GREY, GREY[:3]], ["a", "b"]), r"shape \[12, 28, 28, 1\]"),
        (lambda: plots.image_rows([GREY[..., 0]], ["a"]), r"Received: shape \[12, 28, 28\]"),
        (lambda: plots.image_rows([GREY[:0]], ["a"]), r"Received: shape \[0, 28, 28, 1\]"),
        (lambda: plots.image_rows([COLOUR[..., :2]], ["a"]), "1 or 3 channels"),
        (lambda: plots.image_grids([255 * GREY], ["a"]), r"grids\[0\] in \[0, 1\]. Received: val"),
        (lambda: plots.image_grids([GREY * np.nan], ["a"]), r"grids\[0\] to be finite"),
        (lambda: plots.image_grids([["x"]], ["a"]), r"grids\[0\] to be numbers"),
        (lambda: plots.latent_panels([], LABEL, []), "Expected one or more codes"),
        (lambda: plots.latent_panels([CODE], [0, 10], ["a"]), "integers from 0 to 9"),
        (lambda: plots.latent_panels([CODE], [0, -1], ["a"]), "integers from 0 to 9"),
        (lambda: plots.latent_panels([CODE], [0.0, 1.0], ["a"]), "integers from 0 to 9"),
        (lambda: plots.latent_panels([CODE], [[0, 1]], ["a"]), "integers from 0 to 9"),
        (lambda: plots.latent_panels([CODE], [0, 1, 2], ["a"]), r"codes\[0\] .*shape \[3, 2\]"),
        (lambda: plots.latent_panels([CODE], LABEL, []), "Expected 1 titles"),
        (lambda: plots.latent_panels([[[0, np.inf]] * 2], LABEL, ["a"]), "to be finite"),
        (lambda: plots.latent_views([CODE], [], LABEL, ["a"], "w"), "Expected 1 heights"),
        (lambda: plots.latent_views([CODE], [[1]], LABEL, ["a"], "w"), r"heights\[0\]"),
        (lambda: plots.sweep([], [], None, None, **SWEEP), r"x to be of shape \[n\]"),
        (lambda: plots.sweep([1, 2], [1], None, None, **SWEEP), r"means to be of shape \[2\]"),
        (lambda: plots.sweep([1], [np.nan], None, None, **SWEEP), "means to be finite"),
        (lambda: plots.sweep([1], [1], [-1], None, **SWEEP), "stds to be at least 0"),
        (lambda: plots.sweep([1], [1], None, None, paper=[1, 2], **SWEEP), "paper to be of shape"),
        (lambda: plots.sweep([1], [1], None, ("VAE", None, 0), **SWEEP), "mean to be finite"),
        (lambda: plots.trends([], xlabel="K"), "one or more panels"),
        (lambda: plots.trends([("a", {})], xlabel="K"), "Expected 1 to 13 names"),
        (lambda: plots.trends([("a", {"b": ([],) * 3})], xlabel="K"), "one or more lines"),
        (lambda: plots.trends([("a", {"b": ([1], [], [])})], xlabel="K"), "a, b to be of shape"),
        (lambda: plots.trends([("a", {"b": ([1], [1], [-1])})], xlabel="K"), "to be at least 0"),
        (lambda: plots.ablation([], [("a", [])]), "one or more x_labels"),
        (lambda: plots.ablation(["0"], []), "one or more panels"),
        (lambda: plots.ablation(["0"], [("a", [1, 2])]), r"a to be of shape \[1\]"),
        (lambda: plots.ablation(["0"], [("a", [0], None, True)]), "a above 0"),
        (lambda: plots.differences([], [("a", AHEAD)]), "one or more names"),
        (lambda: plots.differences(["a"], []), "one or more panels"),
        (lambda: plots.differences(["a"], [("a", {})]), "Expected 1 to 13 series"),
        (lambda: plots.differences(["a"], [("a", AHEAD)]), r"a, K = 4 to be of shape \[1\]"),
        (lambda: plots.differences(["a", "b"], [("a", AHEAD), ("b", {})]), "in each panel"),
    ],
)
def test_hostile_arguments_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
