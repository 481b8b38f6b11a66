"""What explains the printed numbers: which reading, length of training and way of measuring.

The paper tells neither how long it trained to get each number, nor whether codes and weights were
drawn, nor whether dropout was off; and by a later script of its first author a printed error may be
that of a single batch of 128 test images (`evaluation.ways`). Nor does it give its classifiers'
settings, of which the published script has the MLP's (`support.published_mlp`). Each printed number
is judged against its own uncertainty: an error's is the deviation over such batches, an accuracy's
that of 10,000 test images. How many of all lie within it, jointly at 95 %?

Whether Table I's four errors are of one batch or of one each is not known either, and it matters:
a batch that is hard for one K is hard for all, so that on one batch the steps between K are much
less uncertain than the errors. Both are judged: as of a batch each, the four errors; as of one
batch, their mean and the three steps from K to K, by the deviations over batches of just these.
"""

import itertools

import mvae_tf
from mvae_tf import presets
from support import accuracies, measures, one_batch, paper
from support.accuracies import FIRST, LAST
from support.one_batch import KS
from support.reach import (
    MOST_DEVIATIONS,
    NUMBERS,
    error_deviations,
    judged,
    nearest,
    of_classifiers,
    within,
)
from support.rows import Rows, require_parts
from support.scripts import run_script
from support.study import Study
from support.summaries import summary
from support.texts import beside_stored, markdown_table, origin

# By the name before the epochs in --rows: as the text has it, a preset, what differs from it.
READINGS = {
    "paper": ("`paper_mnist`", "paper_mnist", {}),
    "paper-bernoulli": ("`paper_mnist`, Bernoulli", "paper_mnist", {"likelihood": "bernoulli"}),
    "paper-images": ("`paper_mnist`, images mixed", "paper_mnist", {"mixing": "image"}),
    "authors": ("`authors_mnist`", "authors_mnist", {}),
    "authors-no-dropout": ("`authors_mnist` without dropout", "authors_mnist", {"dropout": 0.0}),
    "authors-gaussian": (
        "`authors_mnist`, Gaussian",
        "authors_mnist",
        {"likelihood": "gaussian"},
    ),
    "authors-free": (
        "`authors_mnist`, free, prior 100",
        "authors_mnist",
        {"concentration": "free", "prior_concentration": 100.0},
    ),
}
LENGTHS = {"paper": (20, 100), "quick": (1,)}
ROWS = {
    f"{name}:{epochs}": (name, epochs)
    for name in READINGS
    for lengths in LENGTHS.values()
    for epochs in lengths
}
QUICK = ("paper", "authors")
QUICK_TRAIN_IMAGES = 5_000
ERRORS = ("means", "z_sampled", "sampled")  # ways of measuring them, without dropout
_ERROR_WAYS = [f"{way}{end}" for end in ("", "_dropout") for way in ERRORS]
# The published script trains its own reading on fewer images.
TRAIN_IMAGES = {"authors_mnist": 55_000}


def usual_rows(preset: str) -> list[str]:
    """Return the rows of a preset, by the names that --rows takes."""
    names = QUICK if preset == "quick" else READINGS
    return [f"{name}:{epochs}" for name in names for epochs in LENGTHS[preset]]


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train (or find) the models of each chosen reading and length; measure them by each way."""
    usual = usual_rows(study.preset)
    chosen = usual if chosen is None else chosen
    if study.preset == "quick":
        study.train_on(QUICK_TRAIN_IMAGES)
    rows = [
        {
            "reading": READINGS[ROWS[name][0]][0],
            "epochs": ROWS[name][1],
            "seeds": study.seeds_of(name),
            **_measured(study, name),
        }
        for name in ROWS
        if name in chosen
    ]
    content = {
        "rows": rows,
        "most_deviations": MOST_DEVIATIONS,
        "complete": set(usual) <= set(chosen),
    }
    return content, pictures(content)


def by_name(result: dict) -> dict[str, dict]:
    """Return a result's rows by the names that --rows takes."""
    names = {(READINGS[name][0], epochs): row for row, (name, epochs) in ROWS.items()}
    return {names[row["reading"], row["epochs"]]: row for row in result["rows"]}


def _measured(study, name):
    """Return a row's errors, accuracies and rise by each way, each a list over seeds."""
    per_seed = [_one_seed(study, seed, *ROWS[name]) for seed in study.seeds_of(name)]
    ways = per_seed[0]
    return {
        "errors": {
            way: {
                str(count): {
                    part: summary([each["errors"][way][str(count)][part] for each in per_seed])
                    for part in ("mse", "std", "published")
                    if ways["errors"][way][str(count)][part] is not None
                }
                for _, count, _ in paper.TABLE1
            }
            for way in ways["errors"]
        },
        "one_batch": {
            way: {
                name: {
                    part: summary([each["one_batch"][way][name][part] for each in per_seed])
                    for part in ("mse", "std")
                    if ways["one_batch"][way][name][part] is not None
                }
                for name in one_batch.NAMES
            }
            for way in ways["one_batch"]
        },
        "accuracy": {
            way: {
                classifier: [
                    summary(values)
                    for values in zip(
                        *(each["accuracy"][way][classifier] for each in per_seed), strict=True
                    )
                ]
                for classifier in paper.TABLE2
            }
            for way in ways["accuracy"]
        },
        "rise": {way: summary([each["rise"][way] for each in per_seed]) for way in ways["rise"]},
    }


def _one_seed(study, seed, name, epochs):
    _, preset, overrides = READINGS[name]
    data = study.data.with_train(min(TRAIN_IMAGES.get(preset, 60_000), len(study.data.train)))

    def model(count):
        settings = {**overrides, "num_components": count, "epochs": {study.preset: epochs}}
        return study.run(seed, preset=preset, data=data, **settings).model

    measured = {
        count: mvae_tf.evaluation.batch_errors(
            model(count), data.test, batch_size=measures.ERROR_BATCH
        )
        for count in KS
    }
    ways = measured[KS[0]]
    errors = {
        way: {str(count): measures.spread(*measured[count][way]) for count in KS} for way in ways
    }
    of_batch = {way: one_batch.judged([measured[count][way] for count in KS]) for way in ways}
    accuracy, rise = accuracies.by_way(model, data, seed)
    return {"errors": errors, "one_batch": of_batch, "accuracy": accuracy, "rise": rise}


# What is shown -----------------------------------------------------------------------------------


def pictures(result: dict) -> dict:
    """Draw each printed error of Table I against each row's, with two deviations to each side."""
    rows, panels = result["rows"], []
    for _, count, printed in paper.TABLE1:
        points = []
        for row in rows:
            way, _ = nearest({way: error_deviations(each) for way, each in row["errors"].items()})
            error = row["errors"][way][str(count)]
            points.append((error["mse"]["mean"], error["std"]["mean"]))
        panels.append((f"K = {count}, printed {printed:.2f}", printed, *zip(*points, strict=True)))
    labels = [f"{row['reading'].replace('`', '')}, {row['epochs']}" for row in rows]
    return {"": mvae_tf.plots.against_print(labels, panels, xlabel="squared error, Table I")}


def text(result: dict) -> str:
    """Return the table and the sentence as Markdown."""
    images = result["dataset"]["test_images"]
    _require_ways(result)
    table, explained = [], {"errors": [], "one_batch": []}
    for row in result["rows"]:
        found = judged(row, images)
        (error_way, errors), (code_way, codes) = found["errors"], found["codes"]
        batch_way, of_batch = found["one_batch"]
        values = row["errors"][error_way]
        table.append(
            [
                _name(row),
                _told(error_way),
                *(f"{values[str(count)]['mse']['mean']:.2f}" for _, count, _ in paper.TABLE1),
                f"{within(errors)} of {len(errors)}, {max(errors):.1f}",
                _told(batch_way),
                f"{within(of_batch)} of {len(of_batch)}, {max(of_batch):.1f}",
                _told(code_way),
                f"{within(codes)} of {len(codes)}, {max(codes):.1f}",
                f"{row['rise'][code_way]['mean']:+.2f}",
            ]
        )
        for name, names in explained.items():
            if all(within(each) == len(each) for each in (found[name][1], codes)):
                names.append(table[-1][0])
    header = ["Reading", "errors of"] + [f"K = {count}" for _, count, _ in paper.TABLE1]
    header += ["Table I within", "of one batch", "within", "codes", "Table II, Fig. 4 within"]
    header += ["rise"]
    printed = ["printed", "", *(f"{value:.2f}" for *_, value in paper.TABLE1), *[""] * 5, "> 0"]
    sentence = "\n".join(
        f"If Table I's errors are of {what}, all {NUMBERS} printed numbers are explained by "
        f"{'; by '.join(explained[name]) or 'none of ' + str(len(result['rows']))}."
        for name, what in (("errors", "a batch each"), ("one_batch", "one batch"))
    )
    trained = result["dataset"]["train_images"]
    return f"""\
# What explains the printed numbers?

![Printed errors of Table I against the spread of each reading](explain_print.png)

{sentence}{_not_run(result)}

{markdown_table(header, [printed, *table])}

{_by_classifier(result)}
{_of_published_batch(result)}
"Within": of the {len(paper.TABLE1)} printed errors, and of the {NUMBERS - len(paper.TABLE1)} other
numbers, so many are no more than {MOST_DEVIATIONS:.2f} deviations from the measured ones
(jointly 95 % of all {NUMBERS}), and the farthest is so many away. An error's deviation is that of
whole batches of {measures.ERROR_BATCH} test images, on one of which it may have been measured: to
be within reach it may be {_reach(result)} from the measured one. "Of
one batch": if it is the same for all K, the errors' mean and their steps from K to K are judged by
what these deviate over batches, of which a hard one is hard for all. An accuracy's deviation is
that of {images:,} test images. Components are compared from the lowest up. Rise: of
KNN's accuracy from K = {FIRST} to {LAST}, which must not fall. Of the ways of measuring stands the
one by which most numbers are within, to the reading's advantage. "Sampled": codes and weights
drawn; "z sampled": codes alone; "MLP as published": not ours but that of the first author's
published script (100 units, half of them dropped, ten epochs); "means and deviations": the codes
which that script takes.
The picture has two deviations to each side. Trained on {trained:,} images, or, as the published
script, on {TRAIN_IMAGES["authors_mnist"]:,} at most under `authors_mnist`.

{origin(result)}"""


def _require_ways(result):
    for name, row in by_name(result).items():
        _, preset, overrides = READINGS[ROWS[name][0]]
        dropout = (presets.get(preset).model | overrides).get("dropout", 0)
        ends = ("", "_dropout") if dropout else ("",)
        for measured, ways, whose in (
            (("errors", "one_batch"), ERRORS, ("",)),
            (("accuracy", "rise"), accuracies.CODES, ("", accuracies.AS_PUBLISHED)),
        ):
            names = [*map("".join, itertools.product(ways, ends, whose))]
            for each in measured:
                require_parts(row[each], names, only=True)


def _by_classifier(result):
    images = result["dataset"]["test_images"]
    lines = ["Of Table II within, by classifier, and how many points ours are above print:", ""]
    for row in result["rows"]:
        way, _ = judged(row, images)["codes"]
        told = [_reached(name, found) for name, found in of_classifiers(row, way, images).items()]
        other = accuracies.other_mlp(way)
        if other in row["accuracy"]:
            found = of_classifiers(row, other, images)[accuracies.MLP]
            whose = "our own" if way.endswith(accuracies.AS_PUBLISHED) else "the published"
            told.append(_reached(f"by {whose} MLP", found))
        lines.append(f"- {_name(row)}, {_told(way)}: {', '.join(told)}.")
    return "\n".join(lines)


def _reach(result):
    """Return how far, at the least and at the most, an error within reach may be from print."""
    found = []
    for row in result["rows"]:
        way, _ = nearest({way: error_deviations(each) for way, each in row["errors"].items()})
        stds = [row["errors"][way][str(count)]["std"]["mean"] for count in KS]
        found += [MOST_DEVIATIONS * each for each in stds]
    return f"{min(found):.1f} to {max(found):.1f}"


def _of_published_batch(result):
    """Return each row's errors on the one batch that a published script measures."""
    order = [count for _, count, _ in paper.TABLE1]
    rows = [
        [_name(row), _told(way), *(f"{of[str(k)]['published']['mean']:.2f}" for k in order)]
        for row in result["rows"]
        for way, of in ((way, row["errors"].get(way)) for way in _ERROR_WAYS)
        if of and all("published" in of[str(k)] for k in order)
    ]
    if not rows:
        return ""
    of_print = ["printed", "", *(f"{printed:.2f}" for *_, printed in paper.TABLE1)]
    header = ["Reading", "errors of", *(f"K = {k}" for k in order)]
    return f"""
On the one batch of {measures.ERROR_BATCH} test images that a published script measures, the eighth:

{markdown_table(header, [of_print, *rows])}
"""


def _reached(name, found):
    reached, count, above = found
    return f"{name} {reached} of {count} ({above:+.2f})"


def _name(row):
    return f"{row['reading']}, {row['epochs']} epoch{'s' * (row['epochs'] > 1)}"


def _not_run(result):
    present = by_name(result)
    missing = [row for row in usual_rows(result["preset"]) if row not in present]
    return f"\nNot run: `{beside_stored(result, missing)}`." if missing else ""


def _told(way):
    way = way.replace("_dropout", ", dropout on")
    return way.replace(accuracies.AS_PUBLISHED, ", MLP as published").replace("_", " ")


KNOWN_ROWS = Rows(ROWS, by_name, usual_rows, own_seeds=True)

if __name__ == "__main__":
    run_script(
        "explain_print",
        rebuild,
        text,
        rows=KNOWN_ROWS,
        grows=True,
        redraw=pictures,
    )
