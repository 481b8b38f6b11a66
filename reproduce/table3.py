"""Table III: RMSE and Inception score on CIFAR-10, of M-VAE, a single VAE and linear models.

Below the paper's models stand two that show what more, or fewer, training images do to the error,
and our own settings, `best_cifar10`, with what they are to be held against.
"""

import math

from support import measures, verdicts
from support.cifar10_models import BEST, PAPERS, PRINTED, RIVALS, ROWS, by_name, usual_rows
from support.linear import Directions
from support.rows import Rows, of_common_seeds, require_parts, seeds_of
from support.scripts import run_script
from support.study import Study
from support.summaries import format_summary, summary
from support.texts import heading, markdown_table, origin, tested_images

LATENT_DIM = 256
ERRORS = {"rmse": 2, "sampled": 2, "train": 2, "per_pixel": 4, "psnr": 2}
SCORES = ("score_reconstructions", "score_samples")
KNOWN_ROWS = Rows(ROWS, by_name, usual_rows, own_seeds=True)


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen row's models and measure them; the usual ones by default."""
    usual = usual_rows(study.preset)
    chosen = usual if chosen is None else chosen
    classifier = study.classifier()  # first: its weights may be missing
    rows = [_row(study, classifier, name) for name in ROWS if name in chosen]
    content = {
        "rows": rows,
        "linear": _linear(study.data),
        "printed": PRINTED,
        "complete": set(usual) <= set(chosen),
    }
    return content | ({} if classifier is None else _scored_by(study, classifier)), {}


def _scored_by(study, classifier):
    real = measures.real_score(study.data.test, classifier)
    return {
        "score_real": real.mean,
        "score_real_deviation": real.deviation,
        "score_splits": measures.SCORE_SPLITS,
        "classifier": {
            "choice": "inception" if classifier.name == "inception" else "cifar10",
            "name": classifier.name,
            "description": classifier.description,
        },
    }


def _row(study, classifier, name):
    row, test, per_seed = ROWS[name], study.data.test, []
    trained_on = study.data if row.images is None else row.images(study.data)
    for seed in study.seeds_of(name):
        run = study.run(
            seed,
            epochs=row.epochs,
            data=trained_on,
            preset=row.preset,
            **row.overrides(),
        )
        errors = measures.root_errors(run.model, test)
        errors["train"] = measures.root_errors(run.model, trained_on.train)["rmse"]
        errors["seconds"] = run.seconds
        if classifier is not None:
            errors |= _scores(run.model, test, classifier)
        per_seed.append(errors)
    return {
        "model": row.model,
        "num_components": row.num_components,
        "kl_weight": row.kl_weight,
        "train_images": len(trained_on.train),
        "epochs": len(run.history),
        "paper": PRINTED["M-VAE"] if name == PAPERS else None,
        "seeds": study.seeds_of(name),
        **({"linear": _own_linear(study.data, row)} if row.has_other_dimensions() else {}),
        **{what: summary([each[what] for each in per_seed]) for what in per_seed[0]},
    }


def _scores(model, test, classifier):
    scores = {
        "score_reconstructions": measures.reconstruction_score(model, test, classifier),
        "score_samples": measures.sample_score(model, len(test), classifier),
    }
    means = {what: score.mean for what, score in scores.items()}
    return means | {f"{what}_deviation": score.deviation for what, score in scores.items()}


def _linear(data):
    """Return the errors of PCA and of the best linear VAE at each weight."""
    directions = Directions(data, LATENT_DIM)
    models = [(f"PCA, {len(directions)} components", None, directions.pca_errors())]
    for weight in _linear_weights():
        name = f"best linear VAE, weight {weight:g}"
        models.append((name, weight, directions.vae_errors(weight)))
    return [_errors_of_linear(data, *model) for model in models]


def _linear_weights():
    return sorted({row.kl_weight for row in ROWS.values() if row.times_latent == 1})


def _own_linear(data, row):
    """Return the errors of the best linear models where a row's are of other dimensions than d.

    The best mixture of K linear VAEs whose images are mixed, with weights of 1/K, is one linear VAE
    of K d dimensions, each of whose KL terms eq. 8 counts by a K-th.
    """
    count, weight, times = row.num_components, row.kl_weight, row.times_latent
    errors = Directions(data, count * times * LATENT_DIM).vae_errors(weight / count)
    name = f"best {count} linear VAEs, images mixed, weight {weight:g}"
    if count == 1:
        name = f"best linear VAE, d = {times * LATENT_DIM}, weight {weight:g}"
    return _errors_of_linear(data, name, weight, errors)


def _errors_of_linear(data, name, weight, errors):
    return {
        "model": name,
        "kl_weight": weight,
        **measures.root_error(errors.test, math.prod(data.test.images.shape[1:])),
        "train": math.sqrt(errors.train),
    }


def text(result: dict) -> str:
    """Return the table beside the paper's and what follows from it, as Markdown."""
    _require_parts(result)
    dataset, classifier = result["dataset"], result["classifier"]
    header = ["Model", "K", "KL weight", "seeds", "RMSE, paper", "RMSE, ours", "sampled"]
    header += ["training images", "per pixel", "PSNR (dB)", "score, paper"]
    header += [f"of {what}, by {classifier['name']}" for what in ("reconstructions", "draws")]
    ours = by_name(result)
    rows = [_own_cells(result, name, ours.get(name)) for name in ROWS]
    own = {row["linear"]["model"]: row["linear"] for row in ours.values() if "linear" in row}
    rows += [_linear_cells(row) for row in [*result["linear"], *own.values()]]
    rows.append(
        [
            "the images themselves",
            *["-"] * 10,
            f"{result['score_real']:.2f} ({result['score_real_deviation']:.2f})",
            "-",
        ]
    )
    for name, printed in PRINTED.items():
        if name != "M-VAE":  # stands beside ours
            rmse = "-" if printed["rmse"] is None else f"{printed['rmse']:g}"
            score = f"{printed['score']:.2f}"
            rows.append([f"{name}, as printed", *["-"] * 3, rmse, *["-"] * 5, score, "-", "-"])
    test = tested_images(dataset)
    return f"""\
# Table III: RMSE and Inception score on {heading(dataset)}

{markdown_table(header, rows)}

{verdict(result)}

RMSE: root of the squared error of the mixture image, summed over pixels in [0, 1], mean over the
{test}, at posterior means and expected weights;
"sampled": at draws of the latent codes and the weights; "training images": on those trained on,
{dataset["train_images"]:,} but where a row has half of them, or their mirror images too.
"Per pixel" and PSNR: of the same mean error.
Linear models are fitted to the training images; the best linear VAE is the optimum of the training
objective among linear encoders and decoders with d = {LATENT_DIM}.{_of_mixed(ours)}
Score: Inception score, mean (and deviation) over {result["score_splits"]} splits, of the
reconstructions of all {test} and of as many draws from the prior.
The paper's is by an Inception network; scores by different classifiers can't be compared. Ours:
{classifier["description"]}.{_of_unscored(ours)}{_of_ours(ours)}

{origin(result)}"""


def _require_parts(result):
    weights = [row["kl_weight"] for row in result["linear"]]
    require_parts(map(str, weights), [None, *_linear_weights()], only=True)
    for name, row in by_name(result).items():
        scores = [what for what in SCORES if what in row]
        require_parts(scores, SCORES if scores else ())
        own = {"linear"} & set(row)
        require_parts(own, ["linear"] if ROWS[name].has_other_dimensions() else [], only=True)


def _of_mixed(measured):
    if not any(ROWS[name].mixes_images() for name in measured):
        return ""
    return """ Where images are mixed, K of them with
equal weights are one of K times the dimensions, at a K-th of the KL weight."""


def _of_unscored(measured):
    if all("score_samples" in row for row in measured.values()):
        return ""
    return """ Rows that
are not scored joined later: those of another training of that network could not be compared."""


def _of_ours(measured):
    if BEST not in measured:
        return ""
    return f"""
`best_cifar10`: our own settings, chosen on training images held out (search_cifar10.py).
Same search: what it chooses for a single VAE, with mirror images. d = {4 * LATENT_DIM}: such a VAE
of as many latent dimensions, each at the KL weight that eq. 8 has in that mixture."""


def verdict(result: dict) -> str:
    """Say by the rule whether each model is ahead of the best linear VAE, and whether it overfits.

    The images differ, so that any model's error does. The best linear VAE has the fewest parameters
    to fit; what a model's error grows by beyond the linear one's is overfitting. The models of
    other training images show what more of them would change.
    """
    told, dataset = [], result["dataset"]
    if dataset["name"] != "cifar10":
        told.append("These images are not the paper's, and the numbers not comparable with it.")
    measured = by_name(result)
    for name, row in measured.items():
        if ROWS[name].images is None:
            best = row.get("linear") or _linear_at(result, row["kl_weight"])
            told.append(_overfitting(row, best, dataset["test"], f"`{ROWS[name].preset}`"))
    for name, row in measured.items():
        usual = name.partition(":")[2]  # of all images as they are
        if ROWS[name].images is not None and name not in (BEST, *RIVALS) and usual in measured:
            told.append(_other_images(result, row, measured[usual]))
    if BEST in measured:
        told.append(_of_best(result, measured))
    return "\n".join(f"- {line}" for line in told)


def _overfitting(row, best, test, reading):
    rmse, train = row["rmse"], row["train"]
    ahead = verdicts.interval([best["rmse"] - each for each in rmse["per_seed"]])
    growth, expected = rmse["mean"] / train["mean"], best["rmse"] / best["train"]
    pairs = zip(rmse["per_seed"], train["per_seed"], strict=True)
    rest = verdicts.interval([100 * (each / own / expected - 1) for each, own in pairs])
    of = "mixture of linear VAEs" if "linear" in row else "linear VAE"
    theirs = f"the best {of}'" if of.endswith("s") else f"the best {of}'s"
    below = f"its error is below {theirs} on the same images"
    beyond = "it overfits by this rest"
    return (
        f"{row['model']}, K = {row['num_components']}, KL weight {row['kl_weight']:g}: RMSE "
        f"{rmse['mean']:.2f} on {test}; the best {of} has {best['train']:.2f} on the "
        f"training images, {best['rmse']:.2f} on these. {verdicts.stated(below, [ahead], reading)} "
        f"On the training images it has {train['mean']:.2f}, so that its error grows by "
        f"{_percent(growth)}, {theirs} by {_percent(expected)}; a rest of "
        f"{rest.told(1)} %. "
        f"{verdicts.stated(beyond, [rest], reading)}"
    )


def _other_images(result, row, usual):
    test, compared = result["dataset"]["test"], of_common_seeds(result, [row, usual])
    trained_on = f"{row['model']} ({row['train_images']:,} images, {row['epochs']} epochs)"
    if compared is None:
        return f"{trained_on}: of no seed of the {usual['train_images']:,} as they are."
    row, usual = compared
    pairs = zip(row["rmse"]["per_seed"], usual["rmse"]["per_seed"], strict=True)
    change = verdicts.interval([100 * (other / before - 1) for other, before in pairs])
    return (
        f"{trained_on}: RMSE {row['rmse']['mean']:.2f} on {test}; of the "
        f"{usual['train_images']:,} as they are ({usual['epochs']} epochs) "
        f"{usual['rmse']['mean']:.2f}. A change of {change.told(1)} %: "
        f"{verdicts.word(change, 'higher', 'lower')}."
    )


def _of_best(result, measured):
    """Return what our own settings come to, beside the printed value and what they are up to."""
    best, linear = measured[BEST], _linear_at(result, ROWS[BEST].kl_weight)
    printed, reading = PRINTED["M-VAE"]["rmse"], f"`{ROWS[BEST].preset}`"
    below = verdicts.ahead_of_print(printed, best["rmse"]["per_seed"], lowest=True)
    told = [
        f"{best['model']} ({best['train_images']:,} images, {best['epochs']} epochs): RMSE "
        f"{format_summary(best['rmse'], 2)} on {result['dataset']['test']}; the paper prints "
        f"{printed:g}, the best linear VAE has {linear['rmse']:.2f}, the best mixture of linear "
        f"VAEs whose images are mixed {best['linear']['rmse']:.2f}.",
        verdicts.stated("its error is below the printed one", [below], reading),
    ]
    for name in RIVALS:
        compared = name in measured and of_common_seeds(result, [measured[name], best])
        if compared:
            theirs, ours = (row["rmse"]["per_seed"] for row in compared)
            ahead = verdicts.interval(verdicts.minus(theirs, ours))
            claim = f"it is below that of {ROWS[name].model} by {ahead.told(2)}"
            told.append(verdicts.stated(claim, [ahead], reading))
    return " ".join(told)


def _linear_at(result, weight):
    return {row["kl_weight"]: row for row in result["linear"]}[weight]


def _percent(ratio):
    return f"{100 * (ratio - 1):.1f} %"


def _own_cells(result, name, row):
    ours = ROWS[name]
    printed = PRINTED["M-VAE"] if name == PAPERS else {"rmse": "-", "score": "-"}
    seeds = "-" if row is None else str(len(seeds_of(result, row)))
    cells = [ours.model, str(ours.num_components), f"{ours.kl_weight:g}", seeds]
    cells.append(str(printed["rmse"]))
    if row is None:
        return [*cells, "not run", *["-"] * 4, str(printed["score"]), "-", "-"]
    cells += [format_summary(row[measure], digits) for measure, digits in ERRORS.items()]
    scores = [
        f"{format_summary(row[what], 2)} ({row[f'{what}_deviation']['mean']:.2f})"
        if what in row
        else "not scored"
        for what in SCORES
    ]
    return [*cells, str(printed["score"]), *scores]


def _linear_cells(row):
    weight = "-" if row["kl_weight"] is None else f"{row['kl_weight']:g}"
    cells = [f"{row[measure]:.{ERRORS[measure]}f}" for measure in ("train", "per_pixel", "psnr")]
    return [row["model"], "-", weight, "-", "-", f"{row['rmse']:.2f}", "-", *cells, "-", "-", "-"]


if __name__ == "__main__":
    run_script("table3", rebuild, text, "cifar10", rows=KNOWN_ROWS, grows=True)
