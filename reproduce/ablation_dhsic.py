"""What the dHSIC penalty does: its weight beta from 0 to 1000, its root, another bandwidth; K = 4.

It answers whether the paper's beta = 1 acts at all, what a beta that acts buys, and what it costs;
as many VAEs that were trained separately say how alike codes are that nothing pushes apart.
--rows chooses some of the settings; others, and further seeds of each, can follow with --add.
"""

import math

import numpy as np

import mvae_tf
from support import ensembles, measures, verdicts
from support.rows import Rows, of_common_seeds, seeds_of
from support.scripts import run_script
from support.study import ABLATION_EPOCHS, READINGS, Study, reading_of
from support.summaries import format_summary, summary
from support.texts import markdown_table, of_reading, origin

SEPARATE = "VAEs"
# By the name that --rows takes: what differs from the preset's dhsic_weight=1, dHSIC itself,
# "dimension" bandwidths.
ROWS = {
    "0": {"dhsic_weight": 0.0},
    "1": {"dhsic_weight": 1.0},
    "10": {"dhsic_weight": 10.0},
    "100": {"dhsic_weight": 100.0},
    "1000": {"dhsic_weight": 1000.0},
    "root": {"dhsic_weight": 1.0, "dhsic_root": True},
    "median": {"dhsic_weight": 1.0, "bandwidths": "median"},
    SEPARATE: {},
}
# Under the paper preset; the others differ little from beta = 1, and --rows asks for them.
USUAL = ("0", "1", "100", "1000")
OTHERS = {
    "root": "beta = 1 with dHSIC's root",
    "median": "beta = 1 with median bandwidths",
    SEPARATE: "as many, trained separately",
}
COMPONENTS = 4
_WELCH = f"""
{SEPARATE}, of several seeds each, are not paired: Welch's interval, of all seeds of both rows.
Their error is that of the mean of their images; that weights are then equal says nothing."""
MEASURES = {
    "mse": "test MSE",
    "knn": "KNN, joined codes (%)",
    "knn_component": "KNN, a component (%)",
    "dhsic": "dHSIC (test)",
    "cka": "linear CKA, mean of pairs",
    "entropy": "entropy of weights (nats)",
}
OFF = "0"
ACTS = 0.9  # of dHSIC without the penalty: with more than that left, it is not what acts
DIGITS = {"mse": 2, "knn": 2, "knn_component": 2, "dhsic": 5, "cka": 3, "entropy": 3}


def usual_rows(preset: str, reading: str = READINGS[0]) -> list[str]:
    """Return the rows of a preset, the same in each reading, by the names that --rows takes."""
    return [name for name in ROWS if name != SEPARATE] if preset == "quick" else list(USUAL)


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen row's models and measure them on the test images."""
    usual = usual_rows(study.preset)
    chosen = usual if chosen is None else chosen
    rows = []
    for name in (name for name in ROWS if name in chosen):
        measured = [_measure(study, seed, name) for seed in study.seeds_of(name)]
        row = {each: summary([values[each] for values in measured]) for each in MEASURES}
        rows.append({"setting": name, "seeds": study.seeds_of(name)} | row)
    content = {"rows": rows, "dhsic_images": measures.DHSIC_IMAGES}
    return content | {"complete": set(usual) <= set(chosen)}, pictures(content)


def pictures(result: dict) -> dict:
    """Draw each measure against beta, with its deviation over seeds; without what diverged."""
    rows = {
        name: row
        for name, row in _in_order(result).items()
        if all(math.isfinite(row[each]["mean"]) for each in MEASURES)
    }
    if not rows:
        return {}
    panels = [
        mvae_tf.plots.Measure(
            title,
            [row[name]["mean"] for row in rows.values()],
            [row[name]["std"] for row in rows.values()],
            format=f".{min(DIGITS[name], 4)}f",
        )
        for name, title in MEASURES.items()
    ]
    others = f" ({_others(rows)})" if _others(rows) else ""
    return {"": mvae_tf.plots.ablation(list(rows), panels, xlabel=f"beta{others}")}


def by_name(result: dict) -> dict[str, dict]:
    """Return a result's rows by the names that --rows takes."""
    return {row["setting"]: row for row in result["rows"]}


def _others(names):
    """Return what rows are whose name is no beta; nothing without such."""
    return "; ".join(f"{name}: {what}" for name, what in OTHERS.items() if name in names)


def _in_order(result):
    rows = by_name(result)
    return {name: rows[name] for name in ROWS if name in rows}


def _measure(study, seed, name):
    measure = _of_separate if name == SEPARATE else _of_mixture
    mse, train, test, weights = measure(study, seed, ROWS[name])
    return {
        "mse": mse,
        "knn": measures.knn_accuracy(train, test, study.data),
        "knn_component": np.mean(measures.component_accuracies(train, test, study.data)),
        "dhsic": measures.dhsic(test),
        "cka": measures.mean_cka(test),
        "entropy": measures.entropy(weights),
    }


def _of_mixture(study, seed, settings):
    """Return a mixture's error, its codes [n, K, d] of train and test images, and its weights."""
    settings = {"num_components": COMPONENTS, "epochs": ABLATION_EPOCHS, **settings}
    model = study.run(seed, **settings).model
    train, test = measures.encoded(model, study.data)
    mse = mvae_tf.evaluation.reconstruction_errors(model, study.data.test).mse
    return mse, train.means, test.means, test.weights


def _of_separate(study, seed, settings):
    """Return the same of as many VAEs, whose images are averaged and whose codes are joined."""
    pool = [
        study.run(member, num_components=1, epochs=ABLATION_EPOCHS, **settings).model
        for member in ensembles.members(seed, COMPONENTS)
    ]
    parts = zip(*(measures.encoded(model, study.data) for model in pool), strict=True)
    codes = (np.concatenate([each.means for each in part], axis=1) for part in parts)
    weights = np.full([1, COMPONENTS], 1 / COMPONENTS)
    return ensembles.errors(pool, study.data.test)["mse"], *codes, weights


def text(result: dict) -> str:
    """Return the table, the picture and the answers as Markdown."""
    present = by_name(result)
    shown = {*usual_rows(result["preset"]), *present}
    rows = [[name, *_cells(result, present.get(name))] for name in ROWS if name in shown]
    others = f"; {_others(shown)}" if _others(shown) else ""
    return f"""\
# Ablation: what the dHSIC penalty does{of_reading(result)}

{markdown_table(["beta", *MEASURES.values(), "seeds"], rows)}

![Each measure against beta](ablation_dhsic.png)

{answer(result)}

K = {COMPONENTS}, d = 20{others}.
dHSIC and CKA: of the components' posterior means, CKA on all test images, dHSIC on the first
{result["dhsic_images"]}, "dimension" bandwidths. Weights: the mean over test images of the expected
mixing weights; four equal ones have 1.386 nats.

{origin(result)}"""


def _cells(result, row):
    if row is None:
        return ["not run", *["-"] * len(MEASURES)]
    measured = [format_summary(row[name], DIGITS[name]) for name in MEASURES]
    return [*measured, str(len(seeds_of(result, row)))]


def answer(result: dict) -> str:
    """Say by the rule whether beta = 1 acts, and what every other row changes against beta = 0."""
    rows = _in_order(result)
    changes = [
        [name, *(_changed(result, name, each) for each in MEASURES)]
        for name in (name for name in rows if name != OFF and OFF in rows)
        if name == SEPARATE or beside_off(result, name) is not None
    ]
    if not changes:
        return "No row was run by the same seeds as beta = 0, which they are held against."
    stated = "\n".join(_stated(result, name) for name in ("1", "1000"))
    separate = _WELCH if any(name == SEPARATE for name, *_ in changes) else ""
    return f"""\
{stated}

By how much each measure is higher than at beta = 0:

{markdown_table(["beta", *MEASURES.values()], changes)}

The mean over seeds, of those that both rows have, of the paired differences, its 95 % interval and
what the rule says of it; with one seed there is no interval, and all are undecided.{separate}"""


def _stated(result, name):
    claim = f"beta = {name} lowers the codes' dHSIC by more than a tenth against beta = 0"
    if (by := lowered(result, name)) is None:
        return f"That {claim}: not run by a seed that both have."
    return verdicts.stated(claim, [by], f"`{reading_of(result)}`")


def beside_off(result: dict, name: str) -> list[dict] | None:
    """Return the rows of beta = 0 and of a name, of the seeds that both have; None without such."""
    rows = by_name(result)
    if not {OFF, name} <= set(rows):
        return None
    return of_common_seeds(result, [rows[OFF], rows[name]])


def lowered(result: dict, name: str) -> verdicts.Interval | None:
    """Return by how much more than a tenth a row lowers the codes' dHSIC against beta = 0.

    By less than a tenth it would not be what makes components differ. None where the two have no
    seed in common, or have not both been run.
    """
    if (pair := beside_off(result, name)) is None:
        return None
    off, on = (row["dhsic"]["per_seed"] for row in pair)
    return verdicts.interval(verdicts.minus([ACTS * each for each in off], on))


def _changed(result, setting, name):
    if setting == SEPARATE:
        row = by_name(result)[SEPARATE]
        lower, higher = ([-v for v in of[name]["per_seed"]] for of in (row, by_name(result)[OFF]))
        shared = ensembles.overlap(seeds_of(result, row), COMPONENTS)
        change = verdicts.unpaired(higher, lower, shared)
    else:
        off, row = (each[name]["per_seed"] for each in beside_off(result, setting))
        change = verdicts.interval(verdicts.minus(row, off))
    judged = "" if math.isinf(change.half) else f", {verdicts.word(change, 'higher', 'lower')}"
    return change.told(DIGITS[name]) + judged


KNOWN_ROWS = Rows(ROWS, by_name, usual_rows, own_seeds=True)

if __name__ == "__main__":
    run_script(
        "ablation_dhsic",
        rebuild,
        text,
        rows=KNOWN_ROWS,
        grows=True,
        redraw=pictures,
        readings=READINGS,
    )
