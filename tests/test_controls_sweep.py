"""Ensembles of growing size: against NumPy, and how their trends are held against mixtures'."""

import copy
import itertools
import json

import numpy as np
import pytest
import scipy.stats
import sklearn.neighbors

import controls_sweep
import mvae_tf
from mvae_tf import presets
from support import claims, control_claims, ensembles, study as study_module, sweeps, verdicts
from support.summaries import summary

OF_DATA = {"name": "mnist", "digest": "d", "train_images": 60_000, "test": "test images"}
COUNTS = (4, 5, 6, 7, 8, 9, 10)
GAINS = [0.02, 0.03, 0.07]  # of each seed, per component


@pytest.fixture(scope="module")
def rebuilt(small_mnist, tmp_path_factory):
    """The quick preset's result of two seeds, its picture and the study; networks are small."""
    with pytest.MonkeyPatch.context() as patch:
        data = mvae_tf.datasets.load(small_mnist)
        patch.setattr(mvae_tf.datasets, "load", lambda name, data_dir: data)
        patch.setitem(sweeps.COMPONENTS, "quick", (2, 3))
        patch.setitem(study_module.EPOCHS["mnist"], "quick", 1)
        model = {**presets.get("paper_mnist").model, "hidden_units": (12, 12), "latent_dim": 3}
        patch.setitem(presets.PRESETS, "paper_mnist", presets.Preset(model, 1, 50, 1e-3))
        store = tmp_path_factory.mktemp("runs")
        study = study_module.Study("quick", [0, 1], None, store)
        content, pictures = controls_sweep.rebuild(study)
        result = json.loads(json.dumps(content | study.account() | {"command": "it"}))
        yield result, pictures, study


def test_an_ensemble_s_images_are_averaged_and_its_codes_joined(rebuilt):
    result, _, study = rebuilt
    assert list(result["ensembles"]) == ["2", "3"]
    train, test = study.data.train, study.data.test
    images = test.float_images()
    # Each seed's larger ensemble has the smaller one's VAEs.
    for place, members in ((0, (0, 1)), (1, (3, 4)), (0, (0, 1, 2)), (1, (3, 4, 5))):
        pool = [study.run(member, num_components=1).model for member in members]
        measured = result["ensembles"][str(len(members))]
        mean = np.mean([model.reconstruct(images).numpy() for model in pool], axis=0)
        error = np.square(mean - images).sum(axis=(1, 2, 3)).mean()
        assert measured["mse"]["per_seed"][place] == pytest.approx(error, rel=1e-5)
        assert measured["mse_sampled"]["per_seed"][place] != measured["mse"]["per_seed"][place]
        joined = [
            np.hstack([m.features(part.float_images()).numpy() for m in pool])
            for part in (train, test)
        ]
        knn = sklearn.neighbors.KNeighborsClassifier(5, algorithm="brute")
        knn.fit(joined[0], train.labels)
        expected = 100 * np.mean(knn.predict(joined[1]) == test.labels)
        assert measured["KNN"]["per_seed"][place] == pytest.approx(expected, abs=1.01)


def test_text_and_picture_without_mixtures(rebuilt):
    result, pictures, _ = rebuilt
    text = controls_sweep.text(result)
    assert "better" not in text.partition("How far")[2].partition("How much")[0]
    assert "|   2, 3 | " in text
    assert "share" not in text
    (figure,) = pictures.values()
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["K VAEs"]
    assert len(figure.axes) == 3


@pytest.mark.parametrize("damage", ["missing", "another", "measure", "seed"])
def test_a_result_with_a_part_missing_is_refused(rebuilt, damage):
    result = copy.deepcopy(rebuilt[0])
    rows = result["ensembles"]
    if damage == "missing":
        del rows["2"]
    elif damage == "another":
        rows["8"] = rows["2"]
    elif damage == "measure":
        del rows["2"]["mse"]
    else:
        rows["2"]["mse"] = summary([1.0])
    with pytest.raises((ValueError, LookupError)):
        controls_sweep.text(result)


def results(own=GAINS, mixtures=(0.05, 0.08, 0.08), mixture_seeds=(0, 1, 2)):
    """Ensembles, Figure 4 and Table I; KNN and errors are straight lines of these slopes."""

    def line(gains, sign, count):
        return summary([90.0 + index + sign * gain * count for index, gain in enumerate(gains)])

    made = {
        "preset": "paper",
        "dataset": OF_DATA,
        "training_version": 1,
        "settings": {
            "seeds": [0, 1, 2],
            "training": {"epochs": 100, "precision": "float32"},
            "model": {"latent_dim": 20},
        },
        "classifier": "it",
    }
    errors = {name: -1 for name in ("mse", "mse_sampled")}
    measured = {
        str(k): {name: line(own, sign, k) for name, sign in ({"KNN": 1} | errors).items()}
        for k in COUNTS
    }
    account = {
        "command": "it",
        "elapsed_seconds": 1,
        "machines": ["one"],
        "environment": {"packages": {"tensorflow": "1"}},
    }
    account["dataset"] = {**OF_DATA, "source": "here", "test_images": 10}
    of_mixtures = made["settings"] | {"seeds": list(mixture_seeds)}
    knn = {str(k): line(mixtures, 1, k) for k in COUNTS}
    rows = [
        {"model": "M-VAE", "num_components": k, "epochs": 100, "seeds": list(mixture_seeds)}
        | {name: line(mixtures, -1, k) for name in errors}
        for k in (7, 8, 10)
    ]
    vae = rows[0] | {"model": "VAE", "num_components": 1}
    return (
        made | account | {"ensembles": measured},
        made | {"accuracy": knn, "settings": of_mixtures},
        made | {"rows": [*rows, vae], "settings": of_mixtures},
    )


# Of seeds 0 to 2: 0 to 9, 10 to 3 and 4 to 13, of which pairs have 4, 6 and 4 in common.
SHARED = (4 + 6 + 4) / 10 / 3


def test_trends_are_the_lines_slopes_and_their_difference_is_unpaired():
    result, *mixtures = results()
    for measure, counts in (("KNN", list(COUNTS)), ("mse", [7, 8, 10])):
        found = sweeps.trends(result, measure, *mixtures)
        assert found.counts == counts
        assert found.mixtures == pytest.approx(verdicts.interval([0.05, 0.08, 0.08]))
        half = scipy.stats.t.ppf(0.975, 2) * np.std(GAINS, ddof=1) / np.sqrt(3)
        wider = np.sqrt((1 + 2 * SHARED) / (1 - SHARED))
        assert found.ensembles[:2] == pytest.approx((np.mean(GAINS), half * wider))
        assert found.ahead == pytest.approx(verdicts.unpaired([0.05, 0.08, 0.08], GAINS, SHARED))


def test_which_mixture_stands_beside_which_ensemble_changes_nothing():
    for mixtures in itertools.permutations([0.05, 0.08, 0.02]):
        result, *beside = results(mixtures=mixtures)
        trends = sweeps.trends(result, "KNN", *beside)
        assert trends.ahead == pytest.approx(verdicts.unpaired([0.05, 0.08, 0.02], GAINS, SHARED))


def test_the_lead_at_each_k_is_as_wide_as_its_ensembles_are_alike():
    result, *mixtures = results()
    found = sweeps.ahead(result, "mse", *mixtures)
    assert list(found) == [7, 8, 10]
    # Of the first 7 of seeds 0 to 9, 10 to 3 and 4 to 13: 0 is in two, and 4, 5, 6, and 10.
    shared = {7: (1 + 3 + 1) / 7 / 3, 10: SHARED}
    for k, of_k in shared.items():
        own, others = (
            [90 + index - gain * k for index, gain in enumerate(gains)]
            for gains in (GAINS, [0.05, 0.08, 0.08])
        )
        expected = verdicts.unpaired([-each for each in others], [-each for each in own], of_k)
        assert found[k] == pytest.approx(expected)
    assert list(sweeps.of_mixtures(result, "mse", *mixtures)) == [7, 8, 10]
    assert list(sweeps.ahead(result, "KNN", *mixtures)) == list(COUNTS)
    # The first four have none in common; of the first five two have one, the fifth of seed 0's.
    assert [ensembles.members(seed, 5, 10)[0] for seed in (0, 1, 2)] == [0, 10, 4]
    assert ensembles.overlap((0, 1, 2), 4, 10) == 0
    assert ensembles.overlap((0, 1, 2), 5, 10) == pytest.approx(1 / 5 / 3)


def test_the_same_ensemble_twice_is_no_further_evidence():
    result, *_ = results()
    alone = sweeps.trends(result, "KNN").ensembles
    result["settings"] |= {"seeds": [0, 16, 2]}  # 0 and 16 have the same ensembles
    assert sweeps.trends(result, "KNN").ensembles.half > 1.5 * alone.half


def test_only_seeds_that_both_have_are_compared():
    result, *mixtures = results(mixture_seeds=(2, 5, 1))
    found = sweeps.trends(result, "mse", *mixtures)
    lead = sweeps.ahead(result, "mse", *mixtures)[10]
    # Seed by seed, wherever it stands: 91.0 less 92.0, and 92.0 less 90.0.
    assert lead.count == 2 and lead.mean == pytest.approx(10 * found.ahead.mean + 0.5)
    # Seeds 1 and 2, which are the mixtures' third and first.
    assert found.ahead.count == 2
    assert found.ahead.mean == pytest.approx(np.mean([0.08 - 0.03, 0.05 - 0.07]))
    result, *mixtures = results(mixture_seeds=(3, 4, 5))
    assert sweeps.trends(result, "KNN", *mixtures).ahead is None


@pytest.mark.parametrize(
    "differs",
    [
        {"dataset": OF_DATA | {"train_images": 10}},
        {"training_version": 2},
        {"reading": "authors_mnist"},
        {"preset": "quick"},
        {"precision": "mixed_bfloat16"},
        {"jit": "on"},
        {"model": {"latent_dim": 5}},
        {"epochs": 20},
    ],
)
def test_mixtures_of_another_kind_are_not_compared(differs):
    result, figure, table = results()
    for found in (figure, table):
        settings = found["settings"]
        if "model" in differs:
            found["settings"] = settings | differs
        elif differs.keys() & {"precision", "jit", "epochs"}:
            found["settings"] = settings | {"training": settings["training"] | differs}
            for row in found.get("rows", ()):
                row |= differs
        else:
            found |= differs
    for measure in sweeps.MEASURES:
        assert sweeps.trends(result, measure, figure, table).ahead is None
        assert sweeps.ahead(result, measure, figure, table) == {}
    assert controls_sweep.text(result, figure, table) == controls_sweep.text(result)
    assert "beside it for KNN (%); MSE; MSE, sampled." in controls_sweep.text(result)


def test_mixtures_of_no_known_length_are_not_compared():
    result, figure, table = results()
    for found in (result, figure):
        found["settings"]["training"].pop("epochs", None)
    assert sweeps.of_mixtures(result, "KNN", figure, table) == {}


def test_accuracies_by_another_classifier_are_not_compared():
    result, figure, table = results()
    assert sweeps.of_mixtures(result, "KNN", figure | {"classifier": "another"}, table) == {}


@pytest.mark.parametrize(
    ("mixtures", "verdict", "word"),
    [
        ((0.13, 0.14, 0.18), "supported", "steeper"),
        ((-0.09, -0.08, -0.04), "contradicted", "less steep"),
        ((0.05, 0.08, 0.01), "undecided", "undecided"),
    ],
)
def test_verdicts_on_trends(mixtures, verdict, word):
    result, figure, table = results(mixtures=mixtures)
    stored = {
        "controls_sweep": result,
        "fig4_components_sweep": figure,
        "table1": table,
    }
    if word != "undecided":  # differences that are all alike have no interval
        result["ensembles"]["10"]["KNN"] = summary(
            [value + 0.001 for value in result["ensembles"]["10"]["KNN"]["per_seed"]]
        )
    judged = [claims.judged(claim, stored) for claim in control_claims.OF_SWEEP]
    assert [found for _, found in judged[1::2]] == [verdict] * 3
    assert "share 47% of their VAEs" in controls_sweep.text(result, figure, table)
    assert all(told.startswith(("K = ", "by ")) for told, _ in judged)
    assert "No such mixtures" not in controls_sweep.text(result, figure, table)
    _, _, trends = controls_sweep.text(result, figure, table).partition("How much better")
    assert trends.count(f", {word} |") == 3


def test_claims_about_several_k_want_all_of_them_and_seeds_in_common():
    result, figure, table = results(mixtures=(0.13, 0.14, 0.18))
    fewer = table | {"rows": [row for row in table["rows"] if row["num_components"] != 8]}
    stored = {"controls_sweep": result, "fig4_components_sweep": figure, "table1": fewer}
    judged = [claims.judged(claim, stored)[1] for claim in control_claims.OF_SWEEP]
    assert judged[:4] == ["undecided (rows not run)"] * 4
    result, figure, table = results(mixture_seeds=(5, 6, 7))
    stored = {"controls_sweep": result, "fig4_components_sweep": figure, "table1": table}
    judged = [claims.judged(claim, stored)[1] for claim in control_claims.OF_SWEEP]
    assert judged == [verdicts.NONE_IN_COMMON] * 6


def test_a_lead_is_by_the_seeds_of_its_own_k():
    result, figure, table = results()
    row = table["rows"][1]
    row |= {"seeds": [1]} | {name: summary([9.0]) for name in ("mse", "mse_sampled")}
    found = sweeps.ahead(result, "mse", figure, table)
    assert [found[k].count for k in (7, 8, 10)] == [3, 1, 3]
    assert sweeps.trends(result, "mse", figure, table).ahead.count == 1


def test_what_diverged_is_a_gap_in_the_picture():
    result, figure, table = results()
    table["rows"][1]["mse"] = summary([9.0, float("nan"), 9.0])
    result["ensembles"]["9"]["KNN"] = summary([float("inf"), 90.0, 90.0])
    (drawn,) = controls_sweep.pictures(result, figure, table).values()
    knn, mse, _ = drawn.axes
    ensembles_line, mixtures_line = knn.containers[1][0], mse.containers[0][0]
    assert np.isnan(ensembles_line.get_ydata()[5]) and np.isnan(mixtures_line.get_ydata()[1])
    assert "nan" in controls_sweep.text(result, figure, table)


def test_without_mixtures_nothing_is_judged():
    result, *_ = results()
    for claim in control_claims.OF_SWEEP:
        told, verdict = claims.judged(claim, {"controls_sweep": result})
        assert told == "-"  # the ensembles' slope alone would be over other K than the claim's
        assert verdict.startswith("undecided (no mix")
        assert claims.judged(claim, {}) == ("-", "not run")
