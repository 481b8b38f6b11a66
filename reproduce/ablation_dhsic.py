"""What the dHSIC penalty does: its weight beta from 0 to 1000, its root, another bandwidth; K = 4.

It answers whether the paper's beta = 1 acts at all, what a beta that acts buys, and what it costs.
"""

import math

import numpy as np

import mvae_tf
from support import measures, verdicts
from support.results import run_script
from support.rows import require_parts
from support.study import ABLATION_EPOCHS, READINGS, Study, reading_of
from support.summaries import format_summary, summary
from support.texts import markdown_table, of_reading, origin

# Label: what differs from the preset's dhsic_weight=1, dHSIC itself, "dimension" bandwidths.
VARIANTS = {
    "0": {"dhsic_weight": 0.0},
    "1": {"dhsic_weight": 1.0},
    "10": {"dhsic_weight": 10.0},
    "100": {"dhsic_weight": 100.0},
    "1000": {"dhsic_weight": 1000.0},
    "root": {"dhsic_weight": 1.0, "dhsic_root": True},
    "median": {"dhsic_weight": 1.0, "bandwidths": "median"},
}
OTHERS = "root, median: beta = 1 with dHSIC's root, with median bandwidths"
MEASURES = {
    "mse": "test MSE",
    "knn": "KNN, joined codes (%)",
    "knn_component": "KNN, a component (%)",
    "dhsic": "dHSIC (test)",
    "cka": "linear CKA, mean of pairs",
    "entropy": "entropy of weights (nats)",
}
OFF = "0"
_ACTS = 0.9
DIGITS = {"mse": 2, "knn": 2, "knn_component": 2, "dhsic": 5, "cka": 3, "entropy": 3}


def rebuild(study: Study) -> tuple[dict, dict]:
    """Train (or find) each variant with the same seeds, and measure it on the test images."""
    rows = {}
    for label, settings in VARIANTS.items():
        measured = [_measure(study, seed, settings) for seed in study.seeds]
        rows[label] = {name: summary([each[name] for each in measured]) for name in MEASURES}
    content = {"rows": rows, "dhsic_images": measures.DHSIC_IMAGES}
    return content, pictures(content)


def pictures(result: dict) -> dict:
    """Draw each measure against beta, with its deviation over seeds."""
    rows = _in_order(result)
    panels = [
        mvae_tf.plots.Measure(
            title,
            [row[name]["mean"] for row in rows.values()],
            [row[name]["std"] for row in rows.values()],
            format=f".{min(DIGITS[name], 4)}f",
        )
        for name, title in MEASURES.items()
    ]
    return {"": mvae_tf.plots.ablation(list(rows), panels, xlabel=f"beta ({OTHERS})")}


def _in_order(result):
    return {label: result["rows"][label] for label in VARIANTS}


def _measure(study, seed, settings):
    model = study.run(seed, num_components=4, epochs=ABLATION_EPOCHS, **settings).model
    data = study.data
    train, test = measures.encoded(model, data)
    return {
        "mse": mvae_tf.evaluation.reconstruction_errors(model, data.test).mse,
        "knn": measures.knn_accuracy(train.means, test.means, data),
        "knn_component": np.mean(measures.component_accuracies(train.means, test.means, data)),
        "dhsic": measures.dhsic(test.means),
        "cka": measures.mean_cka(test.means),
        "entropy": measures.entropy(test.weights),
    }


def text(result: dict) -> str:
    """Return the table, the picture and the answers as Markdown."""
    require_parts(result["rows"], VARIANTS, only=True)
    rows = [
        [label, *(format_summary(row[name], DIGITS[name]) for name in MEASURES)]
        for label, row in _in_order(result).items()
    ]
    return f"""\
# Ablation: what the dHSIC penalty does{of_reading(result)}

{markdown_table(["beta", *MEASURES.values()], rows)}

![Each measure against beta](ablation_dhsic.png)

{answer(result)}

K = 4, d = 20, the same seeds in every row; {OTHERS}.
dHSIC and CKA: of the components' posterior means, CKA on all test images, dHSIC on the first
{result["dhsic_images"]}, "dimension" bandwidths. Weights: the mean over test images of the expected
mixing weights; four equal ones have 1.386 nats.

{origin(result)}"""


def answer(result: dict) -> str:
    """Say by the rule whether beta = 1 acts, and what every other row changes against beta = 0."""
    rows = {label: row for label, row in _in_order(result).items() if label != OFF}
    changes = [
        [
            label,
            *(_changed(row, result["rows"][OFF], name, digits) for name, digits in DIGITS.items()),
        ]
        for label, row in rows.items()
    ]
    acts = "{} lowers the codes' dHSIC by more than a tenth against beta = 0"
    reading = f"`{reading_of(result)}`"
    stated = [
        verdicts.stated(acts.format(f"beta = {label}"), [lowered(result, label)], reading)
        for label in ("1", "1000")
    ]
    return f"""\
{chr(10).join(stated)}

By how much each measure is higher than at beta = 0:

{markdown_table(["beta", *MEASURES.values()], changes)}

The mean over seeds of the paired differences, its 95 % interval and what the rule says of it; with
one seed there is no interval, and all are undecided."""


def lowered(result: dict, label: str) -> verdicts.Interval:
    """Return by how much more than a tenth a row lowers the codes' dHSIC against beta = 0.

    By less than a tenth it would not be what makes components differ.
    """
    off, on = (result["rows"][each]["dhsic"]["per_seed"] for each in (OFF, label))
    return verdicts.interval(verdicts.minus([_ACTS * each for each in off], on))


def _changed(row, off, name, digits):
    change = verdicts.interval(verdicts.minus(row[name]["per_seed"], off[name]["per_seed"]))
    if math.isinf(change.half):
        return change.told(digits)
    return f"{change.told(digits)}, {verdicts.word(change, 'higher', 'lower')}"


if __name__ == "__main__":
    run_script("ablation_dhsic", rebuild, text, grows=True, redraw=pictures, readings=READINGS)
