"""What controls say of the paper's claims, by the same rule: what of each is the mixture's own."""

import controls
import controls_sweep
from support import sweeps, verdicts
from support.claims import CLAIMS, PRINTED_K, ROWS_NOT_RUN, Claim, missing_rows, undecided

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
        return undecided("no mixtures to compare")
    if measure != sweeps.ACCURACY and missing_rows(present, PRINTED_K):
        return ROWS_NOT_RUN
    leads = sweeps.ahead(result, measure, *mixtures)
    have_seeds = set(leads) >= set(present) & set(sweeps.COMPONENTS[result["preset"]])
    is_steep = sweeps.trends(result, measure, *mixtures).ahead is not None
    return None if have_seeds and is_steep else verdicts.NONE_IN_COMMON


# What ensembles of as many VAEs say of the claims about several K: levels, and trends.
OF_SWEEP = [
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


def of_script(name: str, result: dict) -> list[Claim]:
    """Return the claims, of the paper's and of the controls', that a script's result judges."""
    controlled = of_controls(result["preset"], result) if name == "controls" else ()
    return [claim for claim in (*CLAIMS, *controlled, *OF_SWEEP) if claim.source == name]
