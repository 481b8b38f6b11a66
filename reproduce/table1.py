"""Table I: reconstruction error on MNIST's test images, M-VAE with 7, 8, 10 components and VAE.

Below the paper's rows stands, under the paper preset, the largest mixture with a learning rate that
falls, to see what the paper's constant one costs, and our own settings, `best_mnist`. The quick
preset has the paper's rows alone, on fewer images; --rows adds the others.
"""

from tqdm import tqdm

import mvae_tf
import search_vae
from support import beside, paper, verdicts
from support.results import found_beside
from support.rows import Rows, of_common_seeds, seeds_of
from support.scripts import run_script
from support.study import READINGS, Study, reading_of
from support.summaries import format_summary, summary
from support.texts import BEST_MNIST, markdown_table, of_reading, origin

# By the name that --rows takes: model, number of components, printed error, settings.
ROWS = {
    **{str(row[1]): (*row, {}) for row in paper.TABLE1},
    "cosine:10": ("M-VAE, cosine", 10, None, {"protocol": {"decay": "cosine"}}),
    "best:10": ("M-VAE, `best_mnist`", 10, None, {"preset": "best_mnist"}),
    "best:1": ("VAE, `best_mnist`", 1, None, {"preset": "best_mnist"}),
    # With what `search_vae` chose; asked for by --rows alone, as it needs that result.
    "searched:1": ("VAE, same search", 1, None, {}),
}
SEARCHED = "searched:1"

BESIDE = ("controls",)  # results that its text shows, too

# Of the quick preset: with them it takes no more than five minutes on two slow cores.
QUICK_TRAIN_IMAGES = 40_000

_COSINE = """\
Cosine: the learning rate falls from 0.001 to 0 along half a cosine, all else is the paper's.
"""
_SEARCHED = """\
Same search: what that search chooses for a single VAE (search_vae.py).
"""


def usual_rows(preset: str, reading: str = READINGS[0]) -> list[str]:
    """Return the rows of a preset and a reading, by the names that --rows takes."""
    whole = preset != "quick" and reading == READINGS[0]
    own = [name for name in ROWS if name != SEARCHED] if whole else []
    return [name for name, row in ROWS.items() if row[2] is not None or name in own]


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen row's models and measure them.

    Args:
        study: What they are trained with.
        chosen: Names of rows. Default: the preset's.
    """
    usual = usual_rows(study.preset, study.reading)
    chosen = usual if chosen is None else chosen
    searched = found_beside("search_vae") if SEARCHED in chosen else None
    found = search_vae.settings(searched) if SEARCHED in chosen else {}
    if study.preset == "quick":
        study.train_on(QUICK_TRAIN_IMAGES)
    rows = []
    for name, (model, num_components, printed, settings) in ROWS.items():
        if name not in chosen:
            continue
        settings = found if name == SEARCHED else settings
        trained = [
            study.run(seed, num_components=num_components, **settings)
            for seed in study.seeds_of(name)
        ]
        errors = [
            mvae_tf.evaluation.reconstruction_errors(run.model, study.data.test) for run in trained
        ]
        rows.append(
            {
                "model": model,
                "num_components": num_components,
                "paper": printed,
                "seeds": study.seeds_of(name),
                "mse": summary([error.mse for error in errors]),
                "mse_sampled": summary([error.mse_sampled for error in errors]),
                "mse_per_pixel": summary([error.mse_per_pixel for error in errors]),
                "epochs": len(trained[0].history),
                "seconds": summary([run.seconds for run in trained]),
                **({"chosen": searched["chosen"]} if name == SEARCHED else {}),
            }
        )
    return {"rows": rows, "complete": set(usual) <= set(chosen)}, {}


def text(result: dict, controls: dict | None = None) -> str:
    """Return the table beside the paper's, as Markdown.

    Args:
        result: Of this script.
        controls: Of controls.py: each mixture's stand below it.
    """
    header = ["Model", "K", "MSE, paper", "MSE, ours", "sampled", "per pixel"]
    header += ["seeds", "epochs", "time a run"]
    measured = by_name(result)
    shown = {*usual_rows(result["preset"], reading_of(result)), *measured}
    rows, added = [], ""
    for name, (model, count, printed, settings) in ROWS.items():
        if name not in shown:
            continue
        row, of_print = measured.get(name), "-" if printed is None else f"{printed:.2f}"
        rows.append([model, str(count), of_print, *_cells(row)])
        if row is None or count == 1 or "protocol" in settings:
            continue
        reading = settings.get("preset", reading_of(result))
        for control, each in beside.of_mixture(
            result, controls, count, row["epochs"], reading
        ).items():
            rows.append([f"*{control}*", str(count), "-", *_control_cells(each, row["epochs"])])
            added = beside.told(controls) + "\n"
    images = result["dataset"]["train_images"]
    fewer = f" Trained on the first {images:,} images." if result["preset"] == "quick" else ""
    others = _COSINE if any(name.startswith("cosine") for name in shown) else ""
    others += BEST_MNIST + "\n" if any(name.startswith("best") for name in shown) else ""
    others += _SEARCHED if SEARCHED in shown else ""
    return f"""\
# Table I: reconstruction error on MNIST's test images{of_reading(result)}

{markdown_table(header, rows)}

MSE: squared error of the mixture image, summed over 784 pixels in [0, 1], mean over 10,000 images,
at posterior means and expected weights; "sampled": at draws of the latent codes and the weights.
{_verdict(result)}{fewer}
{others}{added}
{origin(result)}"""


def by_name(result: dict) -> dict[str, dict]:
    """Return a result's rows by the names that --rows takes."""
    names = {(model, count): name for name, (model, count, *_) in ROWS.items()}
    return {names[row["model"], row["num_components"]]: row for row in result["rows"]}


def printed_rows(result: dict) -> dict[int, dict]:
    """Return those of the paper's rows that were run, by K."""
    rows = by_name(result).items()
    return {row["num_components"]: row for name, row in rows if ROWS[name][2] is not None}


def ahead(result: dict, measure: str = "mse") -> verdicts.Interval | None:
    """Return how far the mixture with the largest error, of those run, is ahead of the single VAE.

    By the seeds that they have in common. None where they have none, or where mixtures and VAE have
    not both been run.
    """
    pair = beside_vae(result, measure)
    return None if pair is None else verdicts.interval(verdicts.minus(*pair))


def beside_vae(result: dict, measure: str = "mse") -> tuple[list[float], list[float]] | None:
    """Return the single VAE's error and the mixtures' largest, seed by seed; None as `ahead`."""
    rows = printed_rows(result)
    if 1 not in rows or len(rows) == 1:
        return None
    compared = of_common_seeds(result, [rows.pop(1), *rows.values()])
    if compared is None:
        return None
    vae, *mixtures = (row[measure]["per_seed"] for row in compared)
    return vae, verdicts.best(mixtures)


def fall(result: dict, measure: str = "mse") -> verdicts.Interval | None:
    """Return by how much the mixtures' error falls a component, by their seeds in common, or None.

    None where they have no seed in common, or fewer than two were run.
    """
    by_k = of_mixtures(result, measure)
    if len(by_k) < 2:
        return None
    return verdicts.interval([-rise for rise in verdicts.slopes(list(by_k), [*by_k.values()])])


def of_mixtures(result: dict, measure: str) -> dict[int, list[float]]:
    """Return an error of the paper's mixtures that were run, by K, of their seeds in common."""
    rows = {k: row for k, row in sorted(printed_rows(result).items()) if k != 1}
    compared = of_common_seeds(result, list(rows.values())) or []
    return dict(zip(rows, (row[measure]["per_seed"] for row in compared), strict=False))


def _cells(row):
    if row is None:
        return ["not run", *["-"] * 5]
    return [
        format_summary(row["mse"], 2),
        format_summary(row["mse_sampled"], 2),
        format_summary(row["mse_per_pixel"], 5),
        str(len(row["mse"]["per_seed"])),
        str(row["epochs"]),
        tqdm.format_interval(row["seconds"]["mean"]),
    ]


def _control_cells(measured, epochs):
    mse = measured["mse"]
    return [
        beside.cell(measured, "mse"),
        beside.cell(measured, "mse_sampled"),
        f"{mse['mean'] / 784:.5f}",
        str(len(mse["per_seed"])),
        str(epochs),
        "-",
    ]


def _verdict(result):
    least = ahead(result)
    if least is None:
        return "Mixtures and the single VAE have not both been run by the same seeds."
    run = "" if len(printed_rows(result)) == len(paper.TABLE1) else " that was run"
    claim = f"every mixture{run} has a lower error than the single VAE"
    return f"""\
{verdicts.stated(claim, [least], f"`{reading_of(result)}`")}
The one with the largest error is ahead by {least.told(2)}{_of_common_seeds(result)}."""


def _of_common_seeds(result):
    seeds = [seeds_of(result, row) for row in printed_rows(result).values()]
    return "" if all(each == seeds[0] for each in seeds) else ", of the seeds that all of them have"


KNOWN_ROWS = Rows(ROWS, by_name, usual_rows, own_seeds=True)

if __name__ == "__main__":
    run_script(
        "table1",
        rebuild,
        text,
        rows=KNOWN_ROWS,
        grows=True,
        beside=BESIDE,
        readings=READINGS,
    )
