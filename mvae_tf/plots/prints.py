"""Measured values with their spread beside a printed one."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mvae_tf.plots import arguments, style


@style.styled()
def against_print(labels: Sequence[str], panels: Sequence[tuple], *, xlabel: str) -> Figure:
    """Draw what several settings give, with their spread, against printed values.

    Args:
        labels: Names of the n settings, from the top down.
        panels: One a printed value: (title, printed, values, stds), values and their standard
            deviations [n]; the bars show two deviations to each side.
        xlabel: What is measured.

    Returns:
        A figure with one axes a panel, side by side; a dashed line is the printed value.
    """
    arguments.count("labels", labels)
    arguments.count("panels", panels)
    count, columns = len(labels), len(panels)
    figure = Figure((style.PAGE, 0.22 * count + 0.9), layout="constrained")
    row = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    places = np.arange(count)
    for axes, (title, printed, values, stds) in zip(row, panels, strict=True):
        values = arguments.array(f"values of {title}", values, (count,))
        stds = arguments.stds(f"stds of {title}", stds, (count,))
        printed = arguments.array(f"the printed value of {title}", printed, ())
        bars = {"color": style.BLUE, "marker": "o", "linestyle": "none"}
        axes.errorbar(values, places, xerr=2 * np.nan_to_num(stds), **bars)
        axes.axvline(printed, color=style.VERMILION, linestyle="--")
        axes.set_title(title, loc="left")
        axes.set_ylim(count - 0.5, -0.5)
        axes.grid(axis="x")
    row[0].set_yticks(places, labels)
    figure.supxlabel(xlabel)
    style.settle(figure)
    return figure
