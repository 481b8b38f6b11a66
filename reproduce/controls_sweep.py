"""Controls of what grows with K, 4 to 10: ensembles of as many separately trained VAEs.

The mean of more images has less of each one's error, and more codes, joined, hold more, whether the
VAEs were trained together or not. So beside the mixtures of Figure 4 and Table I stand ensembles,
each of which gains VAEs from one K to the next.
"""

from typing import NamedTuple

import fig4_components_sweep
import mvae_tf
import table1
from support import beside, ensembles, measures, verdicts
from support.results import run_script, usable_beside
from support.rows import require_parts, seeds_of
from support.study import Study, reading_of
from support.summaries import format_summary, over_seeds, summary
from support.texts import markdown_table, origin

BESIDE = ("fig4_components_sweep", "table1")  # of the mixtures, which stand in text and picture
COMPONENTS = fig4_components_sweep.COMPONENTS
ENSEMBLES, MIXTURES = "K VAEs", "M-VAE"
# The measures; of an accuracy more is better, of an error less.
MEASURES = {"KNN": "KNN (%)", "mse": "MSE", "mse_sampled": "MSE, sampled"}
ACCURACY = "KNN"

_WIDER = """ Two seeds' largest
ensembles share {:.0%} of their VAEs: intervals are wider by what ensembles share."""
Curve = dict[int, dict[int, float]]  # of a measure, by K and seed


class Trends(NamedTuple):
    """By how much a measure gets better with each further component.

    Attributes:
        counts: The K over which the lines are fitted.
        ensembles: Of the separate VAEs.
        mixtures: None where there are none to compare.
        ahead: The mixtures' less the ensembles'; None then.
    """

    counts: list[int]
    ensembles: verdicts.Interval
    mixtures: verdicts.Interval | None = None
    ahead: verdicts.Interval | None = None


def rebuild(study: Study, *mixtures: dict | None) -> tuple[dict, dict]:
    """Train (or find) the VAEs of each seed's largest ensemble and measure all its ensembles.

    Args:
        study: What they are trained with.
        *mixtures: The results of `BESIDE`, or None, for the picture.
    """
    counts = COMPONENTS[study.preset]
    content = {
        "ensembles": over_seeds([_one_seed(study, seed, counts) for seed in study.seeds]),
        "classifier": mvae_tf.evaluation.classifiers.DESCRIPTIONS["KNN"],
    }
    return content, pictures(content | study.account(), *mixtures)


def _one_seed(study, seed, counts):
    members = ensembles.members(seed, max(counts))
    pool = [study.run(member, num_components=1).model for member in members]
    codes = [measures.encoded(model, study.data) for model in pool]
    measured = {}
    for count in counts:
        accuracy = measures.knn_accuracy(*ensembles.joined_means(codes[:count]), study.data)
        errors = ensembles.errors(pool[:count], study.data.test)
        measured[str(count)] = {ACCURACY: accuracy} | errors
    return measured


def pictures(result: dict, *mixtures: dict | None) -> dict:
    """Draw each measure against K, of the ensembles and of the mixtures beside them."""
    panels = []
    for name, title in MEASURES.items():
        curves = {MIXTURES: of_mixtures(result, name, *mixtures), ENSEMBLES: _own(result, name)}
        panels.append((title, {series: _points(curve) for series, curve in curves.items()}))
    return {"": mvae_tf.plots.trends(panels, xlabel="number of components K")}


def ahead(result: dict, name: str, *mixtures: dict | None) -> dict[int, verdicts.Interval]:
    """Return how far the mixtures are ahead of the ensembles, for each K that both have.

    By the seeds that both have. Arguments: those of `trends`.
    """
    own, others, seeds = _compared(result, name, *mixtures)
    whole = max(COMPONENTS[result["preset"]])
    return {
        count: verdicts.interval(
            [_sign(name) * (others[count][seed] - own[count][seed]) for seed in seeds],
            ensembles.overlap(seeds, count, whole),
        )
        for count in own
        if seeds
    }


def trends(result: dict, name: str, *mixtures: dict | None) -> Trends:
    """Return how a measure grows with K, by the K and the seeds that both results have.

    Without such, the ensembles' alone.

    Args:
        result: Of this script.
        name: Of `MEASURES`.
        *mixtures: The results of `BESIDE`, or None.
    """
    own, others, seeds = _compared(result, name, *mixtures)
    are_comparable = len(own) > 1 and seeds
    if not are_comparable:
        own, seeds = _own(result, name), seeds_of(result, {})
    # As alike as its largest ensembles, which have all of the others' VAEs.
    shared = ensembles.overlap(seeds, max(COMPONENTS[result["preset"]]))
    gains = _gains(own, seeds, name)
    alone = Trends(list(own), verdicts.interval(gains, shared))
    if not are_comparable:
        return alone
    of_mixtures = _gains(others, seeds, name)
    difference = verdicts.interval(verdicts.minus(of_mixtures, gains), shared)
    return alone._replace(mixtures=verdicts.interval(of_mixtures), ahead=difference)


def _compared(result, name, *mixtures):
    """Return both curves at the K that both have, and the seeds that all of their points have."""
    curves = _own(result, name), of_mixtures(result, name, *mixtures)
    own, others = ({k: curve[k] for k in curve if all(k in c for c in curves)} for curve in curves)
    points = [*own.values(), *others.values()]
    seeds = [s for s in seeds_of(result, {}) if all(s in point for point in points)]
    return own, others, seeds


def _gains(curve, seeds, name):
    """Return the slope over K of each seed's least-squares line, above 0 if it gets better."""
    measured = [[point[seed] for seed in seeds] for point in curve.values()]
    return [_sign(name) * slope for slope in verdicts.slopes(list(curve), measured)]


def _sign(name):
    return 1 if name == ACCURACY else -1


def of_mixtures(result: dict, name: str, accuracies: dict | None, errors: dict | None) -> Curve:
    """Return a measure of the mixtures that differ from the ensembles in nothing but that.

    Args:
        result: Of this script.
        name: Of `MEASURES`.
        accuracies: The result of fig4_components_sweep.py, or None.
        errors: That of table1.py, or None.
    """
    found = accuracies if name == ACCURACY else errors
    if found is None or not _are_comparable(result, found):
        return {}
    if name == ACCURACY:
        rows = {
            count: {name: values}
            for count, values in fig4_components_sweep.accuracies(found).items()
        }
    else:
        rows = table1.printed_rows(found)
    epochs = _epochs(result)
    return {
        count: _by_seed(found, row, name)
        for count, row in sorted(rows.items())
        if count > 1 and row.get("epochs", _epochs(found)) == epochs
    }


def _are_comparable(result, found):
    return reading_of(result) == reading_of(found) and beside.are_alike(result, found)


def _own(result, name):
    counts, rows = COMPONENTS[result["preset"]], result["ensembles"]
    return {count: _by_seed(result, rows[str(count)], name) for count in counts}


def _by_seed(result, row, name):
    return dict(zip(seeds_of(result, row), row[name]["per_seed"], strict=True))


def _epochs(result):
    return result["settings"]["training"].get("epochs")


def _points(curve):
    over = [summary([*values.values()]) for values in curve.values()]
    return list(curve), *([each[part] for each in over] for part in ("mean", "std"))


def text(result: dict, accuracies: dict | None = None, errors: dict | None = None) -> str:
    """Return ensembles and mixtures by K, and whose trend is the steeper, as Markdown.

    Args:
        result: Of this script.
        accuracies: The result of fig4_components_sweep.py, or None.
        errors: That of table1.py, or None.
    """
    counts, mixtures = COMPONENTS[result["preset"]], (accuracies, errors)
    require_parts(result["ensembles"], counts, only=True)
    header, curves, found = ["K"], [], []
    for name, title in MEASURES.items():
        header += [f"{title}, {ENSEMBLES}", MIXTURES]
        curves += [_own(result, name), of_mixtures(result, name, *mixtures)]
        found.append(ahead(result, name, *mixtures))
    rows = [[str(count), *(_cell(curve.get(count)) for curve in curves)] for count in counts]
    lead = [[str(count), *(_lead(each.get(count)) for each in found)] for count in counts]
    grown = [_trend(MEASURES[name], trends(result, name, *mixtures)) for name in MEASURES]
    shared = ensembles.overlap(seeds_of(result, {}), max(counts))
    return f"""\
# Controls of what grows with K: as many separate VAEs

{markdown_table(header, rows)}

How far the mixture is ahead:

{markdown_table(["K", *MEASURES.values()], lead)}

How much better each gets with one more component, or VAE:

{markdown_table(["Measure", "over K", ENSEMBLES, MIXTURES, f"{MIXTURES} ahead"], grown)}

![Accuracy and errors against K, of mixtures and of as many separate VAEs](controls_sweep.png)

"K VAEs": trained separately, each with its own seed, from a pool of {ensembles.POOL}; from one K to
the next a seed's ensemble gains VAEs. KNN: on their joined codes. MSE: of the mean of their images,
at posterior means and, sampled, of one draw each. Mixtures: of [Figure 4](fig4_components_sweep.md)
and [Table I](table1.md). With one more: the slope of the least-squares line over K. In parentheses
the 95 % interval of the mean over seeds.{_WIDER.format(shared) if shared else ""}
KNN: {result["classifier"]}.

{origin(result)}"""


def _trend(title, found):
    over = [title, ", ".join(map(str, found.counts)), found.ensembles.told(3)]
    if found.ahead is None:
        return [*over, "-", "-"]
    word = verdicts.word(found.ahead, "steeper", "less steep")
    return [*over, found.mixtures.told(3), f"{found.ahead.told(3)}, {word}"]


def _lead(interval):
    if interval is None:
        return "-"
    return f"{interval.told(2)}, {verdicts.word(interval, 'better', 'worse')}"


def _cell(values):
    return "-" if values is None else format_summary(summary([*values.values()]), 2)


if __name__ == "__main__":
    run_script(
        "controls_sweep",
        lambda study: rebuild(study, *map(usable_beside, BESIDE)),
        text,
        grows=True,
        redraw=lambda result: pictures(result, *map(usable_beside, BESIDE)),
        beside=BESIDE,
    )
