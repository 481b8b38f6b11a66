"""The paper's claims, each judged by what the scripts measured and by the rule of `verdicts`."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping

import ablation_dhsic
import fig2_components
import fig4_components_sweep
import table1
import table2
from support import cifar10_models, paper, robustness, verdicts
from support.rows import of_common_seeds
from support.summaries import format_summary

_PAPER_MNIST = "`paper_mnist`"
_PAPER_CIFAR10 = "`paper_cifar10`, of which the paper leaves much open"
PRINTED_K = [count for _, count, _ in paper.TABLE1 if count > 1]
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
        otherwise: Takes that script's result; returns intervals, by how else it can be judged.
        digits: Of these intervals.
    """

    text: str
    source: str
    judge: Callable[..., tuple[str, str]]
    reading: str = _PAPER_MNIST
    beside: tuple[str, ...] = ()
    otherwise: Callable[[dict], dict[str, list[verdicts.Interval]]] | None = None
    digits: int = 2


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


def judged_otherwise(claim: Claim, result: dict) -> list[tuple[str, str, str]]:
    """Return how else a claim can be judged, the verdict then, and what was measured.

    Args:
        claim: The claim.
        result: Of the script that measures it. Where rows of it, or seeds in common, are missing
            the claim is not judged otherwise either; of one seed there is nothing to judge.
    """
    if claim.otherwise is None or judged(claim, {claim.source: result})[1] in _NOT_COMPARED:
        return []
    return [
        (how, verdicts.verdict(each), ", ".join(part.told(claim.digits) for part in each))
        for how, each in claim.otherwise(result).items()
        if any(part.count > 1 for part in each)
    ]


def undecided(reason: str) -> str:
    """Return the verdict of what can't be judged, for a reason."""
    return f"{verdicts.UNDECIDED} ({reason})"


_OTHER_IMAGES = undecided("images that the paper doesn't have")
ROWS_NOT_RUN = undecided("rows not run")
_NOT_COMPARED = (ROWS_NOT_RUN, verdicts.NONE_IN_COMMON)


def _error_falls(result):
    missing = missing_rows(
        table1.printed_rows(result), (count for _, count, _ in paper.TABLE1 if count != 1)
    )
    if missing:
        return f"not run: {missing}", ROWS_NOT_RUN
    falls = [table1.fall(result, name) for name in _ERRORS]
    if None in falls:
        return "-", verdicts.NONE_IN_COMMON
    return _at_both(falls, 3, " a component"), verdicts.verdict(falls)


def _at_both(differences, digits, each=""):
    """Tell by how much an error is lower at posterior means and at draws."""
    at_means, at_draws = (f"by {difference.told(digits)}" for difference in differences)
    return f"{at_means}{each}, at draws {at_draws}"


def _beats_vae(result):
    missing = missing_rows(table1.printed_rows(result), (count for _, count, _ in paper.TABLE1))
    if missing:
        return f"not run: {missing}", ROWS_NOT_RUN
    ahead = table1.ahead(result)
    if ahead is None:
        return "-", verdicts.NONE_IN_COMMON
    return f"by {ahead.told(2)} at the least", verdicts.verdict([ahead])


def _four_beat_vae(result):
    errors = result["errors"]
    if not {"M-VAE", "VAE"} <= set(errors):
        return "-", ROWS_NOT_RUN
    of_each = ([errors[model][name]["per_seed"] for model in ("VAE", "M-VAE")] for name in _ERRORS)
    ahead = [verdicts.interval(verdicts.minus(*pair)) for pair in of_each]
    return _at_both(ahead, 2), verdicts.verdict(ahead)


def missing_rows(present: Collection[int], wanted: Iterable[int]) -> str:
    """Return which of the wanted K are not present, as text: empty if none is missing."""
    return ", ".join(f"K = {count}" for count in wanted if count not in present)


def _beats_components(result):
    ahead = fig2_components.ahead(result)
    return f"than the best of them by {ahead.told(2)}", verdicts.verdict([ahead])


def _joined_codes_classify_best(result):
    told, ahead = [], []
    for name, columns in result["accuracy"].items():
        ahead.append(verdicts.interval(verdicts.minus(*table2.beside_best(columns))))
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
        return "-", ROWS_NOT_RUN
    compared = ablation_dhsic.beside_off(result, "1")
    if compared is None:
        return "-", verdicts.NONE_IN_COMMON
    lowered = ablation_dhsic.lowered(result, "1")
    off, on = compared
    change = verdicts.interval(verdicts.minus(on["dhsic"]["per_seed"], off["dhsic"]["per_seed"]))
    told = (
        f"dHSIC {format_summary(on['dhsic'], 5)} with it, {format_summary(off['dhsic'], 5)} "
        f"without: a change of {change.told(5)}, where a fall of a tenth would count; "
        f"CKA {format_summary(on['cka'], 3)}, without it {format_summary(off['cka'], 3)}; "
        f"{result['settings']['training']['epochs']} epochs"
    )
    return told, verdicts.verdict([lowered])


def _rmse(result):
    row = cifar10_models.by_name(result).get(cifar10_models.PAPERS)
    if row is None:
        return "-", ROWS_NOT_RUN
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
        return "-", ROWS_NOT_RUN
    if (score := row.get("score_reconstructions")) is None:
        return "-", undecided("rows not scored")
    told = f"reconstructions {format_summary(score, 2)} on {_images(result)}, {_judge(result)}"
    if not _is_of_cifar10(result):
        return told, _OTHER_IMAGES
    if result["classifier"]["choice"] != "inception":
        return told, undecided("a classifier whose scores can't be compared with print")
    above = verdicts.ahead_of_print(_PRINTED_SCORE, score["per_seed"])
    return told, verdicts.verdict([above])


def _judge(result):
    return "by Inception" if result["classifier"]["choice"] == "inception" else "by our classifier"


def _quality(result):
    rows = cifar10_models.by_name(result)
    if not {cifar10_models.PAPERS, cifar10_models.VAE} <= set(rows):
        return "-", ROWS_NOT_RUN
    compared = of_common_seeds(result, [rows[cifar10_models.PAPERS], rows[cifar10_models.VAE]])
    if compared is None:
        return "-", verdicts.NONE_IN_COMMON
    mixture, vae = compared
    if not all("score_reconstructions" in row for row in compared):
        return "-", undecided("rows not scored")
    told, ahead = [], []
    for what, name in (("score_reconstructions", "reconstructions"), ("score_samples", "draws")):
        scores = [format_summary(row[what], 2) for row in (mixture, vae)]
        told.append(f"{name} {scores[0]}, the VAE's {scores[1]}")
        difference = verdicts.minus(mixture[what]["per_seed"], vae[what]["per_seed"])
        ahead.append(verdicts.interval(difference))
    told = f"scores {_judge(result)}: {'; '.join(told)}"
    return told, verdicts.verdict(ahead) if _is_of_cifar10(result) else _OTHER_IMAGES


CLAIMS = (
    Claim(
        "The error falls as K grows, 7 to 10",
        "table1",
        _error_falls,
        otherwise=robustness.error_falls,
        digits=3,
    ),
    Claim(
        "The error is below a single VAE's, K = 7 to 10",
        "table1",
        _beats_vae,
        otherwise=robustness.mixtures_beat_vae,
    ),
    Claim(
        "The error is below a single VAE's, K = 4",
        "table2",
        _four_beat_vae,
        otherwise=robustness.mixture_beats_vae,
    ),
    Claim(
        "The mixture reconstructs better than any of its components",
        "fig2_components",
        _beats_components,
    ),
    Claim(
        "The joined codes classify better than any component's or a single VAE's",
        "table2",
        _joined_codes_classify_best,
        otherwise=robustness.joined_codes,
        digits=3,
    ),
    Claim(
        "KNN accuracy grows with K, 4 to 10",
        "fig4_components_sweep",
        _accuracy_grows,
        otherwise=robustness.accuracy_grows,
        digits=3,
    ),
    Claim(
        "dHSIC, with beta = 1, is what makes the components differ",
        "ablation_dhsic",
        _dhsic_separates,
        otherwise=robustness.dhsic_separates,
        digits=5,
    ),
    Claim("Table III: RMSE 3.17 on CIFAR-10", "table3", _rmse, _PAPER_CIFAR10),
    Claim("Table III: Inception score 5.96 on CIFAR-10", "table3", _score, _PAPER_CIFAR10),
    Claim("Images are of better quality than a single VAE's", "table3", _quality, _PAPER_CIFAR10),
)


def under(reading: str) -> list[Claim]:
    """Return the claims on MNIST for another reading, whose results lie in a folder of its name."""
    return [
        dataclasses.replace(claim, reading=f"`{reading}`")
        for claim in CLAIMS
        if claim.reading == _PAPER_MNIST
    ]
