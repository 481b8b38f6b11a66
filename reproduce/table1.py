"""Table I: reconstruction error on MNIST's test images, M-VAE with 7, 8, 10 components and VAE."""

from tqdm import tqdm

import mvae_tf
import paper
from results import format_summary, markdown_table, origin, run_script, summary
from study import Study


def rebuild(study: Study) -> tuple[dict, dict]:
    """Train (or find) each row's models and measure them on the test images."""
    rows = []
    for model, num_components, printed in paper.TABLE1:
        trained = [study.run(seed, num_components=num_components) for seed in study.seeds]
        errors = [
            mvae_tf.evaluation.reconstruction_errors(run.model, study.data.test) for run in trained
        ]
        rows.append(
            {
                "model": model,
                "num_components": num_components,
                "paper": printed,
                "mse": summary([error.mse for error in errors]),
                "mse_sampled": summary([error.mse_sampled for error in errors]),
                "mse_per_pixel": summary([error.mse_per_pixel for error in errors]),
                "epochs": len(trained[0].history),
                "seconds": summary([run.seconds for run in trained]),
            }
        )
    return {"rows": rows}, {}


def text(result: dict) -> str:
    """Return the table beside the paper's, as Markdown."""
    header = ["Model", "K", "MSE, paper", "MSE, ours", "sampled", "per pixel"]
    header += ["seeds", "epochs", "time a run"]
    rows = [
        [
            row["model"],
            str(row["num_components"]),
            f"{row['paper']:.2f}",
            format_summary(row["mse"], 2),
            format_summary(row["mse_sampled"], 2),
            format_summary(row["mse_per_pixel"], 5),
            str(len(row["mse"]["per_seed"])),
            str(row["epochs"]),
            tqdm.format_interval(row["seconds"]["mean"]),
        ]
        for row in result["rows"]
    ]
    vae = next(row for row in result["rows"] if row["num_components"] == 1)
    mixtures = [row["mse"]["mean"] for row in result["rows"] if row is not vae]
    ahead = "every mixture" if max(mixtures) < vae["mse"]["mean"] else "not every mixture"
    return f"""\
# Table I: reconstruction error on MNIST's test images

{markdown_table(header, rows)}

MSE: squared error of the mixture image, summed over 784 pixels in [0, 1], mean over 10,000 images,
at posterior means and expected weights; "sampled": at draws of the latent codes and the weights.
Here {ahead} beats the single VAE.

{origin(result)}"""


if __name__ == "__main__":
    run_script("table1", rebuild, text)
