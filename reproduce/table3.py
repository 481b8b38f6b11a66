"""Table III: RMSE and Inception score on CIFAR-10, of M-VAE, a single VAE and linear models."""

import math

import measures
import paper
from linear import Directions
from results import (
    format_summary,
    heading,
    markdown_table,
    origin,
    run_script,
    summary,
    tested_images,
)
from study import Study

# K and KL weight, the paper's first.
MODELS = {"4:0.05": (4, 0.05), "1:0.05": (1, 0.05), "4:1": (4, 1.0), "1:1": (1, 1.0)}
LATENT_DIM = 256
ERRORS = {"rmse": 2, "sampled": 2, "train": 2, "per_pixel": 4, "psnr": 2}
PRINTED = {model: {"rmse": rmse, "score": score} for model, rmse, score in paper.TABLE3}


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen row's models and measure them; all rows by default."""
    chosen = MODELS if chosen is None else chosen
    classifier = study.classifier()  # first: its weights may be missing
    rows = [_row(study, classifier, *MODELS[name]) for name in MODELS if name in chosen]
    real = measures.real_score(study.data.test, classifier)
    content = {
        "rows": rows,
        "linear": _linear(study.data),
        "printed": PRINTED,
        "complete": set(MODELS) <= set(chosen),
        "score_real": real.mean,
        "score_real_deviation": real.deviation,
        "score_splits": measures.SCORE_SPLITS,
        "classifier": {
            "choice": "inception" if classifier.name == "inception" else "cifar10",
            "name": classifier.name,
            "description": classifier.description,
        },
    }
    return content, {}


def _row(study, classifier, num_components, kl_weight):
    data, per_seed = study.data, []
    for seed in study.seeds:
        run = study.run(seed, num_components=num_components, kl_weight=kl_weight)
        errors = measures.root_errors(run.model, data.test)
        errors["train"] = measures.root_errors(run.model, data.train)["rmse"]
        errors["seconds"] = run.seconds
        scores = {
            "score_reconstructions": measures.reconstruction_score(
                run.model, data.test, classifier
            ),
            "score_samples": measures.sample_score(run.model, len(data.test), classifier),
        }
        for name, score in scores.items():
            errors |= {name: score.mean, f"{name}_deviation": score.deviation}
        per_seed.append(errors)
    return {
        "model": "VAE" if num_components == 1 else "M-VAE",
        "num_components": num_components,
        "kl_weight": kl_weight,
        "paper": PRINTED["M-VAE"] if (num_components, kl_weight) == MODELS["4:0.05"] else None,
        **{name: summary([each[name] for each in per_seed]) for name in per_seed[0]},
    }


def _linear(data):
    """Return the errors of PCA and of the best linear VAE at each weight."""
    directions = Directions(data, LATENT_DIM)
    pixels = math.prod(data.test.images.shape[1:])
    models = {f"PCA, {len(directions)} components": (None, directions.pca_errors())}
    for weight in sorted({weight for _, weight in MODELS.values()}):
        models[f"best linear VAE, weight {weight:g}"] = (weight, directions.vae_errors(weight))
    return [
        {
            "model": name,
            "kl_weight": weight,
            **measures.root_error(errors.test, pixels),
            "train": math.sqrt(errors.train),
        }
        for name, (weight, errors) in models.items()
    ]


def text(result: dict) -> str:
    """Return the table beside the paper's and what follows from it, as Markdown."""
    dataset, classifier = result["dataset"], result["classifier"]
    header = ["Model", "K", "KL weight", "RMSE, paper", "RMSE, ours", "sampled", "training images"]
    header += ["per pixel", "PSNR (dB)", "score, paper"]
    header += [f"of {what}, by {classifier['name']}" for what in ("reconstructions", "draws")]
    ours = {(row["num_components"], row["kl_weight"]): row for row in result["rows"]}
    rows = [_own_cells(*settings, ours.get(settings)) for settings in MODELS.values()]
    rows += [_linear_cells(row) for row in result["linear"]]
    rows.append(
        [
            "the images themselves",
            *["-"] * 9,
            f"{result['score_real']:.2f} ({result['score_real_deviation']:.2f})",
            "-",
        ]
    )
    for name, printed in result["printed"].items():
        if name != "M-VAE":  # stands beside ours
            rmse = "-" if printed["rmse"] is None else f"{printed['rmse']:g}"
            score = f"{printed['score']:.2f}"
            rows.append([f"{name}, as printed", "-", "-", rmse, *["-"] * 5, score, "-", "-"])
    test = tested_images(dataset)
    train = f"{dataset['train_images']:,} images trained on"
    return f"""\
# Table III: RMSE and Inception score on {heading(dataset)}

{markdown_table(header, rows)}

{verdict(result)}

RMSE: root of the squared error of the mixture image, summed over pixels in [0, 1], mean over the
{test}, at posterior means and expected weights;
"sampled": at draws of the latent codes and the weights; "training images": on the
{train}. "Per pixel" and PSNR: of the same mean error.
Linear models are fitted to the training images; the best linear VAE is the optimum of the training
objective among linear encoders and decoders with d = {LATENT_DIM}.
Score: Inception score, mean (and deviation) over {result["score_splits"]} splits, of the
reconstructions of all {test} and of as many draws from the prior.
The paper's is by an Inception network; scores by different classifiers can't be compared. Ours:
{classifier["description"]}.

{origin(result)}"""


def verdict(result: dict) -> str:
    """Say whether each model is ahead of the best linear VAE, and how much it overfits.

    The images differ, so that any model's error does. The best linear VAE has the fewest parameters
    to fit; what a model's error grows by beyond the linear one's is overfitting.
    """
    told = []
    if result["dataset"]["name"] != "cifar10":
        told.append("These images are not the paper's, and the numbers not comparable with it.")
    linear = {row["kl_weight"]: row for row in result["linear"]}
    for row in result["rows"]:
        rmse, train = row["rmse"]["mean"], row["train"]["mean"]
        best = linear[row["kl_weight"]]
        relation = "below" if rmse < best["train"] else "not below"
        growth, expected = rmse / train, best["rmse"] / best["train"]
        overfits = (
            f"it overfits by the rest, {_percent(growth / expected)}"
            if growth > expected
            else "it does not overfit"
        )
        told.append(
            f"{row['model']}, K = {row['num_components']}, KL weight {row['kl_weight']:g}: RMSE "
            f"{rmse:.2f} on {result['dataset']['test']}, {relation} the best linear VAE's "
            f"{best['train']:.2f} on the training images (there {best['rmse']:.2f}). That is "
            f"{_percent(growth)} more than its own {train:.2f} on the training images; of the best "
            f"linear VAE it is {_percent(expected)}: {overfits}."
        )
    return "\n".join(f"- {line}" for line in told)


def _percent(ratio):
    return f"{100 * (ratio - 1):.1f} %"


def _own_cells(num_components, kl_weight, row):
    name = "VAE" if num_components == 1 else "M-VAE"
    is_papers = (num_components, kl_weight) == MODELS["4:0.05"]
    printed = PRINTED["M-VAE"] if is_papers else {"rmse": "-", "score": "-"}
    cells = [name, str(num_components), f"{kl_weight:g}", str(printed["rmse"])]
    if row is None:
        return [*cells, "not run", *["-"] * 4, str(printed["score"]), "-", "-"]
    cells += [format_summary(row[measure], digits) for measure, digits in ERRORS.items()]
    scores = [
        f"{format_summary(row[name], 2)} ({row[f'{name}_deviation']['mean']:.2f})"
        for name in ("score_reconstructions", "score_samples")
    ]
    return [*cells, str(printed["score"]), *scores]


def _linear_cells(row):
    weight = "-" if row["kl_weight"] is None else f"{row['kl_weight']:g}"
    cells = [f"{row[measure]:.{ERRORS[measure]}f}" for measure in ("train", "per_pixel", "psnr")]
    return [row["model"], "-", weight, "-", f"{row['rmse']:.2f}", "-", *cells, "-", "-", "-"]


if __name__ == "__main__":
    run_script("table3", rebuild, text, dataset="cifar10", rows=MODELS)
