"""Table II: accuracy of simple classifiers on the latent codes of MNIST, K = 4, d = 20.

The log-likelihood of the same models, which the paper does not print, stands below the table.
"""

import itertools

import measures
import mvae_tf
import paper
from results import BEST_MNIST, format_summary, markdown_table, origin, run_script, summary
from study import Study

NUM_SAMPLES = 64  # draws from the posterior for each image's log-likelihood
IMAGES = {"paper": 10_000, "quick": 1_000}  # test images whose log-likelihood is estimated
BEST = "Mixture, `best_mnist`"


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
    log_likelihood = {
        name: mvae_tf.evaluation.mean_log_likelihood(
            model, data.test, num_samples=NUM_SAMPLES, max_images=IMAGES[study.preset]
        )
        for name, model in (("M-VAE", mixture), ("VAE", vae))
    }
    return {"accuracy": accuracy, "log_likelihood": log_likelihood}


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
    nats = [
        [
            model,
            format_summary(values, 1),
            f"{values['mean'] / 784:.3f}",
            f"{values['standard_error']:.1f}",
        ]
        for model, values in result["log_likelihood"].items()
    ]
    return f"""\
# Table II: accuracy (%) of classifiers on the latent codes of MNIST

{markdown_table(["Classifier", *columns], rows)}

In parentheses, the paper's. Codes are posterior means, 20 numbers a component; "Mixture" joins the
four components' to 80. Trained on 60,000 images, tested on 10,000.
{BEST_MNIST}
{footnotes}

Log-likelihood of the test images, importance-weighted with {result["num_samples"]} samples (nats; a
density, Gaussian with variance 1/2 in each pixel; a lower bound in expectation):

{markdown_table(["Model", "nats an image", "a pixel", "standard error over images"], nats)}

Over the first {result["num_images"]:,} test images.

{origin(result)}"""


if __name__ == "__main__":
    run_script("table2", rebuild, text)
