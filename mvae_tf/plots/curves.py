"""Measures against settings (Figure 4 and the ablations)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mvae_tf.plots import arguments, style


class Measure(NamedTuple):
    """One panel of `ablation`.

    Attributes:
        ylabel: What is measured, with its unit.
        values: One for each setting.
        stds: Their standard deviations; None for all, or for those that have none.
        log: Whether the axis is logarithmic.
        format: How a value is written at its point.
    """

    ylabel: str
    values: Sequence[float]
    stds: Sequence[float | None] | None = None
    log: bool = False
    format: str = ".4g"


@style.styled()
def sweep(
    x: Sequence[int],
    means: Sequence[float],
    stds: Sequence[float | None] | None,
    reference: tuple[str, float, float | None] | None,
    *,
    xlabel: str,
    ylabel: str,
    label: str = "M-VAE",
    paper: Sequence[float | None] | None = None,
) -> Figure:
    """Draw a measure against a setting (Figure 4), such as accuracy against components.

    Args:
        x: Settings, [n].
        means: Of the measure, [n].
        stds: Its standard deviations, [n]; None for all, or for those that have none.
        reference: Name, mean and standard deviation (or None) of what the line is held against.
        xlabel: Of the setting.
        ylabel: Of the measure.
        label: Of the line.
        paper: Published values, [n]; None for all, or where there is none.

    Returns:
        A figure with one axes; its legend lies above it.
    """
    x = arguments.array("x", x, (None,))
    means = arguments.array("means", means, x.shape)
    figure = Figure((style.COLUMN, 2.5), layout="constrained")
    axes = figure.subplots()
    stds = arguments.stds("stds", stds, x.shape)
    # Without deviations no bars, neither in the legend.
    bars = stds if np.isfinite(stds).any() else None
    axes.errorbar(x, means, bars, color=style.BLUE, marker="o", label=label)
    if paper is not None:
        paper = arguments.array("paper", paper, x.shape, gaps=True)
        # Larger, open and on top: it shows also where it meets the line.
        marks = {"marker": "s", "markersize": 6.5, "markerfacecolor": "none", "zorder": 3}
        axes.plot(x, paper, ":", color=style.VERMILION, label=f"{label} (paper)", **marks)
    if reference is not None:
        name, mean, std = reference
        mean = arguments.array("the reference's mean", mean, ())
        axes.axhline(mean, color=style.GREY, linestyle="--", label=name)
        if std is not None:
            std = arguments.stds("the reference's std", std, ())
            axes.axhspan(mean - std, mean + std, color=style.GREY, alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    handles, _ = axes.get_legend_handles_labels()
    # matplotlib names error bars after plain lines.
    figure.legend(handles=handles[-1:] + handles[:-1], loc="outside upper center", ncols=3)
    style.settle(figure)
    return figure


@style.styled()
def trends(
    panels: Sequence[tuple[str, Mapping[str, tuple[Sequence, Sequence, Sequence]]]], *, xlabel: str
) -> Figure:
    """Draw measures against a setting, of several things each, three panels a row.

    Args:
        panels: Of each the label of its axis, and by name the lines: settings, [n], means, [n],
            None or NaN where there is none, and standard deviations, [n], likewise. A line of
            nothing isn't drawn. At most 13 names in all.
        xlabel: Of the setting.

    Returns:
        A figure with one axes a panel; its legend lies above them, a name is of one colour in all.
    """
    arguments.count("panels", panels)
    names = list(dict.fromkeys(name for _, lines in panels for name in lines))
    if not 1 <= len(names) <= len(style.COLOURS):
        raise ValueError(f"Expected 1 to {len(style.COLOURS)} names. Received: {len(names)}.")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure((style.PAGE / 3 * columns, 1.9 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes in grid[len(panels) :]:
        axes.remove()
    drawn = {}
    for axes, (ylabel, lines) in zip(grid, panels, strict=False):
        for name, (x, means, stds) in lines.items():
            if len(x) == 0:
                continue
            x = arguments.array(f"x of {ylabel}, {name}", x, (None,))
            means = arguments.array(f"{ylabel}, {name}", means, x.shape, gaps=True)
            stds = arguments.stds(f"stds of {ylabel}, {name}", stds, x.shape)
            # Without deviations no bars, neither in the legend.
            bars = stds if np.isfinite(stds).any() else None
            look = {"color": style.COLOURS[names.index(name)], "marker": "o"}
            drawn[name] = axes.errorbar(x, means, bars, **look)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(axis="y")
    if not drawn:
        raise ValueError("Expected one or more lines. Received: none.")
    figure.legend([*drawn.values()], [*drawn], loc="outside upper center", ncols=3)
    style.settle(figure)
    return figure


@style.styled()
def ablation(
    x_labels: Sequence[str], panels: Sequence[Measure | tuple], *, xlabel: str = ""
) -> Figure:
    """Draw several measures under the same settings, two panels a row.

    Args:
        x_labels: Names of the n settings; no order or distance between them is implied.
        panels: Each a `Measure`, or a tuple of its first fields: (ylabel, values[, stds]).
        xlabel: What the settings are of.

    Returns:
        A figure with one axes a measure; each value is written above its point. Values that hardly
        differ look so: no axis spans less than 1 % of its largest value.
    """
    measures = [Measure(*panel) for panel in panels]
    arguments.count("panels", measures)
    arguments.count("x_labels", x_labels)
    count = len(x_labels)
    columns = min(2, len(measures))
    rows = -(-len(measures) // columns)
    figure = Figure((style.PAGE / 2 * columns, 1.3 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
    for axes in grid[len(measures) :]:
        axes.remove()
    for axes, measure in zip(grid, measures, strict=False):
        values = arguments.array(measure.ylabel, measure.values, (count,))
        stds = arguments.stds(f"stds of {measure.ylabel}", measure.stds, (count,))
        if measure.log and values.min() <= 0:
            raise ValueError(
                f"Expected {measure.ylabel} above 0 for its logarithmic axis. "
                f"Received: {values.min()}."
            )
        axes.set_yscale("log" if measure.log else "linear")
        axes.errorbar(range(count), values, stds, color=style.BLUE, marker="o", linestyle="none")
        for place, top in enumerate(values + np.nan_to_num(stds)):
            text = format(values[place], measure.format)
            axes.annotate(text, (place, top), (0, 5), textcoords="offset points", ha="center")
        axes.set_title(measure.ylabel, loc="left")
        axes.margins(x=0.5 / count, y=0.3)
        low, high = axes.get_ylim()
        least = 0.01 * np.abs(values).max()
        if not measure.log and high - low < least:
            axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
        axes.grid(axis="y")
        axes.set_xticks(range(count), x_labels)
        axes.tick_params(labelbottom=True)
    figure.supxlabel(xlabel)
    style.settle(figure)
    return figure
