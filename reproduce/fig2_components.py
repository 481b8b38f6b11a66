"""Figure 2: test images, each component alone (its weight 1, the others 0), and the mixture."""

import numpy as np

import mvae_tf
from support import verdicts
from support.rows import require_parts
from support.scripts import run_script
from support.study import READINGS, Study, reading_of
from support.summaries import format_summary, summary
from support.texts import markdown_table, of_reading, origin

COMPONENTS = 4
NAMES = [f"Component {k + 1}" for k in range(COMPONENTS)]
_WEIGHTS = " Mean weight: the expected mixing weight in the mixture, mean over them."


def rebuild(study: Study) -> tuple[dict, dict]:
    """Reconstruct one test image of each digit; measure each row on all test images."""
    test = study.data.test
    models = [study.run(seed, num_components=COMPONENTS).model for seed in study.seeds]
    alone = np.array([mvae_tf.evaluation.component_errors(model, test) for model in models])
    mixed = [mvae_tf.evaluation.reconstruction_errors(model, test).mse for model in models]
    weights = np.array(
        [mvae_tf.evaluation.encode_split(model, test).weights.mean(axis=0) for model in models]
    )
    mse, mean_weights = (
        {name: summary(values) for name, values in zip(NAMES, each.T, strict=True)}
        for each in (alone, weights)
    )
    mse["Mixture"] = summary(mixed)

    first = [int(np.flatnonzero(test.labels == digit)[0]) for digit in range(10)]
    images = test.float_images()[first]
    rows = [images]
    rows += [models[0].reconstruct(images, weights=row).numpy() for row in np.eye(COMPONENTS)]
    rows.append(models[0].reconstruct(images).numpy())
    notes = ["", *(f"MSE {values['per_seed'][0]:.2f}" for values in mse.values())]
    figure = mvae_tf.plots.image_rows(rows, ["Test images", *mse], notes)
    return {"mse": mse, "mean_weights": mean_weights}, {"": figure}


def text(result: dict) -> str:
    """Return the figure, its rows' errors and the verdict on the paper's claim as Markdown."""
    require_parts(result["mse"], [*NAMES, "Mixture"], only=True)
    claim = "the mixture has a lower error than every component alone"
    header = ["Row", "test MSE"]
    rows = [[name, format_summary(result["mse"][name], 2)] for name in (*NAMES, "Mixture")]
    if (weights := result.get("mean_weights")) is not None:  # older results have none
        require_parts(weights, NAMES, only=True)
        header.append("mean weight")
        for row in rows:
            row.append(format_summary(weights[row[0]], 3) if row[0] in weights else "1")
    return f"""\
# Figure 2: each component alone, and the mixture{of_reading(result)}

![Test images, each component's reconstructions, the mixture's](fig2_components.png)

{markdown_table(header, rows)}

A component alone: its mixing weight is 1, the others 0. MSE: squared error summed over pixels, mean
over 10,000 test images.{_WEIGHTS if weights else ""}
{verdicts.stated(claim, [ahead(result)], f"`{reading_of(result)}`")}
It is ahead of the best component by {ahead(result).told(2)}.{_over_seeds(result)}

{origin(result)}"""


def _over_seeds(result):
    seeds = result["settings"]["seeds"]
    if len(seeds) == 1:
        return ""
    alone = np.array([result["mse"][name]["per_seed"] for name in NAMES])
    best, worst = (format_summary(summary(each(axis=0)), 2) for each in (alone.min, alone.max))
    weighed = ""
    if weights := result.get("mean_weights"):
        of = np.array([weights[name]["per_seed"] for name in NAMES])
        of_best = summary(of[alone.argmin(axis=0), range(len(seeds))])
        weighed = f" (mean weight {format_summary(of_best, 3)})"
    return f"""
Components have no order that seeds share: each seed's best has {best}{weighed},
its worst {worst}.
The picture shows seed {seeds[0]}."""


def ahead(result: dict) -> verdicts.Interval:
    """Return how far the mixture's error is below the best component's, chosen for each seed."""
    errors = {name: values["per_seed"] for name, values in result["mse"].items()}
    mixture = errors.pop("Mixture")
    return verdicts.interval(verdicts.minus(verdicts.best(errors.values(), lowest=True), mixture))


if __name__ == "__main__":
    run_script("fig2_components", rebuild, text, grows=True, readings=READINGS)
