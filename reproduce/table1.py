"""Table I: reconstruction error on MNIST's test images, M-VAE with 7, 8, 10 components and VAE."""

from tqdm import tqdm

import mvae_tf
import paper
from results import format_summary, markdown_table, origin, run_script, summary
from study import Study

ROWS = [str(num_components) for _, num_components, _ in paper.TABLE1]


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen row's models and measure them; all rows by default."""
    chosen = ROWS if chosen is None else chosen
    rows = []
    for model, num_components, printed in paper.TABLE1:
        if str(num_components) not in chosen:
            continue
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
    return {"rows": rows, "complete": set(ROWS) <= set(chosen)}, {}


def text(result: dict) -> str:
    """Return the table beside the paper's, as Markdown."""
    header = ["Model", "K", "MSE, paper", "MSE, ours", "sampled", "per pixel"]
    header += ["seeds", "epochs", "time a run"]
    measured = {row["num_components"]: row for row in result["rows"]}
    rows = [
        [model, str(count), f"{printed:.2f}", *_cells(measured.get(count))]
        for model, count, printed in paper.TABLE1
    ]
    return f"""\
# Table I: reconstruction error on MNIST's test images

{markdown_table(header, rows)}

MSE: squared error of the mixture image, summed over 784 pixels in [0, 1], mean over 10,000 images,
at posterior means and expected weights; "sampled": at draws of the latent codes and the weights.
{_verdict({count: row["mse"]["mean"] for count, row in measured.items()})}

{origin(result)}"""


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


def _verdict(errors):
    mixtures = [error for count, error in errors.items() if count > 1]
    if 1 not in errors or not mixtures:
        return "Mixtures and the single VAE have not both been run."
    ahead = "every mixture" if max(mixtures) < errors[1] else "not every mixture"
    return f"Here {ahead} that was run beats the single VAE."


if __name__ == "__main__":
    run_script("table1", rebuild, text, rows=ROWS)
