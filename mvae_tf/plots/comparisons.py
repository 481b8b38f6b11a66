"""How far one thing is ahead of others, with intervals (the controls)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mvae_tf.plots import arguments, style


@style.styled()
def differences(
    names: Sequence[str],
    panels: Sequence[tuple[str, Mapping[str, tuple[Sequence[float], Sequence[float | None]]]]],
) -> Figure:
    """Draw differences from several things, one a line, with a line at 0.

    Args:
        names: Of the n things, from the top.
        panels: Of each the label of its axis, and by name one or more series: differences, [n], and
            half the widths of their intervals, [n], None where there is none. At most 13 series;
            all panels' have the same names.

    Returns:
        A figure with one axes a panel, two a row; its legend lies above them.
    """
    arguments.count("names", names)
    arguments.count("panels", panels)
    names_of_series = list(panels[0][1])
    if not 1 <= len(names_of_series) <= len(style.COLOURS):
        raise ValueError(
            f"Expected 1 to {len(style.COLOURS)} series. Received: {len(names_of_series)}."
        )
    count = len(names)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = rows * (0.55 + 0.16 * count * (1 + len(names_of_series) / 4)) + 0.3
    figure = Figure((style.PAGE / 2 * columns + 0.5, height), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, (label, series) in zip(grid, panels, strict=False):
        if list(series) != names_of_series:
            raise ValueError(
                f"Expected series {names_of_series} in each panel. Received: {list(series)}."
            )
        axes.axvline(0, color=style.GREY, linewidth=0.8)
        for index, (name, (values, halves)) in enumerate(series.items()):
            values = arguments.array(f"{label}, {name}", values, (count,))
            halves = arguments.stds(f"intervals of {label}, {name}", halves, (count,))
            place = np.arange(count) + (index - (len(series) - 1) / 2) * 0.8 / len(series)
            # Without intervals no bars, neither in the legend.
            bars = halves if np.isfinite(halves).any() else None
            colour = style.COLOURS[index]
            marks = {"color": colour, "marker": "o", "linestyle": "none"}
            axes.errorbar(values, place, xerr=bars, label=name, **marks)
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_yticks(range(count), names)
        axes.set_xlabel(label)
        axes.grid(axis="x")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    style.settle(figure)
    return figure
