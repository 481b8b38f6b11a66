"""Figure 4: KNN accuracy on the joined codes as the number of components grows from 4 to 10."""

import mvae_tf
from mvae_tf.training import stored
from support import measures
from support.rows import require_parts
from support.scripts import run_script
from support.study import READINGS, Study
from support.summaries import format_summary, summary
from support.texts import markdown_table, of_reading, origin

COMPONENTS = {"paper": (4, 5, 6, 7, 8, 9, 10), "quick": (4, 7, 10)}


def rebuild(study: Study) -> tuple[dict, dict]:
    """Train (or find) one model a number of components, and the single VAE."""
    counts = COMPONENTS[study.preset]
    accuracy = {
        count: summary([_knn_accuracy(study, seed, count) for seed in study.seeds])
        for count in (*counts, 1)
    }
    content = {
        "accuracy": {str(count): accuracy[count] for count in counts},
        "vae": accuracy[1],
        "classifier": mvae_tf.evaluation.classifiers.DESCRIPTIONS["KNN"],
    }
    return content, pictures(content)


def pictures(result: dict) -> dict:
    """Draw the accuracy against K, with its deviation over seeds, beside the single VAE's."""
    accuracy, vae = accuracies(result), result["vae"]
    figure = mvae_tf.plots.sweep(
        list(accuracy),
        [values["mean"] for values in accuracy.values()],
        [values["std"] for values in accuracy.values()],
        ("single VAE", vae["mean"], vae["std"]),
        xlabel="number of components K",
        ylabel="KNN accuracy on joined codes (%)",
    )
    return {"": figure}


def accuracies(result: dict) -> dict[int, dict]:
    """Return the accuracy of a result, a `summary`, by K."""
    return {int(count): result["accuracy"][count] for count in sorted(result["accuracy"], key=int)}


def _knn_accuracy(study, seed, num_components):
    model = study.run(seed, num_components=num_components).model
    train, test = measures.encoded(model, study.data)
    return measures.knn_accuracy(train.means, test.means, study.data)


def text(result: dict) -> str:
    """Return the figure and its numbers as Markdown."""
    stored.require(result, {"classifier": stored.TEXT})
    require_parts(result["accuracy"], COMPONENTS[result["preset"]], only=True)
    rows = [[str(count), format_summary(values, 2)] for count, values in accuracies(result).items()]
    rows.append(["1 (VAE)", format_summary(result["vae"], 2)])
    return f"""\
# Figure 4: KNN accuracy and the number of components{of_reading(result)}

![KNN accuracy on the joined codes against the number of components](fig4_components_sweep.png)

{markdown_table(["K", "accuracy (%)"], rows)}

Accuracy on the 10,000 test images, of codes joined to 20 K numbers.
KNN: {result["classifier"]}.
Beside as many separate VAEs: [controls of the trends](controls_sweep.md).

{origin(result)}"""


if __name__ == "__main__":
    run_script(
        "fig4_components_sweep", rebuild, text, grows=True, redraw=pictures, readings=READINGS
    )
