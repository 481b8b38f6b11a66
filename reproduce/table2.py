"""Table II: accuracy of simple classifiers on the latent codes of MNIST, K = 4, d = 20.

Below the table stands what the paper does not print: KNN by the number of neighbours, and the same
models' reconstruction error and log-likelihood.
"""

import itertools

import numpy as np

import mvae_tf
import search_vae
from mvae_tf import presets
from support import beside, measures, paper, verdicts
from support.results import found_beside
from support.rows import require_parts
from support.scripts import run_script
from support.study import READINGS, Study, reading_of
from support.summaries import format_summary, over_seeds, summary
from support.texts import BEST_MNIST, markdown_table, of_reading, origin

NUM_SAMPLES = 64  # draws from the posterior for each image's log-likelihood
IMAGES = {"paper": 10_000, "quick": 1_000}  # test images whose log-likelihood is estimated
BEST = "Mixture, `best_mnist`"
SEARCHED = "VAE, same search"
# Beside the text's reading alone: under another one they would be the same models again.
OF_OUR_OWN = OF_ONE_SEED = (BEST, SEARCHED)
BEST_SEED = 0  # the only seed by which both are trained: they take as long as all else
MODELS = ("M-VAE", "VAE")  # the paper's
COMPONENTS = 4
BESIDE = ("controls",)  # results that its text shows, too
_NO_NATS = ["-"] * 3
_COMPONENTS = [f"C{index + 1}" for index in range(COMPONENTS)]
NEIGHBOURS = (1, 3, 5, 7, 10, 15)
USUAL_NEIGHBOURS = 5  # those of the classifier in the table


def rebuild(study: Study, searched: dict | None = None) -> tuple[dict, dict]:
    """Train (or find) the mixture and the VAE, then the classifiers on their codes.

    Args:
        study: What they are trained with.
        searched: The result of search_vae.py. None: without the VAE that it chose.
    """
    measured = [_one_seed(study, seed, searched) for seed in study.seeds]
    standard_errors = [each.pop("standard_errors") for each in measured]
    content = over_seeds(measured)
    for model, error in standard_errors[0].items():
        content["log_likelihood"][model]["standard_error"] = error
    if SEARCHED in content["errors"]:
        content["searched"] = searched["chosen"]
    content |= {
        "paper": paper.TABLE2,
        "classifiers": mvae_tf.evaluation.classifiers.DESCRIPTIONS,
        "num_samples": NUM_SAMPLES,
        "num_images": IMAGES[study.preset],
    }
    return content, {}


def _one_seed(study, seed, searched):
    data = study.data
    mixture = study.run(seed, num_components=COMPONENTS).model
    vae = study.run(seed, num_components=1).model
    models = {"M-VAE": mixture, "VAE": vae}
    if _has_own(study, seed):
        models[BEST] = study.run(seed, preset="best_mnist", num_components=COMPONENTS).model
        if searched is not None:
            models[SEARCHED] = study.run(
                seed, num_components=1, **search_vae.settings(searched)
            ).model
    parts = zip(*(measures.encoded(model, data) for model in models.values()), strict=True)
    train, test = (_columns(*(codes.means for codes in part)) for part in parts)
    accuracy = {}
    for name in paper.TABLE2:
        print(f"{name} on the codes of {', '.join(train)}", flush=True)
        accuracy[name] = {
            column: mvae_tf.evaluation.classifiers.accuracy(
                name, train[column], data.train.labels, test[column], data.test.labels, seed=seed
            )
            for column in train
        }
    likelihoods = {
        name: mvae_tf.evaluation.mean_log_likelihood(
            models[name], data.test, num_samples=NUM_SAMPLES, max_images=IMAGES[study.preset]
        )
        for name in MODELS
    }
    errors = {
        name: mvae_tf.evaluation.reconstruction_errors(model, data.test)
        for name, model in models.items()
    }
    return {
        "accuracy": accuracy,
        "neighbours": _by_neighbours(train, test, data),
        "errors": {
            name: {"mse": error.mse, "mse_sampled": error.mse_sampled}
            for name, error in errors.items()
        },
        "log_likelihood": {name: each.mean for name, each in likelihoods.items()},
        "standard_errors": {name: each.standard_error for name, each in likelihoods.items()},
    }


def _has_own(study, *seeds):
    """Return whether models of our own stand beside the paper's of these seeds."""
    return BEST_SEED in seeds and study.reading == READINGS[0]


def _by_neighbours(train, test, data):
    """Return KNN's test accuracy in % by the number of neighbours and the column of features."""
    from sklearn.neighbors import KNeighborsClassifier  # slow to load; printing has no need of it

    labels, accuracy = data.train.labels, {str(count): {} for count in NEIGHBOURS}
    for column in train:
        knn = KNeighborsClassifier(max(NEIGHBOURS), algorithm="brute").fit(train[column], labels)
        nearest = labels[knn.kneighbors(test[column], return_distance=False)]
        votes = np.cumsum(np.eye(10)[nearest], axis=1)  # [n, neighbours, digits]
        for count in NEIGHBOURS:
            right = votes[:, count - 1].argmax(axis=1) == data.test.labels
            accuracy[str(count)][column] = 100 * float(np.mean(right))
    return accuracy


def _columns(mixture, vae, best=None, searched=None):
    """Return each column's features, [n, ...], from the models' codes [n, K, d]."""
    components = {f"C{k + 1}": mixture[:, k] for k in range(mixture.shape[1])}
    columns = {"Mixture": _joined(mixture), **components, "VAE": vae[:, 0]}
    others = {BEST: best, SEARCHED: searched}
    return columns | {name: _joined(each) for name, each in others.items() if each is not None}


def _joined(codes):
    return codes.reshape(len(codes), -1)


def text(result: dict, controls: dict | None = None) -> str:
    """Return both tables as Markdown.

    Args:
        result: Of this script.
        controls: Of controls.py: the mixture's have columns, and rows, of their own.
    """
    _require_parts(result)
    epochs = result["settings"]["training"].get("epochs")
    held_against = beside.of_mixture(result, controls, COMPONENTS, epochs, reading_of(result))
    others = [name for name in OF_OUR_OWN if name in result["errors"]]
    columns, models = [*paper.TABLE2_COLUMNS, *others], [*MODELS, *others]
    rows = [
        [name]
        + [
            format_summary(result["accuracy"][name][column], 2)
            + ("" if printed is None else f" ({printed:.2f})")
            for column, printed in itertools.zip_longest(columns, paper.TABLE2[name])
        ]
        + [beside.cell(each, name) for each in held_against.values()]
        for name in paper.TABLE2
    ]
    footnotes = "\n".join(f"- {name}: {result['classifiers'][name]}" for name in paper.TABLE2)
    neighbours = [
        [
            count,
            *(format_summary(cells[column], 2) for column in columns),
            f"{_distance_from_print(cells):.2f}",
        ]
        for count, cells in ((str(each), result["neighbours"][str(each)]) for each in NEIGHBOURS)
    ]
    likelihoods = result["log_likelihood"]
    measured = [
        [
            model,
            format_summary(values["mse"], 2),
            format_summary(values["mse_sampled"], 2),
            *(_nats(likelihoods[model]) if model in MODELS else _NO_NATS),
        ]
        for model, values in ((each, result["errors"][each]) for each in models)
    ]
    italic = [f"*{name}*" for name in held_against]
    measured += [
        [name, beside.cell(each, "mse"), beside.cell(each, "mse_sampled"), *_NO_NATS]
        for name, each in zip(italic, held_against.values(), strict=True)
    ]
    added = "\n" + beside.told(controls) if held_against else ""
    header = ["Model", "test MSE", "sampled", "nats an image", "a pixel"]
    header.append("standard error over images")
    return f"""\
# Table II: accuracy (%) of classifiers on the latent codes of MNIST{of_reading(result)}

{markdown_table(["Classifier", *columns, *italic], rows)}

In parentheses, the paper's. Codes are posterior means, 20 numbers a component; "Mixture" joins the
four components' to 80. Trained on 60,000 images, tested on 10,000.
{_of_components(result)}
{_of_our_own(result)}{added}
{footnotes}

KNN by the number of neighbours, which the paper does not tell:

{markdown_table(["Neighbours", *columns, "from print"], neighbours)}

"From print": root mean square over the six printed cells, in points of accuracy, components in
sorted order.

The same models' reconstructions and log-likelihood:

{markdown_table(header, measured)}

MSE: squared error of the mixture image, summed over pixels, mean over 10,000 test images, at
posterior means and expected weights; "sampled": at draws of both. Log-likelihood: of the first
{result["num_images"]:,} test images, importance-weighted with {result["num_samples"]} samples
(nats; {_likelihood(result)}; a lower
bound in expectation).

{origin(result)}"""


def beside_best(columns: dict[str, dict]) -> tuple[list[float], list[float]]:
    """Return the joined codes' accuracy and the best of the paper's other columns', by seed."""
    of = {name: each["per_seed"] for name, each in columns.items() if name not in OF_OUR_OWN}
    return of.pop("Mixture"), verdicts.best(of.values())


def _of_components(result):
    """Tell the best and the worst component of each seed: which is which differs by seed."""

    def told(lowest):
        found = []
        for name in paper.TABLE2:
            each = [result["accuracy"][name][column]["per_seed"] for column in _COMPONENTS]
            found.append(f"{name} {format_summary(summary(verdicts.best(each, lowest)), 2)}")
        return ", ".join(found)

    return f"""\
A mixture's best component, chosen anew for each seed and classifier: {told(False)};
its worst: {told(True)}."""


def _require_parts(result):
    require_parts(result["accuracy"], paper.TABLE2, only=True)
    require_parts(result["classifiers"], paper.TABLE2, only=True)
    require_parts(result["neighbours"], NEIGHBOURS, only=True)
    require_parts(result["log_likelihood"], MODELS, only=True)
    others = set(result["errors"]) & set(OF_OUR_OWN)
    require_parts(result["errors"], {*MODELS, *others}, only=True)
    for columns in (*result["accuracy"].values(), *result["neighbours"].values()):
        require_parts(columns, {*paper.TABLE2_COLUMNS, *others}, only=True)


def _of_our_own(result):
    told = []
    if BEST in result["errors"]:
        several = len(result["settings"]["seeds"]) > 1
        told.append(BEST_MNIST + (f" Of seed {BEST_SEED} alone." if several else ""))
    if SEARCHED in result["errors"]:
        told.append("Same search: what that search chooses for a single VAE (search_vae.py).")
    return "\n".join(told)


def _likelihood(result):
    if presets.get(reading_of(result)).model["likelihood"] == "gaussian":
        without = ", of which `best_mnist` has none" if BEST in result["errors"] else ""
        return f"a density, Gaussian with variance 1/2 in each pixel{without}"
    return "of the cross-entropy, each pixel a Bernoulli's, which is no density of grey values"


def _distance_from_print(cells):
    mixture, *components, vae = (cells[column]["mean"] for column in paper.TABLE2_COLUMNS)
    return measures.knn_distance(mixture, components, vae)


def _nats(values):
    mean, error = values["mean"], values["standard_error"]
    return [format_summary(values, 1), f"{mean / 784:.3f}", f"{error:.1f}"]


if __name__ == "__main__":
    run_script(
        "table2",
        lambda study: rebuild(
            study, found_beside("search_vae") if _has_own(study, *study.seeds) else None
        ),
        text,
        grows=True,
        beside=BESIDE,
        readings=READINGS,
    )
