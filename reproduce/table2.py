"""Table II: accuracy of simple classifiers on the latent codes of MNIST, K = 4, d = 20.

Below the table stands what the paper does not print: KNN by the number of neighbours, and the same
models' reconstruction error and log-likelihood.
"""

import itertools

import numpy as np

import measures
import mvae_tf
import paper
from results import BEST_MNIST, markdown_table, origin, run_script
from study import Study
from summaries import format_summary, summary

NUM_SAMPLES = 64  # draws from the posterior for each image's log-likelihood
IMAGES = {"paper": 10_000, "quick": 1_000}  # test images whose log-likelihood is estimated
BEST = "Mixture, `best_mnist`"
NEIGHBOURS = (1, 3, 5, 7, 10, 15)


def rebuild(study: Study) -> tuple[dict, dict]:
    """Train (or find) the mixture and the VAE, then the classifiers on their codes."""
    per_seed = [_one_seed(study, seed) for seed in study.seeds]
    accuracy = {
        name: {
            column: summary([each["accuracy"][name][column] for each in per_seed])
            for column in (*paper.TABLE2_COLUMNS, BEST)
        }
        for name in paper.TABLE2
    }
    neighbours = {
        str(count): {
            column: summary([each["neighbours"][column][count] for each in per_seed])
            for column in accuracy["KNN"]
        }
        for count in NEIGHBOURS
    }
    errors = {
        model: {
            kind: summary([getattr(each["errors"][model], kind) for each in per_seed])
            for kind in ("mse", "mse_sampled")
        }
        for model in ("M-VAE", "VAE", BEST)
    }
    log_likelihood = {
        model: summary([each["log_likelihood"][model].mean for each in per_seed])
        | {"standard_error": per_seed[0]["log_likelihood"][model].standard_error}
        for model in ("M-VAE", "VAE")
    }
    content = {
        "columns": [*paper.TABLE2_COLUMNS, BEST],
        "paper": paper.TABLE2,
        "accuracy": accuracy,
        "classifiers": mvae_tf.classifiers.DESCRIPTIONS,
        "neighbours": neighbours,
        "errors": errors,
        "log_likelihood": log_likelihood,
        "num_samples": NUM_SAMPLES,
        "num_images": IMAGES[study.preset],
    }
    return content, {}


def _one_seed(study, seed):
    data = study.data
    mixture = study.run(seed, num_components=4).model
    vae = study.run(seed, num_components=1).model
    best = study.run(seed, preset="best_mnist", num_components=4).model
    parts = zip(*(measures.encoded(model, data) for model in (mixture, vae, best)), strict=True)
    train, test = (_columns(*(codes.means for codes in part)) for part in parts)
    accuracy = {}
    for name in paper.TABLE2:
        print(f"{name} on the codes of {', '.join(train)}", flush=True)
        accuracy[name] = {
            column: mvae_tf.classifiers.accuracy(
                name, train[column], data.train.labels, test[column], data.test.labels, seed=seed
            )
            for column in train
        }
    neighbours = {column: _by_neighbours(train[column], test[column], data) for column in train}
    models = {"M-VAE": mixture, "VAE": vae}
    log_likelihood = {
        name: mvae_tf.evaluation.mean_log_likelihood(
            model, data.test, num_samples=NUM_SAMPLES, max_images=IMAGES[study.preset]
        )
        for name, model in models.items()
    }
    errors = {
        name: mvae_tf.evaluation.reconstruction_errors(model, data.test)
        for name, model in (models | {BEST: best}).items()
    }
    return {
        "accuracy": accuracy,
        "neighbours": neighbours,
        "log_likelihood": log_likelihood,
        "errors": errors,
    }


def _by_neighbours(train, test, data):
    """Return KNN's test accuracy in % on codes [n, ...] by the number of neighbours."""
    from sklearn.neighbors import KNeighborsClassifier  # slow to load; printing has no need of it

    labels = data.train.labels
    knn = KNeighborsClassifier(max(NEIGHBOURS), algorithm="brute").fit(train, labels)
    nearest = labels[knn.kneighbors(test, return_distance=False)]
    votes = np.cumsum(np.eye(10)[nearest], axis=1)  # [n, neighbours, digits]
    return {
        count: 100 * float(np.mean(votes[:, count - 1].argmax(axis=1) == data.test.labels))
        for count in NEIGHBOURS
    }


def _columns(mixture, vae, best):
    """Return each column's features, [n, ...], from the models' codes [n, K, d]."""
    components = {f"C{k + 1}": mixture[:, k] for k in range(mixture.shape[1])}
    joined, best = (codes.reshape(len(codes), -1) for codes in (mixture, best))
    return {"Mixture": joined, **components, "VAE": vae[:, 0], BEST: best}


def text(result: dict) -> str:
    """Return both tables as Markdown."""
    columns = result["columns"]
    rows = [
        [name]
        + [
            format_summary(result["accuracy"][name][column], 2)
            + ("" if printed is None else f" ({printed:.2f})")
            for column, printed in itertools.zip_longest(columns, result["paper"][name])
        ]
        for name in result["accuracy"]
    ]
    footnotes = "\n".join(f"- {name}: {told}" for name, told in result["classifiers"].items())
    neighbours = [
        [
            count,
            *(format_summary(values, 2) for values in cells.values()),
            f"{_distance_from_print(cells):.2f}",
        ]
        for count, cells in result["neighbours"].items()
    ]
    measured = [
        [
            model,
            format_summary(values["mse"], 2),
            format_summary(values["mse_sampled"], 2),
            *_nats(result["log_likelihood"].get(model)),
        ]
        for model, values in result["errors"].items()
    ]
    header = ["Model", "test MSE", "sampled", "nats an image", "a pixel"]
    header.append("standard error over images")
    return f"""\
# Table II: accuracy (%) of classifiers on the latent codes of MNIST

{markdown_table(["Classifier", *columns], rows)}

In parentheses, the paper's. Codes are posterior means, 20 numbers a component; "Mixture" joins the
four components' to 80. Trained on 60,000 images, tested on 10,000.
{BEST_MNIST}
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
(nats; a density, Gaussian with variance 1/2 in each pixel, of which `best_mnist` has none; a lower
bound in expectation).

{origin(result)}"""


def _distance_from_print(cells):
    mixture, *components, vae = (cells[column]["mean"] for column in paper.TABLE2_COLUMNS)
    return measures.knn_distance(mixture, components, vae)


def _nats(values):
    if values is None:
        return ["-"] * 3
    mean, error = values["mean"], values["standard_error"]
    return [format_summary(values, 1), f"{mean / 784:.3f}", f"{error:.1f}"]


if __name__ == "__main__":
    run_script("table2", rebuild, text, grows=True)
