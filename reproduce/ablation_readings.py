"""The readings of the paper's text: what is mixed, which likelihood, which Dirichlet; K = 4.

For each, how far it lies from the printed Tables I and II. --rows chooses some of them; others can
follow with --add.
"""

import itertools

import numpy as np

import mvae_tf
from support import measures, paper, verdicts
from support.rows import Rows, require_parts
from support.scripts import run_script
from support.study import ABLATION_EPOCHS, Study
from support.summaries import format_summary, summary
from support.texts import markdown_table, origin

COMPONENTS = 4
MIXINGS = ("likelihood", "image")
LIKELIHOODS = ("gaussian", "bernoulli")
DIRICHLETS = (("free", 100.0), ("free", 1.0), ("normalized", None))  # prior None: 1/K
LISTS = ("mse_components", "knn_components", "weights")  # one value a component
READINGS = [
    (mixing, likelihood, *dirichlet)
    for mixing, likelihood, dirichlet in itertools.product(MIXINGS, LIKELIHOODS, DIRICHLETS)
]


def _name(*reading):
    *names, prior = reading
    return ":".join([*names, _in_short(prior)])


def _in_short(prior):
    return "1/K" if prior is None else f"{prior:g}"


# By the name that --rows takes.
ROWS = {_name(*reading): reading for reading in READINGS}
# The quick preset keeps seven, which its six minutes have room for.
QUICK = [list(ROWS)[index] for index in (0, 1, 3, 6, 7, 10, 11)]
# The reading that each preset stands for.
PRESETS = {
    READINGS[0]: "`paper_mnist`",
    READINGS[-1]: "`authors_mnist` but for dHSIC's root, its activations and dropout",
}


def usual_rows(preset: str) -> list[str]:
    """Return the rows of a preset, by the names that --rows takes."""
    return QUICK if preset == "quick" else list(ROWS)


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen reading's mixture and its likelihood's VAE; measure both."""
    usual = usual_rows(study.preset)
    chosen = usual if chosen is None else chosen
    vaes = {
        likelihood: _summaries(study, num_components=1, likelihood=likelihood)
        for likelihood in LIKELIHOODS
    }
    rows = []
    for mixing, likelihood, concentration, prior in (ROWS[name] for name in ROWS if name in chosen):
        measured = _summaries(
            study,
            num_components=COMPONENTS,
            mixing=mixing,
            likelihood=likelihood,
            concentration=concentration,
            prior_concentration=prior,
        )
        reading = {"mixing": mixing, "likelihood": likelihood, "concentration": concentration}
        rows.append(reading | {"prior_concentration": prior} | measured)
    return {"rows": rows, "vaes": vaes, "complete": set(usual) <= set(chosen)}, {}


def by_name(result: dict) -> dict[str, dict]:
    """Return a result's rows by the names that --rows takes."""
    return {_name(*reading_of(row)): row for row in result["rows"]}


def _summaries(study, **settings):
    per_seed = [_measure(study, seed, settings) for seed in study.seeds]
    return {
        name: [summary(values) for values in zip(*(each[name] for each in per_seed), strict=True)]
        if name in LISTS
        else summary([each[name] for each in per_seed])
        for name in per_seed[0]
    }


def _measure(study, seed, settings):
    model = study.run(seed, epochs=ABLATION_EPOCHS, **settings).model
    data = study.data
    train, test = measures.encoded(model, data)
    errors = mvae_tf.evaluation.reconstruction_errors(model, data.test)
    return {
        "mse": errors.mse,
        "mse_sampled": errors.mse_sampled,
        "mse_components": mvae_tf.evaluation.component_errors(model, data.test).tolist(),
        "knn": measures.knn_accuracy(train.means, test.means, data),
        "knn_components": measures.component_accuracies(train.means, test.means, data),
        "weights": test.weights.mean(axis=0).tolist(),
    }


def _distances(mixture, vae, at=lambda summary: summary["mean"]):
    """Return how far a reading is from print, by the means over seeds or by what `at` takes.

    "table1": mean relative deviation, of the VAE's error from the printed one, and of the mixture's
    from the printed values' line through K = 1 and K = 7, at K = 4. "table2":
    `measures.knn_distance`.
    """
    printed = {count: error for _, count, error in paper.TABLE1}
    between = printed[1] + (printed[7] - printed[1]) * (COMPONENTS - 1) / 6
    table1 = np.mean(
        [
            abs(at(vae["mse"]) - printed[1]) / printed[1],
            abs(at(mixture["mse"]) - between) / between,
        ]
    )
    components = [at(values) for values in mixture["knn_components"]]
    table2 = measures.knn_distance(at(mixture["knn"]), components, at(vae["knn"]))
    return {"table1": float(table1), "table2": table2}


def ranked(result: dict) -> list[dict]:
    """Return a result's rows with their distances from print and their ranks, "table1" to "rank".

    By the sum of the ranks in both distances, which have no common unit; ties by the second.
    """
    rows = [row | _distances(row, result["vaes"][row["likelihood"]]) for row in result["rows"]]
    for row in rows:
        row["rank_sum"] = sum(
            sum(other[table] < row[table] for other in rows) + 1 for table in ("table1", "table2")
        )
    for rank, row in enumerate(sorted(rows, key=lambda row: (row["rank_sum"], row["table2"])), 1):
        row["rank"] = rank
    return rows


def table(result: dict) -> str:
    """Return the table as Markdown."""
    require_parts(result["vaes"], LIKELIHOODS, only=True)
    for models, count in ((result["rows"], COMPONENTS), (result["vaes"].values(), 1)):
        for each, name in itertools.product(models, LISTS):
            if len(each[name]) != count:
                raise ValueError(f"Expected {name} of {count}. Received: {each[name]!r}.")
    header = ["Reading", "MSE", "sampled", "of components", "KNN joined", "KNN of components"]
    header += ["mean weights", "from Table I", "from Table II", "rank"]
    rows = [
        [
            name_of(row),
            *_cells(row),
            f"{100 * row['table1']:.0f} %",
            f"{row['table2']:.2f}",
            str(row["rank"]),
        ]
        for row in ranked(result)
    ]
    for likelihood, vae in ((each, result["vaes"][each]) for each in LIKELIHOODS):
        mse, sampled, _, knn, *_ = _cells(vae)
        rows.append([f"single VAE, {likelihood}", mse, sampled, "", knn, "", "", "", "", ""])
    return markdown_table(header, rows)


def closest(result: dict) -> dict:
    """Return the row of the reading that explains the printed tables best."""
    return min(ranked(result), key=lambda row: row["rank"])


def nearer(result: dict) -> list[verdicts.Interval]:
    """Return how much nearer to each printed table `paper_mnist` is than the nearest other reading.

    A comparison a table; the other is chosen for each seed and table anew.
    """
    (row,) = (each for each in result["rows"] if reading_of(each) == READINGS[0])
    others = [each for each in result["rows"] if each is not row]
    return [
        verdicts.interval(
            verdicts.minus(
                verdicts.best([_by_seed(result, each, table) for each in others], lowest=True),
                _by_seed(result, row, table),
            )
        )
        for table in ("table1", "table2")
    ]


def _by_seed(result, row, table):
    vae = result["vaes"][row["likelihood"]]
    return [
        _distances(row, vae, lambda values, index=index: values["per_seed"][index])[table]
        for index in range(len(row["mse"]["per_seed"]))
    ]


def judged(result: dict) -> str:
    """Return which reading is first by rank, and what the rule says of `paper_mnist`."""
    present = by_name(result)
    missing = [in_words(ROWS[name]) for name in usual_rows(result["preset"]) if name not in present]
    left_out = f"\nNot run: {'; '.join(missing)}." if missing else ""
    told = f"First by rank: {name_of(closest(result))}.{left_out}"
    if len(present) == 1 or next(iter(ROWS)) not in present:
        return told
    of = f"those {len(present) - 1} others" if missing else "every other reading"
    claim = f"`paper_mnist` is nearer to both printed tables than {of}"
    return f"{told}\n{verdicts.stated(claim, nearer(result))}"


def text(result: dict) -> str:
    """Return the table and which reading explains the printed ones best, as Markdown."""
    return f"""\
# Ablation: readings of the paper's text

{table(result)}

{judged(result)}
By test images, which `paper_mnist` is then held against print on: readings_heldout.py chooses
without them.

K = 4, d = 20, same seeds and epochs in every row. A reading: what is mixed (likelihoods, eq. 8, or
images, Section III), the likelihood, the Dirichlet's parameters (free, or normalised to sum 1) and
its prior. MSE at posterior means; components alone, their weight 1. "From Table I": mean relative
deviation of the errors of the VAE and of the mixture (printed for K = 1 and 7; K = 4 is taken from
the line between). "From Table II": root mean square over KNN's six cells, in points of accuracy.
Rank: by the sum of both ranks. Distances in error mean little before training has come as far as
the paper's 100 epochs.

{origin(result)}"""


def _cells(row):
    return [
        format_summary(row["mse"], 2),
        format_summary(row["mse_sampled"], 2),
        " ".join(f"{values['mean']:.1f}" for values in row["mse_components"]),
        format_summary(row["knn"], 2),
        " ".join(f"{values['mean']:.1f}" for values in row["knn_components"]),
        " ".join(f"{values['mean']:.2f}" for values in row["weights"]),
    ]


def reading_of(row: dict) -> tuple:
    """Return a row's reading, one of `READINGS`."""
    return tuple(
        row[name] for name in ("mixing", "likelihood", "concentration", "prior_concentration")
    )


def name_of(row: dict) -> str:
    """Return a row's reading in words."""
    return in_words(reading_of(row))


def in_words(reading: tuple) -> str:
    """Return a reading, one of `READINGS`, in words."""
    *names, prior = reading
    preset = f" ({PRESETS[reading]})" if reading in PRESETS else ""
    return f"{', '.join(names)}, prior {_in_short(prior)}{preset}"


KNOWN_ROWS = Rows(ROWS, by_name, usual_rows)

if __name__ == "__main__":
    run_script(
        "ablation_readings",
        rebuild,
        text,
        rows=KNOWN_ROWS,
        grows=True,
    )
