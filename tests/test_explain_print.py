"""What is judged of the printed numbers, and the script as a whole on few images."""

import copy
import importlib
import json

import numpy as np
import pytest
import scipy.stats
from test_scripts import rebuilt, store, study  # noqa: F401  fixtures

from mvae_tf import evaluation
from support import measures, one_batch, paper, published_mlp, reach

script = importlib.import_module("explain_print")
IMAGES = 10_000


def exact():
    """A row of a result in which all is as printed at means, and nothing by another way."""
    one = lambda value: {"mean": value, "std": None, "per_seed": [value]}  # noqa: E731
    row = {
        "reading": "`paper_mnist`",
        "epochs": 100,
        "errors": {
            "means": {
                str(count): {"mse": one(printed), "std": one(1.4)}
                for _, count, printed in paper.TABLE1
            }
        },
        "accuracy": {
            "means": {
                name: [one(value) for value in (row[0], *sorted(row[1:5]), row[5])]
                for name, row in paper.TABLE2.items()
            }
        },
        "one_batch": {"means": judged_of_one_batch(PRINTED, one)},
        "rise": {"means": one(0.1)},
    }
    codes = ("sampled", "means_and_deviations")
    codes += tuple(f"{way}_mlp_as_published" for way in ("means", *codes))
    for name, ways in (("errors", ("z_sampled", "sampled")), ("accuracy", codes)):
        for each in (name, {"errors": "one_batch", "accuracy": "rise"}[name]):
            row[each] |= {way: far_off(row[each]["means"]) for way in ways}
    return row


def far_off(value):
    """Return what was measured, but for deviations, so far off that it explains nothing."""
    if isinstance(value, list):
        return [far_off(each) for each in value]
    if "per_seed" in value:
        return value | {"mean": value["mean"] - 500, "per_seed": [value["mean"] - 500]}
    return {name: each if name == "std" else far_off(each) for name, each in value.items()}


PRINTED = [13.44, 11.54, 10.20, 9.17]  # K = 1, 7, 8, 10


def judged_of_one_batch(errors, one, deviations=(1.4, 0.3, 0.1, 0.2)):
    first, seventh, eighth, tenth = errors
    values = (sum(errors) / 4, seventh - first, eighth - seventh, tenth - eighth)
    parts = zip(one_batch.NAMES, values, deviations, strict=True)
    return {name: {"mse": one(value), "std": one(std)} for name, value, std in parts}


def test_what_is_within_reach_is_told_by_classifier():
    row = exact()
    for index in (0, 3):
        row["accuracy"]["means"]["MLP"][index]["mean"] += 3.0
    row["accuracy"]["means"]["KNN"][5]["mean"] -= 6.0
    found = reach.of_classifiers(row, "means", IMAGES)
    assert list(found) == list(paper.TABLE2)
    assert found["MLP"] == (4, 6, pytest.approx(1.0))
    assert found["Linear SVM"] == (6, 6, pytest.approx(0.0))
    assert found["KNN"] == (5, 6, pytest.approx(-1.0))


def test_both_mlps_are_told_and_the_one_that_explains_more_is_judged():
    row = exact()
    row["accuracy"]["means_mlp_as_published"] = copy.deepcopy(row["accuracy"]["means"])
    row["rise"]["means_mlp_as_published"] = row["rise"]["means"]
    for each in row["accuracy"]["means"]["MLP"]:
        each["mean"] += 2.0
    text = _text(result_of(row))
    assert "| means, MLP as published |" in text
    line = next(line for line in text.splitlines() if line.startswith("- `paper_mnist`"))
    assert "MLP 6 of 6 (+0.00), Linear SVM 6 of 6 (+0.00), KNN 6 of 6 (+0.00)" in line
    assert line.endswith("by our own MLP 0 of 6 (+2.00).")
    row["accuracy"]["means"], row["accuracy"]["means_mlp_as_published"] = (
        row["accuracy"]["means_mlp_as_published"],
        row["accuracy"]["means"],
    )
    assert "KNN 6 of 6 (+0.00), by the published MLP 0 of 6 (+2.00)." in _text(result_of(row))


def test_the_batch_that_a_published_script_measures_is_told():
    row = exact()
    assert "On the one batch" not in _text(result_of(row))  # of fewer than eight batches
    for (_, count, _), value in zip(paper.TABLE1, (7.5, 8.5, 10.5, 1.5), strict=True):
        row["errors"]["means"][str(count)]["published"] = {"mean": value}
    text = _text(result_of(row))
    lines = [line.split() for line in text[text.index("On the one batch") :].splitlines()]
    told = [line[-8:-1:2] for line in lines if line[:1] == ["|"]]
    assert told[2] == ["11.54", "10.20", "9.17", "13.44"]  # printed
    assert told[3] == ["7.50", "8.50", "10.50", "1.50"]


def result_of(row):
    return {
        "preset": "paper",
        "command": "python explain.py --seeds=1 --rows=paper:100",
        "rows": [row],
        "most_deviations": reach.MOST_DEVIATIONS,
        "dataset": {"test_images": IMAGES, "train_images": 60_000},
    }


def test_bounds_are_jointly_95_percent():
    assert reach.NUMBERS == 4 + 18 + 1
    share = 2 * scipy.stats.norm.sf(reach.MOST_DEVIATIONS)
    assert share * reach.NUMBERS == pytest.approx(0.05)


def test_what_is_as_printed_is_explained_and_what_is_far_off_is_not():
    row = exact()
    (_, errors), (_, of_batch), (_, codes) = reach.judged(row, IMAGES).values()
    assert errors == [0] * 4 and codes == [0] * 19
    assert of_batch == pytest.approx([0] * 4, abs=1e-12)
    row["errors"]["means"]["8"]["mse"]["mean"] += 2 * 1.4
    row["accuracy"]["means"]["KNN"][0]["mean"] -= 1.0
    row["rise"]["means"]["mean"] = -1.0
    (_, errors), _, (_, codes) = reach.judged(row, IMAGES).values()
    np.testing.assert_allclose(errors, [0, 2, 0, 0])
    of_images = 100 * np.sqrt(0.9717 * 0.0283 / IMAGES)
    np.testing.assert_allclose(codes[12], 1 / of_images)
    fallen = 100 * np.sqrt(2 * 0.9617 * 0.0383 / IMAGES)  # of the accuracy that was measured
    np.testing.assert_allclose(codes[18], 1 / fallen)
    assert reach.within(errors) == 4 and reach.within(codes) == 17
    # What is no number is out of reach, wherever it stands.
    row["errors"]["means"]["10"]["mse"]["mean"] = np.nan
    row["rise"]["means"]["mean"] = np.nan
    (_, errors), _, (_, codes) = reach.judged(row, IMAGES).values()
    assert errors[2] == codes[18] == np.inf and reach.within(errors) == 3
    row["errors"]["means"]["10"]["mse"]["mean"] = 9.17
    # Several seeds have a deviation of their own.
    row["errors"]["means"]["8"]["mse"]["std"] = 1.4
    assert reach.judged(row, IMAGES)["errors"][1][1] == pytest.approx(2 / np.sqrt(2))


def test_the_way_that_explains_most_is_told():
    row = exact()
    row["errors"]["sampled"] = copy.deepcopy(row["errors"]["means"])
    for values in row["errors"]["means"].values():
        values["mse"]["mean"] += 9.0
    assert reach.judged(row, IMAGES)["errors"][0] == "sampled"
    result = result_of(row)
    text = _text(result)
    assert text.count("explained by `paper_mnist`, 100 epochs.") == 2
    assert "Not run: `python explain.py --seeds=1 --rows=paper:20,paper-bernoulli:20," in text
    assert "paper:100" not in text
    assert (
        "If Table I's errors are of a batch each, all 23 printed numbers are explained by" in text
    )
    assert "| `paper_mnist`, 100 epochs |   sampled |" in text
    assert script._told("sampled_dropout") == "sampled, dropout on"
    # Far off by the steps within a batch, and by nothing else.
    row["one_batch"]["means"]["K = 8 to 10"]["mse"]["mean"] += 0.9
    text = _text(result)
    assert "are of one batch, all 23 printed numbers are explained by none of 1." in text
    assert text.count("explained by `paper_mnist`, 100 epochs.") == 1 and "| 3 of 4, 4.5 |" in text
    row["rise"]["means"]["mean"] = -5.0
    assert _text(result).count("explained by none of 1.") == 2


def _text(result):
    """The text but for what is told of the origin."""
    origin, script.origin = script.origin, lambda result: ""
    try:
        return script.text(result)
    finally:
        script.origin = origin


# One batch for all K: by simulation ---------------------------------------------------------------

RNG = np.random.default_rng(0)
MEANS = np.array([14.5, 10.6, 10.5, 10.4])  # K = 1, 7, 8, 10


def simulated(count):
    """Errors of the four models on batches that are hard for all or for none, [4, count]."""
    hard = 1 + 0.1 * RNG.normal(size=count)
    return MEANS[:, None] * hard + np.array([[0.3], [0.1], [0.1], [0.1]]) * RNG.normal(
        size=(4, count)
    )


def as_stored(batches):
    one = lambda value: {"mean": value, "std": None}  # noqa: E731
    errors = [(row.mean(), row) for row in batches]
    of_batch = one_batch.judged(errors)
    own = {
        str(count): {"mse": one(row.mean()), "std": one(row.std(ddof=1))}
        for count, row in zip(one_batch.KS, batches, strict=True)
    }
    return own, {
        name: {part: one(value) for part, value in each.items()} for name, each in of_batch.items()
    }


def deviations(printed, own, of_batch, monkeypatch):
    table = [(model, k, printed[one_batch.KS.index(k)]) for model, k, _ in paper.TABLE1]
    monkeypatch.setattr(paper, "TABLE1", table)
    return reach.error_deviations(own), reach.one_batch_deviations(of_batch)


def test_a_print_of_one_batch_is_as_far_off_as_it_is_said_to_be(monkeypatch):
    """Of many prints of one batch each number is one deviation off, in root mean square."""
    own, of_batch = as_stored(simulated(5000))
    prints = simulated(3000).T.tolist()
    found = [deviations(printed, own, of_batch, monkeypatch) for printed in prints]
    errors, mean_and_steps = (np.array(each) for each in zip(*found, strict=True))
    np.testing.assert_allclose(np.sqrt((mean_and_steps**2).mean(axis=0)), 1, atol=0.06)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), 1, atol=0.06)
    assert np.mean(mean_and_steps.max(axis=1) > reach.MOST_DEVIATIONS) < 4 * 0.05 / reach.NUMBERS


def test_a_fall_with_k_that_no_batch_shows_is_noticed_within_a_batch_alone(monkeypatch):
    """As printed: within reach of four batches' luck, and far from that of one."""
    own, of_batch = as_stored(simulated(78))
    errors, mean_and_steps = deviations(PRINTED, own, of_batch, monkeypatch)
    assert reach.within(errors) == 4
    assert reach.within(mean_and_steps) < 4 and mean_and_steps[-1] > reach.MOST_DEVIATIONS
    # While four errors that are all a tenth too high are within reach of both.
    high = (1.1 * MEANS).tolist()
    assert [reach.within(each) for each in deviations(high, own, of_batch, monkeypatch)] == [4, 4]


def test_spreads_are_over_whole_batches():
    batches = np.arange(1.0, 11.0)
    assert measures.spread(5.6, batches) == {
        "mse": 5.6,
        "mean": 5.5,
        "std": pytest.approx(np.sqrt(((batches - 5.5) ** 2).sum() / 9)),
        "least": 1.0,
        "greatest": 10.0,
        "published": 8.0,
    }
    none = measures.spread(5.6, batches[:0])
    assert none == {"mse": 5.6} | dict.fromkeys(["mean", "std", "least", "greatest", "published"])
    assert measures.spread(1.0, batches[:7])["published"] is None


@pytest.mark.slow
def test_explain_print(study, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(measures, "ERROR_BATCH", 10)
    result, text = rebuilt("explain_print", study, tmp_path)
    result = json.loads(json.dumps(result))
    assert list(script.by_name(result)) == ["paper:1", "authors:1"] and result["complete"]
    assert "Not run" not in text
    assert [len(row["errors"]) for row in result["rows"]] == [3, 6]
    assert [len(row["accuracy"]) for row in result["rows"]] == [6, 12]
    model = study.run(0, preset="authors_mnist", num_components=7, epochs={"quick": 1}).model
    errors = evaluation.batch_errors(model, study.data.test, batch_size=10)
    assert errors
    for way, measured in errors.items():
        expected = measures.spread(*measured)
        stored = result["rows"][1]["errors"][way]["7"]
        for part in ("mse", "std", "published"):
            assert stored[part]["mean"] == pytest.approx(expected[part])
    each = {
        count: evaluation.batch_errors(
            study.run(0, preset="authors_mnist", num_components=count, epochs={"quick": 1}).model,
            study.data.test,
            batch_size=10,
        )["sampled"]
        for count in (8, 10)
    }
    step = result["rows"][1]["one_batch"]["sampled"]["K = 8 to 10"]
    assert step["mse"]["mean"] == pytest.approx(each[10].mse - each[8].mse)
    expected = np.std(each[10].batches - each[8].batches, ddof=1)
    assert step["std"]["mean"] == pytest.approx(expected)
    knn = measures.knn_by_way(model, study.data)
    assert knn.keys() == {"means", "sampled", "means_dropout", "sampled_dropout"}
    assert all(len(each["components"]) == 7 for each in knn.values())
    four = study.run(0, preset="authors_mnist", num_components=4, epochs={"quick": 1}).model
    joined = measures.knn_by_way(four, study.data)["means"]
    row = result["rows"][1]["accuracy"]["means"]["KNN"]
    assert row[0]["mean"] == pytest.approx(joined["joined"])
    assert [each["mean"] for each in row[1:5]] == pytest.approx(sorted(joined["components"]))
    published = result["rows"][1]["accuracy"]["means_mlp_as_published"]
    assert published["KNN"] == result["rows"][1]["accuracy"]["means"]["KNN"]
    vae = study.run(0, preset="authors_mnist", num_components=1, epochs={"quick": 1}).model
    codes = [
        evaluation.codes_by_way(vae, part)["means"][:, 0]
        for part in (study.data.train, study.data.test)
    ]
    labels = study.data.train.labels, study.data.test.labels
    expected = published_mlp.accuracy(codes[0], labels[0], codes[1], labels[1])
    assert published["MLP"][5]["mean"] == pytest.approx(expected)
    assert "`authors_mnist`, 1 epoch |" in text
