"""Claims judged otherwise than by the rule of `verdicts`, to see what a verdict depends on.

Not paired by seed: models of one seed share the order of the images and little else, so that a
pair's difference may deviate less, or more, than two means do by chance alone. At posterior means
or at draws alone, and with other numbers of neighbours: the paper tells neither. Each function
takes the result of a script, of which the claim can be judged by the rule, and returns intervals by
how else it is judged.
"""

import ablation_dhsic
import fig4_components_sweep
import table1
import table2
from support import paper, verdicts
from support.verdicts import Interval

MEANS, DRAWS, NOT_PAIRED = "at posterior means alone", "at draws alone", "not paired by seed"
_ERRORS = {MEANS: "mse", DRAWS: "mse_sampled"}


def error_falls(result: dict) -> dict[str, list[Interval]]:
    """Judge Table I's fall over K by each error alone."""
    falls = {how: [table1.fall(result, name)] for how, name in _ERRORS.items()}
    unpaired = []
    for name in _ERRORS.values():
        by_k = table1.of_mixtures(result, name)
        negative = [[-value for value in each] for each in by_k.values()]
        unpaired.append(verdicts.slope(list(by_k), negative))
    return falls | {NOT_PAIRED: unpaired}


def accuracy_grows(result: dict) -> dict[str, list[Interval]]:
    """Judge Figure 4's growth over K."""
    accuracy = fig4_components_sweep.accuracies(result)
    measured = [each["per_seed"] for each in accuracy.values()]
    return {NOT_PAIRED: [verdicts.slope(list(accuracy), measured)]}


def mixtures_beat_vae(result: dict) -> dict[str, list[Interval]]:
    """Judge by how much Table I's largest error of a mixture is below the VAE's."""
    drawn = table1.ahead(result, _ERRORS[DRAWS])
    return {DRAWS: [drawn], NOT_PAIRED: [verdicts.unpaired(*table1.beside_vae(result))]}


def mixture_beats_vae(result: dict) -> dict[str, list[Interval]]:
    """Judge by how much the errors of Table II's mixture are below the VAE's."""
    mixture, vae = (result["errors"][model] for model in table2.MODELS)
    pairs = [(vae[name]["per_seed"], mixture[name]["per_seed"]) for name in _ERRORS.values()]
    return {NOT_PAIRED: [verdicts.unpaired(*pair) for pair in pairs]}


def joined_codes(result: dict) -> dict[str, list[Interval]]:
    """Judge by how much Table II's joined codes classify better than any others of the paper's."""
    accuracy = result["accuracy"]
    of = {name: table2.beside_best(accuracy[name]) for name in paper.TABLE2 if name in accuracy}
    found = {NOT_PAIRED: [verdicts.unpaired(*pair) for pair in of.values()]}
    for count in (each for each in table2.NEIGHBOURS if each != table2.USUAL_NEIGHBOURS):
        pair = table2.beside_best(result["neighbours"][str(count)])
        how = f"by KNN alone, {count} neighbour{'s' * (count > 1)}"
        found[how] = [verdicts.interval(verdicts.minus(*pair))]
    return found


def dhsic_separates(result: dict) -> dict[str, list[Interval]]:
    """Judge by how much more than a tenth beta = 1 lowers the codes' dHSIC."""
    off, on = (row["dhsic"]["per_seed"] for row in ablation_dhsic.beside_off(result, "1"))
    least = [ablation_dhsic.ACTS * each for each in off]
    return {NOT_PAIRED: [verdicts.unpaired(least, on)]}
