"""The scorecard's verdicts: what each claim makes of a result."""

import pytest

from support import claims


def of(*values):
    return {"mean": sum(values) / len(values), "std": None, "per_seed": list(values)}


def seeds(value):
    """Three seeds' values, close together."""
    return of(value, value + 0.02, value - 0.01)


def table1(errors, of=seeds, sampled=None):
    rows = [
        {"num_components": k, "mse": of(mse), "mse_sampled": of((sampled or errors)[k]), "paper": 9}
        for k, mse in errors.items()
    ]
    rows = [row | {"model": "VAE" if row["num_components"] == 1 else "M-VAE"} for row in rows]
    # The paper's claim is not about settings of our own.
    own = {"model": "M-VAE, cosine", "num_components": 10, "mse": of(99.0), "paper": 9.17}
    rows = [*rows, own]
    return {"rows": rows, "settings": {"seeds": list(range(len(of(0.0)["per_seed"])))}}


def fig2(mixture, *components):
    each = {f"Component {k}": mse for k, mse in enumerate(components)}
    return {"mse": each | {"Mixture": mixture}}


def table2(mixture, component, vae):
    ours = {"Mixture": mixture, "C1": component, "VAE": vae}
    row = {**ours, "Mixture, `best_mnist`": of(99.0), "VAE, same search": of(99.0)}  # one seed
    certain = {"Mixture": seeds(99), "C1": seeds(1), "VAE": seeds(1)}
    return {"accuracy": {"MLP": certain, "KNN": row}}


def errors(mixture, vae, vae_sampled=None):
    ours = {"mse": mixture, "mse_sampled": mixture}
    return {
        "errors": {
            "M-VAE": ours,
            "VAE": {"mse": vae, "mse_sampled": vae_sampled or vae},
            "Mixture, `best_mnist`": {"mse": of(1.0), "mse_sampled": of(1.0)},
        }
    }


def fig4(*accuracy, of=seeds):
    return {"accuracy": {str(k): of(value) for k, value in enumerate(accuracy, start=4)}}


def dhsic(off, on, **of_seeds):
    """A result of two settings, 0 and 1, and of others; `of_seeds`: b1=[0, 2], a row's own."""
    measured = {"0": off, "1": on, "1000": of(*(0 for _ in off["per_seed"]))}
    rows = [
        {
            "setting": name,
            "seeds": of_seeds.get(f"b{name}", list(range(len(value["per_seed"])))),
            "cka": of(*(0.5 for _ in value["per_seed"])),
            "dhsic": value,
        }
        for name, value in measured.items()
    ]
    return {"rows": rows, "settings": {"seeds": [0], "training": {"epochs": 30}}}


def without_row(result, index):
    """A result without one of its rows."""
    del result["rows"][index]
    return result


def table3(rmse, score, choice="inception", images="cifar10", test="test images", vae=5.0):
    """A result of Table III; rmse None: the mixture's row has not been run."""
    row = {"num_components": 4, "kl_weight": 0.05, "paper": None}
    of_as_many = of if rmse and len(rmse["per_seed"]) == 1 else seeds
    row["rmse"] = of_as_many(1)
    row["seeds"] = list(range(len(of_as_many(vae)["per_seed"])))
    scores = {"score_reconstructions": of_as_many(vae), "score_samples": of_as_many(4.9)}
    single = {**row, **scores, "model": "VAE", "num_components": 1}
    flips = {**row, "model": "M-VAE, flips too"}  # by other images than the paper's
    ours = {**row, "model": "M-VAE"}
    if rmse is not None:
        ours |= {"rmse": rmse, "score_reconstructions": score, "score_samples": of_as_many(5.0)}
    return {
        "rows": [single, flips, *([] if rmse is None else [ours])],
        "settings": {"seeds": [0]},
        "dataset": {"name": images, "test": test},
        "classifier": {"choice": choice, "name": "own", "description": "one of accuracy 70 %"},
    }


def of_other_seeds(result, index):
    """A result, one of whose rows is of another seed alone, which no other row has."""
    row = result["rows"][index]
    row["seeds"] = [9]
    for name, value in row.items():
        if isinstance(value, dict):
            row[name] = of(value["mean"])
    return result


ROWS, IMAGES = "undecided (rows not run)", "undecided (images that the paper doesn't have)"
ONE = "undecided (one seed)"
COMMON = "undecided (no seed in common)"
OTHER = "undecided (a classifier whose scores can't be compared with print)"
HELDOUT = "held-out training batch 5"


@pytest.mark.parametrize(
    ("index", "result", "verdict"),
    [
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), "supported"),
        # A step up does not decide against a fall over all K.
        (0, table1({7: 11.5, 8: 11.6, 10: 9.2, 1: 13.4}), "supported"),
        (0, table1({7: 9.2, 8: 10.2, 10: 11.5, 1: 13.4}), "contradicted"),
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2}), "supported"),
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2}, of), ONE),
        # At means and at draws: it has to fall at both.
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2}, sampled={7: 9, 8: 10, 10: 11}), "contradicted"),
        (0, table1({10: 9.2, 1: 13.4}), ROWS),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), "supported"),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 11.0}), "contradicted"),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}, of), ONE),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2}), ROWS),
        (0, of_other_seeds(table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), 1), COMMON),
        (0, of_other_seeds(table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), 3), "supported"),
        (1, of_other_seeds(table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), 3), COMMON),
        (9, of_other_seeds(table3(seeds(3.1), seeds(6.0)), 0), COMMON),
        (2, errors(seeds(9.0), seeds(10.0)), "supported"),
        (2, errors(seeds(10.0), seeds(9.0)), "contradicted"),
        (2, errors(of(9.0, 9.9, 9.1), of(9.2, 9.3, 9.8)), "undecided"),
        # At means and at draws: the error has to be lower at both.
        (2, errors(seeds(9.0), seeds(10.0), seeds(-5.0)), "contradicted"),
        (2, errors(of(9.0), of(10.0)), ONE),
        (2, {"errors": {"M-VAE": {}}}, ROWS),
        (3, fig2(seeds(9.0), seeds(10.0), seeds(9.5)), "supported"),
        (3, fig2(seeds(9.0), seeds(10.0), seeds(8.9)), "contradicted"),
        (3, fig2(seeds(9.0), seeds(10.0), of(8.9, 9.1, 9.05)), "undecided"),
        (3, fig2(of(9, 9.02, 9.03), of(8, 9.9, 9.9), of(9.9, 8, 8.1)), "contradicted"),
        (3, fig2(of(9.0), of(10.0), of(9.5)), ONE),
        (4, table2(seeds(97.0), seeds(96.0), seeds(96.5)), "supported"),
        (4, table2(of(97, 97.1, 97.2), seeds(97.5), seeds(96.5)), "contradicted"),
        (4, table2(of(97, 97.1, 97.2), seeds(96.0), seeds(97.5)), "contradicted"),
        (4, table2(of(97, 97.9, 97.2), seeds(96.0), seeds(97.0)), "undecided"),
        (4, table2(of(97), of(96.0), of(96.5)), ONE),
        (5, fig4(96.0, 96.5, 97.0), "supported"),
        (5, fig4(97.0, 96.5, 96.0), "contradicted"),
        (5, {"accuracy": {"4": of(96, 97, 96.5), "7": of(97, 96, 96.4)}}, "undecided"),
        (5, fig4(96.0, 96.5, 97.0, of=of), ONE),
        (6, dhsic(of(0.01, 0.0102, 0.0101), of(0.002, 0.0021, 0.0019)), "supported"),
        # A fall by less than a tenth makes nothing differ.
        (6, dhsic(of(0.01, 0.0102, 0.0101), of(0.0098, 0.0099, 0.0099)), "contradicted"),
        (6, dhsic(of(0.01), of(0.002)), ONE),
        # By the seeds that both have, 0 and 2: the first and last of beta = 0.
        (6, dhsic(of(0.01, 0.9, 0.01), of(0.002, 0.0021), b1=[0, 2]), "supported"),
        (6, dhsic(of(0.01, 0.0001, 0.01), of(0.002, 0.0021), b1=[0, 2]), "supported"),
        (6, dhsic(of(0.01, 0.9, 0.01), of(0.02, 0.021), b1=[2, 0]), "contradicted"),
        (6, of_other_seeds(dhsic(seeds(0.9), seeds(0.1)), 1), COMMON),
        (6, of_other_seeds(dhsic(of(0.1, 0.11), of(0.01, 0.02)), 2), "supported"),
        (6, without_row(dhsic(seeds(0.9), seeds(0.1)), 0), ROWS),
        (6, without_row(dhsic(seeds(0.9), seeds(0.1)), 1), ROWS),
        (6, without_row(dhsic(of(0.1, 0.11), of(0.01, 0.02)), 2), "supported"),
        (6, None, "not run"),
        (7, None, "not run"),
        (7, table3(seeds(3.1), seeds(6.0)), "supported"),
        (7, table3(of(3.174, 3.1741, 3.1742), seeds(6.0)), "supported"),
        (7, table3(seeds(3.3), seeds(6.0), test=HELDOUT), "contradicted"),
        (7, table3(of(3.3), seeds(6.0)), ONE),
        (7, table3(seeds(3.1), seeds(6.0), images="patches"), IMAGES),
        (7, table3(None, None), ROWS),
        (8, table3(seeds(3.1), seeds(6.0)), "supported"),
        (8, table3(seeds(3.1), of(5.956, 5.957, 5.9565)), "supported"),
        (8, table3(seeds(3.1), seeds(5.8)), "contradicted"),
        (8, table3(seeds(3.1), seeds(6.0), "cifar10"), OTHER),
        # The images held out are a caveat of the score as of the error.
        (8, table3(seeds(3.1), seeds(6.0), test=HELDOUT), "supported"),
        (8, table3(seeds(3.1), seeds(6.0), "cifar10", test=HELDOUT), OTHER),
        (8, table3(seeds(3.1), seeds(6.0), images="patches"), IMAGES),
        (8, table3(None, None), ROWS),
        (9, table3(seeds(3.1), seeds(6.0)), "supported"),
        (9, table3(seeds(3.1), of(4.9, 5.2, 5.0)), "undecided"),
        (9, table3(of(3.1), of(6.0)), ONE),
        (9, table3(seeds(3.1), seeds(6.0), vae=7.0), "contradicted"),
        (9, table3(of(3.1), of(6.0), images="patches"), IMAGES),
        (9, table3(None, None), ROWS),
    ],
)
def test_verdicts(index, result, verdict):
    measured, found = judged(index, result)
    assert found == verdict and measured


def judged(index, result):
    claim = claims.CLAIMS[index]
    return claims.judged(claim, {claim.source: result})


def test_table3s_judgement_says_of_what_and_by_whom():
    result = table3(of(3.1), of(6.0), "cifar10", test=HELDOUT)
    told, _ = judged(7, result)
    assert told == "3.10 on held-out training batch 5"
    told, _ = judged(8, result)
    assert told == "reconstructions 6.00 on held-out training batch 5, by our classifier"
    told, _ = judged(9, result)
    assert told.startswith("scores by our classifier: reconstructions 6.00, the VAE's 5.00; draws")
    told, _ = judged(8, table3(of(3.1), of(6.0), images="patches"))
    assert told == "reconstructions 6.00 on patches, by Inception"


def test_what_is_measured_stands_with_its_interval():
    told, _ = judged(3, fig2(of(9.0, 9.1), of(10.0, 10.3), of(9.5, 12)))
    # 0.5 and 1.2: their mean, and 12.71 times its deviation.
    assert told == "than the best of them by 0.85 (-3.60 to 5.30)"
    told, _ = judged(0, table1({7: 9.0, 8: 9.1, 10: 8.8}, of, sampled={7: 11.0, 8: 10.0, 10: 9.0}))
    # Lines through K = 7, 8 and 10: slopes by numpy.polyfit.
    assert told == "by 0.079 a component, at draws by 0.643"
    told, _ = judged(2, errors(of(9.0, 9.2), of(10.0, 10.1), of(13.0, 13.3)))
    assert told == "by 0.95 (0.31 to 1.59), at draws by 4.05 (3.41 to 4.69)"
    told, _ = judged(6, dhsic(of(0.01, 0.9, 0.02), of(0.002, 0.004), b1=[0, 2]))
    # Of the seeds in common: -0.008 and -0.016, their mean, and 12.71 times its deviation.
    assert told == (
        "dHSIC 0.00300 ± 0.00141 with it, 0.01500 ± 0.00707 without: a change of -0.01200 "
        "(-0.06282 to 0.03882), where a fall of a tenth would count; CKA 0.500 ± 0.000, without "
        "it 0.500 ± 0.000; 30 epochs"
    )
