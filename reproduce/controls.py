"""Controls: what of each claim is the mixture's own, and what any K VAEs, or a larger VAE, do.

With weights near 1/K and a penalty that hardly acts, a mixture may be an ensemble of VAEs whose
images are averaged and whose codes are joined. So each mixture stands beside an ensemble of K
separately trained VAEs; a VAE with as many latent dimensions; VAEs at KL weight 1/K, which image
mixing gives each component's code; and a VAE with as many parameters.

The usual rows are those of `paper_mnist`; --rows names others, with --add beside those stored.
--preset=short has K = 4 on all images with three seeds, for ten epochs.
"""

import functools
import math

import mvae_tf
from mvae_tf import presets
from support import ensembles, leads, measures, verdicts
from support.rows import Rows, require_parts, seeds_of
from support.scripts import run_script
from support.single_vaes import VAE, as_many_units, others, parameters
from support.study import PRESETS, Study
from support.summaries import format_summary, over_seeds
from support.texts import beside_stored, markdown_table, origin

# By the name that --rows takes: a reading and the number of components.
ROWS = {
    f"{name.partition('_')[0]}:{count}": (name, count)
    for name in ("paper_mnist", "authors_mnist", "best_mnist")
    for count in (4, 10)
}
MIXTURE, COMPONENTS, ENSEMBLE = "M-VAE", "its components alone", "K VAEs, averaged and joined"
# The measures and their digits; of an accuracy more is better, of an error less.
MEASURES = {
    "mse": ("MSE", 2),
    "mse_sampled": ("MSE, sampled", 2),
    "KNN": ("KNN (%)", 2),
    "Linear SVM": ("linear SVM (%)", 2),
    "MLP": ("MLP (%)", 2),
}
ERRORS = ("mse", "mse_sampled")
OF_COMPONENTS = ("mse", "KNN")
PAPERS_EPOCHS = presets.get("paper_mnist").epochs
# Of the quick preset: with them its nine models take no more than ten minutes on two slow cores.
QUICK_TRAIN_IMAGES = 20_000
# Classifiers of the codes. One is enough to see that the script does what it should.
ALL_CLASSIFIERS = ("KNN", "Linear SVM", "MLP")
CLASSIFIERS = {"paper": ALL_CLASSIFIERS, "short": ALL_CLASSIFIERS, "quick": ("KNN",)}


def usual_rows(preset: str) -> list[str]:
    """Return the rows of a preset, by the names that --rows takes."""
    return ["paper:4", "paper:10"] if preset == "paper" else ["paper:4"]


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) each chosen row's mixture and controls and measure them."""
    usual = usual_rows(study.preset)
    chosen = usual if chosen is None else chosen
    if study.preset == "quick":
        study.train_on(QUICK_TRAIN_IMAGES)
    rows = [_row(study, name) for name in ROWS if name in chosen]
    content = {
        "rows": rows,
        "classifiers": mvae_tf.evaluation.classifiers.DESCRIPTIONS,
        "complete": set(usual) <= set(chosen),
    }
    return content, pictures(content | study.account())


def pictures(result: dict) -> dict:
    """Draw how far the mixture is ahead of each control, with the 95 % intervals."""
    rows = by_name(result)
    names = list(compared(result, next(iter(rows.values()))))
    epochs = epochs_of(result)
    length = f", {epochs} epoch{'s' * (epochs > 1)}" if epochs < PAPERS_EPOCHS else ""
    panels = []
    for measure in _measured(result):
        series = {}
        for name, row in rows.items():
            ahead = compared(result, row)
            intervals = [ahead[control][measure] for control in names]
            halves = [None if math.isinf(each.half) else each.half for each in intervals]
            series[_title(name) + length] = ([each.mean for each in intervals], halves)
        unit = "points" if measure not in ERRORS else "squared error"
        panels.append((f"{MEASURES[measure][0].removesuffix(' (%)')}: {unit} ahead", series))
    return {"": mvae_tf.plots.differences(names, panels)}


def _row(study, name):
    (preset, count), seeds = ROWS[name], study.seeds_of(name)
    models = over_seeds([_one_seed(study, seed, preset, count) for seed in seeds])
    units = presets.get(preset).model["hidden_units"]
    return {
        "reading": preset,
        "num_components": count,
        "seeds": seeds,
        "models": models,
        "parameters": count * parameters(preset, units),
        "vae_parameters": parameters(preset, as_many_units(preset, count)),
    }


def _one_seed(study, seed, preset, count):
    trained = functools.partial(_trained, study, preset)
    mixture = trained(seed, num_components=count)
    alone = mvae_tf.evaluation.component_errors(mixture, study.data.test)
    codes = measures.encoded(mixture, study.data)
    each = measures.component_accuracies(*(part.means for part in codes), study.data)
    measured = {
        MIXTURE: _errors(mixture, study) | _accuracies(study, codes, seed),
        COMPONENTS: {"mse": float(alone.mean()), "KNN": sum(each) / count},
    }
    pool = [trained(member) for member in ensembles.members(seed, count)]
    encoded = [measures.encoded(model, study.data) for model in pool]
    measured[ENSEMBLE] = ensembles.errors(pool, study.data.test)
    measured[ENSEMBLE] |= _accuracies_of(study, *ensembles.joined_means(encoded), seed)
    for name, settings in others(preset, count).items():
        model = trained(seed, **settings)
        codes = measures.encoded(model, study.data)
        measured[name] = _errors(model, study) | _accuracies(study, codes, seed)
    return measured


def _trained(study, preset, seed, num_components=1, **settings):
    return study.run(seed, preset=preset, num_components=num_components, **settings).model


def _errors(model, study):
    found = mvae_tf.evaluation.reconstruction_errors(model, study.data.test)
    return {"mse": found.mse, "mse_sampled": found.mse_sampled}


def _accuracies(study, codes, seed):
    return _accuracies_of(study, *ensembles.joined_means([codes]), seed)


def _accuracies_of(study, train, test, seed):
    data = study.data
    return {
        name: mvae_tf.evaluation.classifiers.accuracy(
            name, train, data.train.labels, test, data.test.labels, seed=seed
        )
        for name in CLASSIFIERS[study.preset]
    }


def by_name(result: dict) -> dict[str, dict]:
    """Return a result's rows by the names that --rows takes."""
    names = {row: name for name, row in ROWS.items()}
    return {names[row["reading"], row["num_components"]]: row for row in result["rows"]}


def in_order(row: dict) -> dict[str, dict]:
    """Return the measures of a row's models by their names, in the order that they stand in."""
    names = (MIXTURE, COMPONENTS, ENSEMBLE, *others(row["reading"], row["num_components"]))
    return {name: row["models"][name] for name in names if name in row["models"]}


def ahead_of_best(row: dict, measure: str) -> verdicts.Interval:
    """Return how far a row's mixture is ahead of the best single VAE, chosen anew for each seed."""
    models, is_error = row["models"], measure in ERRORS
    vaes = [
        values[measure]["per_seed"]
        for name, values in models.items()
        if name not in (MIXTURE, COMPONENTS, ENSEMBLE)
    ]
    pair = [models[MIXTURE][measure]["per_seed"], verdicts.best(vaes, lowest=is_error)]
    return verdicts.interval(verdicts.minus(*(reversed(pair) if is_error else pair)))


def compared(result: dict, row: dict) -> dict[str, dict[str, verdicts.Interval]]:
    """Return how far the mixture is ahead of each control, by its name and the measure.

    By paired differences; of an ensemble, whose VAEs are of several seeds, Welch's.
    """
    models, ahead, shared = in_order(row), {}, _shared(result, row)
    for name in models:
        if name in (MIXTURE, COMPONENTS):
            continue
        ahead[name] = {}
        for measure in (each for each in MEASURES if each in models[name]):
            sign = -1 if measure in ERRORS else 1
            ours, theirs = (
                [sign * value for value in models[model][measure]["per_seed"]]
                for model in (MIXTURE, name)
            )
            if name == ENSEMBLE:
                ahead[name][measure] = verdicts.unpaired(ours, theirs, shared)
            else:
                ahead[name][measure] = verdicts.interval(verdicts.minus(ours, theirs))
    return ahead


def lead(result: dict, row: dict) -> dict[str, leads.Lead]:
    """Return what a row's mixture's lead on the single VAE is made of, by the measure."""
    models, shared = in_order(row), _shared(result, row)
    signed = {
        measure: {
            name: [sign * value for value in models[name][measure]["per_seed"]]
            for name in (MIXTURE, VAE, ENSEMBLE, COMPONENTS)
            if measure in models[name]
        }
        for measure in _measured(result)
        for sign in [-1 if measure in ERRORS else 1]
    }
    return {
        measure: leads.lead(of[MIXTURE], of[VAE], of[ENSEMBLE], of.get(COMPONENTS), shared)
        for measure, of in signed.items()
    }


def _shared(result, row):
    """Return the share of VAEs that two seeds' ensembles have in common."""
    return ensembles.overlap(seeds_of(result, row), row["num_components"])


def text(result: dict) -> str:
    """Return each row's models and how far its mixture is ahead of its controls, as Markdown."""
    present = by_name(result)
    for row in present.values():
        names = others(row["reading"], row["num_components"])
        require_parts(row["models"], [MIXTURE, COMPONENTS, ENSEMBLE, *names], only=True)
        for model, measured in row["models"].items():
            of_all = {*ERRORS, "KNN", *_measured(result)}
            require_parts(measured, OF_COMPONENTS if model == COMPONENTS else of_all, only=True)
    shown = [name for name in ROWS if name in {*usual_rows(result["preset"]), *present}]
    sections = "\n\n".join(_section(name, result, present.get(name)) for name in shown)
    footnotes = "\n".join(
        f"- {name}: {result['classifiers'][name]}"
        for name in _measured(result)
        if name not in ERRORS
    )
    trained_on = f"{result['dataset']['train_images']:,}"
    return f"""\
# Controls: what is the mixture's own
{_length(result)}
{sections}

![How far the mixture is ahead of each control](controls.png)

MSE: squared error summed over pixels, mean over {result["dataset"]["test_images"]:,} test images, \
at posterior means and expected
weights; "sampled": at draws of both. Accuracies: on the posterior means, joined; of components
alone, the mean over components, KNN's only. Trained on {trained_on} images.
"K VAEs": trained separately, each with its own seed, from a pool of {ensembles.POOL}; the mean of
their images, of one draw each where sampled, and their codes joined. "d times K": as many latent
dimensions in one VAE as in the mixture.
Ahead: the mean over seeds and its 95 % interval, of paired differences; of "K VAEs", which are of
several seeds each, Welch's; above 0 the mixture is the better. Where seeds' ensembles have VAEs in
common, the interval is the wider for what these share.
"Of its lead": which part of it K separate VAEs have as well, in the mean; by how much that part is
more than the rest; how far components alone are ahead of the VAE; and by how much more averaging
images and joining codes gains the mixture on its components than it gains K VAEs on one. All but
the components' are Welch's intervals, too wide if anything: single VAEs are among the ensembles'.
No share is told of a lead whose interval reaches 0.

{footnotes}

{origin(result)}"""


def epochs_of(result: dict) -> int:
    """Return the epochs for which a result's models were trained, the same for all."""
    return result["settings"]["training"]["epochs"]


def _length(result):
    epochs = epochs_of(result)
    if epochs >= PAPERS_EPOCHS:
        return ""
    length = f"{epochs} epoch{'s' * (epochs > 1)}, not the paper's length"
    return f"""
**{length}** of {PAPERS_EPOCHS}: all that follows is of models trained as briefly.
"""


def _section(name, result, row):
    if row is None:
        return f"### {_title(name)}\n\nNot run: `{beside_stored(result, [name])}`."
    columns = _measured(result)
    rows = [
        [
            model,
            *(
                format_summary(values[each], MEASURES[each][1]) if each in values else "-"
                for each in columns
            ),
        ]
        for model, values in in_order(row).items()
    ]
    ahead = [
        [control, *(_ahead(intervals[each]) for each in columns)]
        for control, intervals in compared(result, row).items()
    ]
    titles = [MEASURES[each][0] for each in columns]
    seeds, shared = seeds_of(result, row), _shared(result, row)
    common = f" Two seeds' ensembles share {shared:.0%} of their VAEs." if shared else ""
    return f"""\
### {_title(name)}

{markdown_table(["Model", *titles], rows)}

How far the mixture is ahead:

{markdown_table(["Of", *titles], ahead)}

Of its lead on the VAE:

{markdown_table(["Part", *titles], _parts([*lead(result, row).values()]))}

Parameters: {row["parameters"]:,} of the mixture, {row["vae_parameters"]:,} of the VAE of as \
many. Seed{"s" * (len(seeds) > 1)}: {", ".join(map(str, seeds))}.{common}"""


def _title(name):
    reading, count = ROWS[name]
    return f"{reading}, K = {count}"


def _measured(result):
    present = result["rows"][0]["models"][MIXTURE]
    return [name for name in MEASURES if name in present]


def _parts(found):
    """Return the rows that tell of leads, one a measure, what each is made of."""

    def told(of, *words):
        return [f"{each.told(2)}, {verdicts.word(each, *words)}" if each else "-" for each in of]

    shares = ["-" if each.share is None else f"{100 * each.share:.0f} %" for each in found]
    return [
        ["share that K VAEs have, too", *shares],
        ["that share less the rest", *told([each.larger for each in found], "more", "less")],
        [
            "components beside the VAE",
            *told([each.components for each in found], "better", "worse"),
        ],
        ["joining, beyond K VAEs'", *told([each.joining for each in found], "more", "less")],
    ]


def _ahead(interval):
    return f"{interval.told(2)}, {verdicts.word(interval, 'better', 'worse')}"


KNOWN_ROWS = Rows(ROWS, by_name, usual_rows, own_seeds=True)

if __name__ == "__main__":
    run_script(
        "controls",
        rebuild,
        text,
        rows=KNOWN_ROWS,
        grows=True,
        redraw=pictures,
        presets=PRESETS,
    )
