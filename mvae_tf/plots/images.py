"""Images in labelled rows and in square grids (Figures 1, 2 and 5)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mvae_tf.plots import arguments, style

_GAP = 3  # between images, dots
_GRID_GAP = 20  # between grids, dots


@style.styled()
def image_rows(
    rows: Sequence[np.ndarray], labels: Sequence[str], notes: Sequence[str] | None = None
) -> Figure:
    """Draw labelled rows of images (Figure 2): column by column the same image, seen otherwise.

    Args:
        rows: Arrays [n, h, w, c] of one shape; floats in [0, 1], c 1 or 3.
        labels: One for each row, at its left.
        notes: One for each row, at its right, such as "MSE 12.3".

    Returns:
        A figure with one axes a row.
    """
    rows = arguments.images("rows", rows)
    arguments.count("labels", labels, len(rows))
    notes = [""] * len(rows) if notes is None else notes
    arguments.count("notes", notes, len(rows))
    count = len(rows[0])
    sheets = [_sheet(row, count, min(0.6, (style.PAGE - 1.7) / count)) for row in rows]
    figure = _image_figure(np.array(sheets)[:, None], left=0.85, right=0.85, top=0)
    for axes, label, note in zip(figure.axes, labels, notes, strict=True):
        offset = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(label, (0, 0.5), (-4, 0), "axes fraction", ha="right", **offset)
        axes.annotate(note, (1, 0.5), (4, 0), "axes fraction", ha="left", **offset)
    return figure


@style.styled()
def image_grids(grids: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Draw square grids of images side by side (Figures 1, 5): originals and reconstructions.

    Args:
        grids: Arrays [n, h, w, c] of one shape; floats in [0, 1], c 1 or 3.
        titles: One for each grid.

    Returns:
        A figure with one axes a grid.
    """
    grids = arguments.images("grids", grids)
    arguments.count("titles", titles, len(grids))
    side = int(np.ceil(np.sqrt(len(grids[0]))))
    width = min(style.COLUMN, style.PAGE / len(grids) - _GRID_GAP / style.DPI)
    # Without its gaps: three grids of small colour images must fit a page, and 500 kB.
    sheets = [_sheet(grid, side, width / side - _GAP / style.DPI) for grid in grids]
    figure = _image_figure(np.array(sheets)[None], left=0, right=0, top=0.2, gap=_GRID_GAP)
    for axes, title in zip(figure.axes, titles, strict=True):
        axes.set_title(title, pad=3)
    return figure


def _sheet(images, columns, cell):
    """Lay images [n, h, w, c] out on one white sheet; a cell is about that many inches wide."""
    # Whole dots for each pixel: no pixel is wider than its neighbour, and PNG stays small.
    scale = max(1, int(cell * style.DPI / images.shape[2] + 0.25))
    tiles = np.round(255 * images).astype(np.uint8).repeat(scale, 1).repeat(scale, 2)
    tiles = np.pad(tiles, [(0, 0), (0, _GAP), (0, _GAP), (0, 0)], constant_values=255)
    blank = np.full_like(tiles[:1], 255).repeat(-len(tiles) % columns, 0)
    _, height, width, channels = tiles.shape
    grid = np.concatenate([tiles, blank]).reshape(-1, columns, height, width, channels)
    return grid.swapaxes(1, 2).reshape(-1, columns * width, channels)[:-_GAP, :-_GAP]


def _image_figure(sheets, *, gap=_GAP, **margins):
    """Set sheets [rows, columns, h, w, c] dot for dot; gaps in dots, margins in inches."""
    rows, columns, height, width, channels = sheets.shape
    left, right, top = (round(style.DPI * margins[side]) for side in ("left", "right", "top"))
    size = np.array([left + columns * (width + gap) + right, rows * (height + gap) + top])
    figure = Figure(size / style.DPI)
    for row, column in np.ndindex(rows, columns):
        corner = left + column * (width + gap), (rows - 1 - row) * (height + gap)
        axes = figure.add_axes((*(corner / size), *((width, height) / size)))
        sheet = sheets[row, column] if channels == 3 else sheets[row, column, ..., 0]
        axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
    return figure
