"""Latent codes coloured by class, in two dimensions and in three (Figure 3)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.proj3d import proj_transform

from mvae_tf.plots import arguments, style

_MAX_POINTS = 4_000


@style.styled()
def latent_panels(codes: Sequence[np.ndarray], labels: np.ndarray, titles: Sequence[str]) -> Figure:
    """Draw two-dimensional latent codes, coloured by class, one panel for each component.

    Each panel has its own centre and scale, the same along both its axes; the outermost 0.5 % of
    codes on each side may lie outside it. A class's number stands at the median of its codes,
    moved a little where two would overlap.

    Args:
        codes: Arrays [n, 2]; of more than 4,000 codes a random choice is drawn.
        labels: Classes of the codes, integers 0 to 9, [n].
        titles: One for each panel.

    Returns:
        A figure with one axes a panel, five in a row, and one legend.
    """
    codes, labels = arguments.codes(codes, labels, titles)
    columns = min(5, len(codes))
    rows, side = -(-len(codes) // columns), min(2.4, style.PAGE / columns)
    figure = Figure((side * columns, (side + 0.15) * rows + 0.3), layout="compressed")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02)
    for index, (points, title) in enumerate(zip(codes, titles, strict=True)):
        axes = figure.add_subplot(rows, columns, index + 1, box_aspect=1)
        low, high = _limits(points)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, pad=3)
        axes.set_xlabel("$z_1$", labelpad=1)
        axes.set_ylabel("$z_2$", labelpad=0)
        axes.locator_params(nbins=4)
        _scatter(axes, points, labels, low, high)
        _number_classes(axes, (_medians(points, labels) - low) / (high - low), labels)
    _class_legend(figure, labels)
    style.settle(figure)
    return figure


@style.styled()
def latent_views(
    codes: Sequence[np.ndarray],
    heights: Sequence[np.ndarray],
    labels: np.ndarray,
    titles: Sequence[str],
    zlabel: str,
) -> Figure:
    """Draw two-dimensional latent codes in three dimensions (Figure 3), coloured by class.

    As `latent_panels`, with a third axis whose scale is the same in all panels; there, too, the
    outermost 0.5 % on each side may lie outside.

    Args:
        codes: Arrays [n, 2]; of more than 4,000 codes a random choice is drawn.
        heights: Arrays [n]: the third axis, such as a component's expected mixing weight.
        labels: Classes of the codes, integers 0 to 9, [n].
        titles: One for each panel.
        zlabel: Of the third axis.

    Returns:
        A figure with one axes a panel, at most three in a row, and one legend.
    """
    codes, labels = arguments.codes(codes, labels, titles)
    arguments.count("heights", heights, len(codes))
    heights = [
        arguments.array(f"heights[{index}]", height, (len(labels),))
        for index, height in enumerate(heights)
    ]
    floor, ceiling = _limits(np.concatenate(heights)[:, None])
    columns = math.ceil(len(codes) / math.ceil(len(codes) / 3))  # rows of nearly equal length
    rows = -(-len(codes) // columns)
    figure = Figure((style.PAGE / 3 * columns, 2.2 * rows + 0.3))
    bottom = 0.3 / figure.get_figheight()
    figure.subplots_adjust(left=0, right=0.93, bottom=bottom, top=1, wspace=0.1, hspace=0)
    for index, (points, height, title) in enumerate(zip(codes, heights, titles, strict=True)):
        low, high = map(np.append, _limits(points), (floor, ceiling))
        points = np.column_stack([points, height])
        axes = figure.add_subplot(rows, columns, index + 1, projection="3d")
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
        axes.patch.set_visible(False)  # it would hide what a neighbour writes at its edge
        axes.view_init(elev=24, azim=-60)
        axes.set_box_aspect((1, 1, 0.9))
        axes.set_title(title, y=0.96)
        for name, text, label_pad, tick_pad in [
            ("x", "$z_1$", -10, -5),
            ("y", "$z_2$", -8, -4),
            ("z", zlabel, 1, 2),
        ]:
            axes.tick_params(name, pad=tick_pad)
            axis = getattr(axes, f"{name}axis")
            axis.set_label_text(text)
            axis.labelpad = label_pad
            axis.set_pane_color("white")
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        _scatter(axes, points, labels, low, high, depthshade=False)
        # Spread on the page, not in space, where numbers apart may still cover one another.
        projected = np.stack(proj_transform(*_medians(points, labels).T, axes.get_proj())[:2], 1)
        _number_classes(axes, (projected - axes.viewLim.min) / axes.viewLim.size, labels)
    _class_legend(figure, labels)
    return figure


def _limits(points):
    """Return the corners of a square about points [n, 2], without the outermost of them."""
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    reach = 0.55 * np.max(high - low) or 1.0
    return (low + high) / 2 - reach, (low + high) / 2 + reach


def _scatter(axes, points, labels, low, high, **kwargs):
    """Draw points [n, d] within limits [d] in random order, so that no class hides another."""
    order = np.random.default_rng(0).permutation(len(points))
    # The first of each class, however rare, and the first of all.
    firsts = np.unique(labels[order], return_index=True)[1]
    order = order[np.union1d(firsts, np.arange(min(len(order), _MAX_POINTS)))]
    order = order[np.all((points[order] >= low) & (points[order] <= high), axis=1)]
    colours = to_rgba_array(style.CLASS_COLOURS)[labels[order]]
    # Dots without smoothed edges: few colours keep the PNG small.
    axes.scatter(*points[order].T, c=colours, s=1, linewidths=0, antialiased=False, **kwargs)


def _medians(points, labels):
    return np.array([np.median(points[labels == each], axis=0) for each in np.unique(labels)])


def _number_classes(axes, places, labels):
    """Write each class's number at its place [classes, 2], in fractions of the axes."""
    gap = 0.13 * style.DPI / axes.bbox.width  # a disc's width, inches
    for label, place in zip(np.unique(labels), _spread(places, gap), strict=True):
        colour = style.CLASS_COLOURS[label]
        dark = np.mean(to_rgba_array(colour)[0, :3]) < 0.55
        disc = {"boxstyle": "circle,pad=0.15", "fc": colour, "ec": "white", "lw": 0.6}
        text = {"color": "white" if dark else "black", "fontsize": 6, "bbox": disc}
        where = {"xycoords": "axes fraction", "ha": "center", "va": "center"}
        # In three dimensions matplotlib itself numbers the points' zorder.
        axes.annotate(str(label), place, zorder=1000, **text, **where)


def _spread(places, gap):
    """Push places [n, 2] in the unit square apart until none are nearer than gap."""
    # Places that coincide need a direction to part in.
    places = places + np.random.default_rng(0).normal(scale=1e-4, size=places.shape)
    for _ in range(300):
        offsets = places[:, None] - places
        distances = np.linalg.norm(offsets, axis=-1, keepdims=True)
        pushes = np.clip(gap - distances, 0, gap / 10) / np.maximum(distances, 1e-9)
        places = np.clip(places + 0.3 * np.sum(pushes * offsets, axis=1), gap / 2, 1 - gap / 2)
    return places


def _class_legend(figure, labels):
    handles = [
        Line2D([], [], marker="o", linestyle="", color=style.CLASS_COLOURS[each], label=str(each))
        for each in np.unique(labels)
    ]
    columns = 5 if figure.get_figwidth() < 3 else len(handles)
    spacing = {"handletextpad": 0, "columnspacing": 0.8, "borderpad": 0.3}
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **spacing)
