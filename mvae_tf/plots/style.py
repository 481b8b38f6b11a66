"""What all figures share: settings, colours and sizes, a layout that stays, and the file."""

import contextlib
import os
import threading
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from mvae_tf import files

# Ten colours that stay 15 units of OKLab (x 100) apart to normal, red-blind and green-blind eyes,
# and dark enough for white paper. Digits often taken for one another (3 5 8, 4 9) differ most.
CLASS_COLOURS = (
    *("#000076", "#ff3b14", "#009d89", "#ebc400", "#9d00ff"),
    *("#3b1414", "#b189ff", "#9d2727", "#4e4e89", "#76d8d8"),
)
# Of Okabe and Ito's palette.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#555555"
COLOURS = (BLUE, VERMILION, GREY, *CLASS_COLOURS)  # of several things in one picture

COLUMN, PAGE = 3.5, 7.16  # widths of an IEEE column and page, inches
DPI = 200
_LOCK = threading.RLock()
_STYLE = {
    "figure.dpi": DPI,
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 7),
    **dict.fromkeys(("figure.labelsize", "axes.labelsize"), 8),
    "axes.formatter.useoffset": False,
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.5),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size", "errorbar.capsize"), 2.5),
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
}


@contextlib.contextmanager
def styled():
    """Draw with these settings, whatever the caller's."""
    # matplotlib's settings belong to the whole process: one thread at a time may borrow them.
    with _LOCK, matplotlib.style.context(["default", _STYLE]):
        yield


def settle(figure: Figure) -> None:
    """Lay a figure out for good: matplotlib's layout moves a little each time it is drawn."""
    engine = figure.get_layout_engine()
    for _ in range(8):
        engine.execute(figure)
    figure.set_layout_engine("none")


@styled()
def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, 200 dots an inch, cut to what is drawn.

    The same figure gives the same bytes. It is written aside and renamed: a reader sees the old
    picture or the new, never a part.

    Args:
        figure: Of this module.
        path: Ends in .png.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"Expected a path that ends in .png. Received: {str(path)!r}.")
    figure.draw_without_rendering()
    # Cut at whole dots, so that an image's pixels stay whole dots too.
    drawn = figure.get_tightbbox().padded(0.03).get_points() * DPI
    bbox = Bbox(np.stack([np.floor(drawn[0]), np.ceil(drawn[1])]) / DPI)
    png = {"format": "png", "metadata": {"Software": None}, "pil_kwargs": {"compress_level": 9}}
    with files.aside(path) as aside, files.writing(path):
        figure.savefig(aside, dpi=DPI, bbox_inches=bbox, **png)
        files.put(aside, path)
