"""The paper's claims, each judged by what the scripts measured and by the rule of `verdicts`."""

import dataclasses
from collections.abc import Callable, Mapping

import ablation_dhsic
import controls
import controls_sweep
import fig2_components
import fig4_components_sweep
import table1
import table2
from support import cifar10_models, paper, sweeps, verdicts
from support.rows import of_common_seeds
from support.summaries import format_summary

_PAPER_MNIST = "`paper_mnist`"
_PAPER_CIFAR10 = "`paper_cifar10`, of which the paper leaves much open"
_PRINTED_K = [count for _, count, _ in paper.TABLE1 if count > 1]
_PRINTED_RMSE, _PRINTED_SCORE = paper.TABLE3[-1][1:]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper, or what a control says of one.

    Attributes:
        text: The claim.
        source: The script that measures it.
        judge: Takes that script's result and those of `beside`, None where there is none; returns
            what was measured and the verdict.
        reading: Of the paper's text, in which the verdict is given, and what else it depends on.
        beside: Other scripts whose results it compares that one with.
    """

    text: str
    source: str
    judge: Callable[..., tuple[str, str]]
    reading: str = _PAPER_MNIST
    beside: tuple[str, ...] = ()


_ERRORS = ("mse", "mse_sampled")  # at posterior means and at draws


def judged(claim: Claim, stored: Mapping[str, dict | None]) -> tuple[str, str]:
    """Return what was measured and the verdict.

    Args:
        claim: The claim.
        stored: Results by their scripts' names; what is None, or lacks, was not run.
    """
    if (result := stored.get(claim.source)) is None:
        return "-", verdicts.NOT_RUN
    return claim.judge(result, *map(stored.get, claim.beside))


def _undecided(reason: str) -> str:
    return f"{verdicts.UNDECIDED} ({reason})"


_OTHER_IMAGES = _undecided("images that the paper doesn't have")


def _error_falls(result):
    rows = {k: row for k, row in sorted(table1.printed_rows(result).items()) if k != 1}
    missing = _missing(rows, (count for _, count, _ in paper.TABLE1 if count != 1))
    if missing:
        return f"not run: {missing}", _undecided("rows not run")
    compared = of_common_seeds(result, list(rows.values()))
    if compared is None:
        return "-", verdicts.NONE_IN_COMMON
    measured = ([row[name]["per_seed"] for row in compared] for name in _ERRORS)
    rises = (verdicts.slopes(list(rows), each) for each in measured)
    falls = [verdicts.interval([-rise for rise in each]) for each in rises]
    return _at_both(falls, 3, " a component"), verdicts.verdict(falls)


def _at_both(differences, digits, each=""):
    """Tell by how much an error is lower at posterior means and at draws."""
    at_means, at_draws = (f"by {difference.told(digits)}" for difference in differences)
    return f"{at_means}{each}, at draws {at_draws}"


def _beats_vae(result):
    missing = _missing(table1.printed_rows(result), (count for _, count, _ in paper.TABLE1))
    if missing:
        return f"not run: {missing}", _undecided("rows not run")
    ahead = table1.ahead(result)
    if ahead is None:
        return "-", verdicts.NONE_IN_COMMON
    return f"by {ahead.told(2)} at the least", verdicts.verdict([ahead])


def _four_beat_vae(result):
    errors = result["errors"]
    if not {"M-VAE", "VAE"} <= set(errors):
        return "-", _undecided("rows not run")
    of_each = ([errors[model][name]["per_seed"] for model in ("VAE", "M-VAE")] for name in _ERRORS)
    ahead = [verdicts.interval(verdicts.minus(*pair)) for pair in of_each]
    return _at_both(ahead, 2), verdicts.verdict(ahead)


def _missing(present, wanted):
    return ", ".join(f"K = {count}" for count in wanted if count not in present)


def _beats_components(result):
    ahead = fig2_components.ahead(result)
    return f"than the best of them by {ahead.told(2)}", verdicts.verdict([ahead])


def _joined_codes_classify_best(result):
    told, ahead = [], []
    for name, columns in result["accuracy"].items():
        of = {
            column: columns[column]["per_seed"]
            for column in columns
            if column not in table2.OF_OUR_OWN
        }
        ahead.append(
            verdicts.interval(verdicts.minus(of.pop("Mixture"), verdicts.best(of.values())))
        )
        told.append(f"{name} by {ahead[-1].told(3)}")
    return f"{', '.join(told)}, in points", verdicts.verdict(ahead)


def _accuracy_grows(result):
    accuracy = fig4_components_sweep.accuracies(result)
    rises = verdicts.slopes(list(accuracy), [each["per_seed"] for each in accuracy.values()])
    rise = verdicts.interval(rises)
    ends = (f"{format_summary(accuracy[k], 2)} % (K = {k})" for k in (min(accuracy), max(accuracy)))
    told = f"by {rise.told(3)} points a component, from {' to '.join(ends)}"
    return told, verdicts.verdict([rise])


def _dhsic_separates(result):
    rows = ablation_dhsic.by_name(result)
    if not {ablation_dhsic.OFF, "1"} <= set(rows):
        return "-", _undecided("rows not run")
    compared = ablation_dhsic.beside_off(result, "1")
    if compared is None:
        return "-", verdicts.NONE_IN_COMMON
    lowered = ablation_dhsic.lowered(result, "1")
    off, on = (format_summary(row["cka"], 3) for row in compared)
    told = f"dHSIC lower, beyond a tenth, by {lowered.told(5)}; CKA {on}, without it {off}"
    return told, verdicts.verdict([lowered])


def _rmse(result):
    row = cifar10_models.by_name(result).get(cifar10_models.PAPERS)
    if row is None:
        return "-", _undecided("rows not run")
    told = f"{format_summary(row['rmse'], 2)} on {_images(result)}"
    if not _is_of_cifar10(result):
        return told, _OTHER_IMAGES
    below = verdicts.ahead_of_print(_PRINTED_RMSE, row["rmse"]["per_seed"], lowest=True)
    return told, verdicts.verdict([below])


def _images(result):
    images = result["dataset"]
    return images["test"] if _is_of_cifar10(result) else images["name"]


def _is_of_cifar10(result):
    return result["dataset"]["name"] == "cifar10"


def _score(result):
    row = cifar10_models.by_name(result).get(cifar10_models.PAPERS)
    if row is None:
        return "-", _undecided("rows not run")
    if (score := row.get("score_reconstructions")) is None:
        return "-", _undecided("rows not scored")
    told = f"reconstructions {format_summary(score, 2)} on {_images(result)}, {_judge(result)}"
    if not _is_of_cifar10(result):
        return told, _OTHER_IMAGES
    if result["classifier"]["choice"] != "inception":
        return told, _undecided("a classifier whose scores can't be compared with print")
    above = verdicts.ahead_of_print(_PRINTED_SCORE, score["per_seed"])
    return told, verdicts.verdict([above])


def _judge(result):
    return "by Inception" if result["classifier"]["choice"] == "inception" else "by our classifier"


def _quality(result):
    rows = cifar10_models.by_name(result)
    if not {cifar10_models.PAPERS, cifar10_models.VAE} <= set(rows):
        return "-", _undecided("rows not run")
    compared = of_common_seeds(result, [rows[cifar10_models.PAPERS], rows[cifar10_models.VAE]])
    if compared is None:
        return "-", verdicts.NONE_IN_COMMON
    mixture, vae = compared
    if not all("score_reconstructions" in row for row in compared):
        return "-", _undecided("rows not scored")
    told, ahead = [], []
    for what, name in (("score_reconstructions", "reconstructions"), ("score_samples", "draws")):
        scores = [format_summary(row[what], 2) for row in (mixture, vae)]
        told.append(f"{name} {scores[0]}, the VAE's {scores[1]}")
        difference = verdicts.minus(mixture[what]["per_seed"], vae[what]["per_seed"])
        ahead.append(verdicts.interval(difference))
    told = f"scores {_judge(result)}: {'; '.join(told)}"
    return told, verdicts.verdict(ahead) if _is_of_cifar10(result) else _OTHER_IMAGES


CLAIMS = (
    Claim("The error falls as K grows, 7 to 10", "table1", _error_falls),
    Claim("The error is below a single VAE's, K = 7 to 10", "table1", _beats_vae),
    Claim("The error is below a single VAE's, K = 4", "table2", _four_beat_vae),
    Claim(
        "The mixture reconstructs better than any of its components",
        "fig2_components",
        _beats_components,
    ),
    Claim(
        "The joined codes classify better than any component's or a single VAE's",
        "table2",
        _joined_codes_classify_best,
    ),
    Claim("KNN accuracy grows with K, 4 to 10", "fig4_components_sweep", _accuracy_grows),
    Claim(
        "dHSIC, with beta = 1, is what makes the components differ",
        "ablation_dhsic",
        _dhsic_separates,
    ),
    Claim("Table III: RMSE 3.17 on CIFAR-10", "table3", _rmse, _PAPER_CIFAR10),
    Claim("Table III: Inception score 5.96 on CIFAR-10", "table3", _score, _PAPER_CIFAR10),
    Claim("Images are of better quality than a single VAE's", "table3", _quality, _PAPER_CIFAR10),
)


_MEASURED = {
    "mse": "a lower error than",
    "mse_sampled": "a lower error at draws than",
    "KNN": "joined codes that classify better (KNN) than those of",
}


def _ahead_at_each(measure):
    """Return a judge of whether the mixture is ahead of as many VAEs at each K."""

    def judge(result, accuracies=None, errors=None):
        found = sweeps.ahead(result, measure, accuracies, errors)
        told = ", ".join(f"K = {k}: {each.told(2)}" for k, each in found.items())
        reason = _not_compared(result, measure, accuracies, errors)
        return told or "-", reason or verdicts.verdict([*found.values()])

    return judge


def _steeper(measure):
    """Return a judge of whether the mixture gains more with K than as many VAEs do."""

    def judge(result, accuracies=None, errors=None):
        found = sweeps.trends(result, measure, accuracies, errors)
        if found.ahead is None:
            return "-", _not_compared(result, measure, accuracies, errors)
        pair = f"{found.mixtures.told(3)} a component, {found.ensembles.told(3)} a VAE"
        told = f"by {found.ahead.told(3)}: {pair}"
        reason = _not_compared(result, measure, accuracies, errors)
        return told, reason or verdicts.verdict([found.ahead])

    return judge


def _not_compared(result, measure, *mixtures):
    """Return why mixtures and ensembles can't be compared, if that is so."""
    present = sweeps.of_mixtures(result, measure, *mixtures)
    if not present:
        return _undecided("no mixtures to compare")
    if measure != sweeps.ACCURACY and _missing(present, _PRINTED_K):
        return _undecided("rows not run")
    leads = sweeps.ahead(result, measure, *mixtures)
    have_seeds = set(leads) >= set(present) & set(sweeps.COMPONENTS[result["preset"]])
    is_steep = sweeps.trends(result, measure, *mixtures).ahead is not None
    return None if have_seeds and is_steep else verdicts.NONE_IN_COMMON


# What ensembles of as many VAEs say of the claims about several K: levels, and trends.
OF_SWEEP = tuple(
    Claim(f"K = {span}: {what}", "controls_sweep", judge(name), beside=controls_sweep.BESIDE)
    for name, span, level, trend in (
        ("mse", "7 to 10", "a lower error", "the error falls"),
        ("mse_sampled", "7 to 10", "a lower error at draws", "the error at draws falls"),
        ("KNN", "4 to 10", "a higher KNN accuracy", "KNN accuracy grows"),
    )
    for judge, what in (
        (_ahead_at_each, f"at each K {level} than K separate VAEs have"),
        (_steeper, f"{trend} faster with K than that of K separate VAEs"),
    )
)


def of_script(name: str, result: dict) -> list[Claim]:
    """Return the claims, of the paper's and of the controls', that a script's result judges."""
    controlled = of_controls(result["preset"], result) if name == "controls" else ()
    return [claim for claim in (*CLAIMS, *controlled, *OF_SWEEP) if claim.source == name]


def under(reading: str) -> list[Claim]:
    """Return the claims on MNIST for another reading, whose results lie in a folder of its name."""
    return [
        dataclasses.replace(claim, reading=f"`{reading}`")
        for claim in CLAIMS
        if claim.reading == _PAPER_MNIST
    ]


def of_controls(preset: str, result: dict | None) -> list[Claim]:
    """Return what controls can say of the claims: of a preset's rows, and of any others run.

    Args:
        preset: Of `study.PRESETS`.
        result: Of controls.py, or None.
    """
    shown = {*controls.usual_rows(preset), *(controls.by_name(result) if result else ())}
    return [
        Claim(f"K = {count}: {what} {than}", "controls", _control(row, measure, of), f"`{reading}`")
        for row, (reading, count) in controls.ROWS.items()
        if row in shown
        for measure, what in _MEASURED.items()
        for of, than in _HELD_AGAINST.items()
    ]


# Whether the control is the ensemble.
_HELD_AGAINST = {True: "K separate VAEs", False: "each single VAE"}


def _control(row, measure, is_ensemble):
    """Return a judge of whether a row's mixture is ahead of the ensemble, or of each VAE."""

    def judge(result):
        present = controls.by_name(result).get(row)
        if present is None:
            return "-", verdicts.NOT_RUN
        if is_ensemble:
            ahead = controls.compared(result, present)[controls.ENSEMBLE][measure]
            return f"by {ahead.told(2)}", verdicts.verdict([ahead])
        ahead = controls.ahead_of_best(present, measure)
        return f"than the best of them by {ahead.told(2)}", verdicts.verdict([ahead])

    return judge
