"""The paper's claims, each judged by what the scripts measured.

A verdict is "holds", "does not hold" or "not decidable here"; what was measured stands beside it.
"""

import dataclasses
from collections.abc import Callable

import ablation_dhsic
import fig2_components
import table1
import table2
import table3
from support import paper
from support.summaries import format_summary

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decidable here"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        text: The claim.
        source: The script that measures it; None if none does yet.
        judge: Takes that script's result, returns what was measured and the verdict.
    """

    text: str
    source: str | None
    judge: Callable[[dict], tuple[str, str]] | None


def judged(claim: Claim, result: dict | None) -> tuple[str, str]:
    """Return what was measured and the verdict; undecidable without a result."""
    if claim.judge is None:
        return "no script of this version measures it", OPEN
    if result is None:
        return "not measured", OPEN
    return claim.judge(result)


def _verdict(holds: bool) -> str:
    return HOLDS if holds else FAILS


def _error_falls(result):
    errors = table1.errors(result)
    told = ", ".join(f"K = {count}: {format_summary(errors[count], 2)}" for count in sorted(errors))
    means = [errors[count]["mean"] for count in sorted(errors)]
    falls = means == sorted(means, reverse=True)
    missing = [str(count) for _, count, _ in paper.TABLE1 if count not in errors]
    if missing:
        told += f"; not run: K = {', '.join(missing)}"
    # One step up decides it; of steps down, every one is needed.
    return f"MSE {told}", OPEN if missing and falls else _verdict(falls)


def _beats_components(result):
    mixture = result["mse"]["Mixture"]
    components = [values["mean"] for name, values in result["mse"].items() if name != "Mixture"]
    told = f"MSE {format_summary(mixture, 2)} against {min(components):.2f} of the best component"
    return told, _verdict(fig2_components.is_ahead(result))


def _joined_codes_classify_best(result):
    told, ahead = [], []
    for name, columns in result["accuracy"].items():
        means = {column: columns[column]["mean"] for column in columns if column != table2.BEST}
        mixture = means.pop("Mixture")
        told.append(f"{name} {mixture:.2f} against {max(means.values()):.2f}")
        ahead.append(mixture > max(means.values()))
    return f"accuracy (%) {', '.join(told)}", _verdict(all(ahead))


def _accuracy_grows(result):
    accuracy = {count: values["mean"] for count, values in result["accuracy"].items()}
    told = ", ".join(f"K = {count}: {mean:.2f}" for count, mean in accuracy.items())
    means = list(accuracy.values())
    return f"KNN accuracy (%) {told}", _verdict(means == sorted(means))


def _dhsic_separates(result):
    rows = result["rows"]
    told = ", ".join(
        f"beta = {label}: dHSIC {rows[label]['dhsic']['mean']:.5f}, "
        f"CKA {rows[label]['cka']['mean']:.3f}"
        for label in ("0", "1", "1000")
    )
    return told, _verdict(ablation_dhsic.acts_at_one(result))


def _table3(result):
    row = table3.by_name(result).get(table3.PAPERS)
    if row is None:
        return "the mixture's row has not been run", OPEN
    images, classifier = result["dataset"], result["classifier"]
    rmse, score = row["rmse"], row["score_reconstructions"]
    near = rmse["mean"] < row["paper"]["rmse"] + 0.005  # the printed digits, or fewer
    told = f"RMSE {format_summary(rmse, 2)} on {images['name']} ({images['test']})"
    told += f"; score of reconstructions {format_summary(score, 2)} by {classifier['description']}"
    if images["name"] != "cifar10":
        return f"{told}; images that the paper doesn't have", OPEN
    if classifier["choice"] != "inception":
        told += ", which can't be compared with 5.96"
        return told, OPEN if near else FAILS
    return told, _verdict(near and score["mean"] >= row["paper"]["score"] - 0.005)


CLAIMS = (
    Claim("The error falls as K grows, and beats a single VAE's", "table1", _error_falls),
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
    Claim("Table III: RMSE 3.17 and Inception score 5.96 on CIFAR-10", "table3", _table3),
)
