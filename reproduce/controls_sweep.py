"""Controls of what grows with K, 4 to 10: ensembles of as many separately trained VAEs.

The mean of more images has less of each one's error, and more codes, joined, hold more, whether the
VAEs were trained together or not. So beside the mixtures of Figure 4 and Table I stand ensembles,
each of which gains VAEs from one K to the next.
"""

from collections.abc import Callable, Iterable

import mvae_tf
from mvae_tf.training import stored
from support import ensembles, measures, sweeps, verdicts
from support.results import usable_beside
from support.rows import require_parts, seeds_of
from support.scripts import run_script
from support.study import Study
from support.summaries import format_summary, over_seeds, summary
from support.sweeps import COMPONENTS, MEASURES
from support.texts import markdown_table, origin

BESIDE = ("fig4_components_sweep", "table1")  # of the mixtures, which stand in text and picture
ENSEMBLES, MIXTURES = "K VAEs", "M-VAE"


def rebuild(
    study: Study, mixtures: Callable[[], Iterable] = lambda: (None, None)
) -> tuple[dict, dict]:
    """Train (or find) the VAEs of each seed's largest ensemble and measure all its ensembles.

    Args:
        study: What they are trained with.
        mixtures: Returns the results of `BESIDE`, each or None, for the picture; asked at the end.
    """
    counts = COMPONENTS[study.preset]
    content = {
        "ensembles": over_seeds([_one_seed(study, seed, counts) for seed in study.seeds]),
        "classifier": mvae_tf.evaluation.classifiers.DESCRIPTIONS["KNN"],
    }
    return content, pictures(content | study.account(), *mixtures())


def _one_seed(study, seed, counts):
    members = ensembles.members(seed, max(counts))
    pool = [study.run(member, num_components=1).model for member in members]
    codes = [measures.encoded(model, study.data) for model in pool]
    measured = {}
    for count in counts:
        accuracy = measures.knn_accuracy(*ensembles.joined_means(codes[:count]), study.data)
        errors = ensembles.errors(pool[:count], study.data.test)
        measured[str(count)] = {sweeps.ACCURACY: accuracy} | errors
    return measured


def pictures(result: dict, accuracies: dict | None, errors: dict | None) -> dict:
    """Draw each measure against K, of the ensembles and of the mixtures beside them."""
    panels = []
    for name, title in MEASURES.items():
        mixtures = sweeps.of_mixtures(result, name, accuracies, errors)
        curves = {MIXTURES: mixtures, ENSEMBLES: sweeps.of_ensembles(result, name)}
        panels.append((title, {series: sweeps.points(curve) for series, curve in curves.items()}))
    return {"": mvae_tf.plots.trends(panels, xlabel="number of components K")}


def text(result: dict, accuracies: dict | None = None, errors: dict | None = None) -> str:
    """Return ensembles and mixtures by K, and whose trend is the steeper, as Markdown.

    Args:
        result: Of this script.
        accuracies: The result of fig4_components_sweep.py, or None.
        errors: That of table1.py, or None.
    """
    counts, mixtures = COMPONENTS[result["preset"]], (accuracies, errors)
    stored.require(result, {"classifier": stored.TEXT})
    require_parts(result["ensembles"], counts, only=True)
    for measured in result["ensembles"].values():
        require_parts(measured, MEASURES, only=True)
    header, curves, leads, grown, missing = ["K"], [], [], [], []
    for name, title in MEASURES.items():
        header += [f"{title}, {ENSEMBLES}", MIXTURES]
        curves += [
            sweeps.of_ensembles(result, name),
            sweeps.of_mixtures(result, name, *mixtures),
        ]
        leads.append(sweeps.ahead(result, name, *mixtures))
        missing += [] if leads[-1] else [title]
        found, alone = sweeps.trends(result, name, *mixtures), sweeps.trends(result, name)
        grown += [_trend(title, found)] + [_trend(title, alone)] * (found.counts != alone.counts)
    rows = [[str(count), *(_cell(curve.get(count)) for curve in curves)] for count in counts]
    lead = [[str(count), *(_lead(each.get(count)) for each in leads)] for count in counts]
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
and [Table I](table1.md), as far as they are of the same images, settings, epochs and precision,
compared by the seeds that both have. With one more: the slope of the least-squares line over K. In
parentheses the 95 % interval of the mean over seeds; ahead, Welch's: an ensemble's VAEs are of
several seeds, and it is no mixture's counterpart.{_shared(result)}{_missing(missing)}
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


def _shared(result):
    seeds, counts = seeds_of(result, {}), COMPONENTS[result["preset"]]
    shared = ensembles.overlap(seeds, max(counts))
    if not shared:
        return ""
    return f"""
Two seeds' largest ensembles share {shared:.0%} of their VAEs: the ensembles' part of an interval is
the wider by what they share, and that of a slope by as much."""


def _missing(titles):
    if not titles:
        return ""
    return f"\nNo such mixtures are stored beside it for {'; '.join(titles)}."


if __name__ == "__main__":
    run_script(
        "controls_sweep",
        lambda study: rebuild(study, lambda: map(usable_beside, BESIDE)),
        text,
        grows=True,
        redraw=lambda result: pictures(result, *map(usable_beside, BESIDE)),
        beside=BESIDE,
    )
