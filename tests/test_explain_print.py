"""What is judged of the printed numbers, and the script as a whole on few images."""

import copy
import importlib
import json

import numpy as np
import pytest
import scipy.stats
from test_scripts import rebuilt, store, study  # noqa: F401  fixtures

from support import measures, paper

script = importlib.import_module("explain_print")
IMAGES = 10_000


def exact():
    """A row of a result in which all is as printed."""
    one = lambda value: {"mean": value, "std": None, "per_seed": [value]}  # noqa: E731
    return {
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
        "rise": {"means": one(0.1)},
    }


def test_bounds_are_jointly_95_percent():
    assert script.NUMBERS == 4 + 18 + 1
    share = 2 * scipy.stats.norm.sf(script.MOST_DEVIATIONS)
    assert share * script.NUMBERS == pytest.approx(0.05)


def test_what_is_as_printed_is_explained_and_what_is_far_off_is_not():
    row = exact()
    (_, errors), (_, codes) = script.judged(row, IMAGES).values()
    assert errors == [0] * 4 and codes == [0] * 19
    row["errors"]["means"]["8"]["mse"]["mean"] += 2 * 1.4
    row["accuracy"]["means"]["KNN"][0]["mean"] -= 1.0
    row["rise"]["means"]["mean"] = -1.0
    (_, errors), (_, codes) = script.judged(row, IMAGES).values()
    np.testing.assert_allclose(errors, [0, 2, 0, 0])
    of_images = 100 * np.sqrt(0.9717 * 0.0283 / IMAGES)
    np.testing.assert_allclose(codes[12], 1 / of_images)
    fallen = 100 * np.sqrt(2 * 0.9617 * 0.0383 / IMAGES)  # of the accuracy that was measured
    np.testing.assert_allclose(codes[18], 1 / fallen)
    assert script.within(errors) == 4 and script.within(codes) == 17
    # Several seeds have a deviation of their own.
    row["errors"]["means"]["8"]["mse"]["std"] = 1.4
    assert script.judged(row, IMAGES)["errors"][1][1] == pytest.approx(2 / np.sqrt(2))


def test_the_way_that_explains_most_is_told():
    row = exact()
    row["errors"]["sampled_dropout"] = copy.deepcopy(row["errors"]["means"])
    for values in row["errors"]["means"].values():
        values["mse"]["mean"] += 9.0
    assert script.judged(row, IMAGES)["errors"][0] == "sampled_dropout"
    result = {
        "rows": [row],
        "most_deviations": script.MOST_DEVIATIONS,
        "dataset": {"test_images": IMAGES, "train_images": 60_000},
    }
    text = _text(result)
    assert "explained by `paper_mnist`, 100 epochs." in text and "sampled, dropout on" in text
    row["rise"]["means"]["mean"] = -5.0
    assert "explained by none of 1." in _text(result)


def _text(result):
    """The text but for what is told of the origin."""
    origin, script.origin = script.origin, lambda result: ""
    try:
        return script.text(result)
    finally:
        script.origin = origin


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
    assert [row["reading"] for row in result["rows"]] == list(script.QUICK)
    assert [len(row["errors"]) for row in result["rows"]] == [3, 6]
    assert [len(row["accuracy"]) for row in result["rows"]] == [2, 4]
    model = study.run(0, preset="authors_mnist", num_components=7, epochs={"quick": 1}).model
    spreads = measures.error_spreads(model, study.data.test)
    for way, expected in spreads.items():
        stored = result["rows"][1]["errors"][way]["7"]
        for part in ("mse", "std", "published"):
            assert stored[part]["mean"] == pytest.approx(expected[part])
    knn = measures.knn_by_way(model, study.data)
    assert knn.keys() == {"means", "sampled", "means_dropout", "sampled_dropout"}
    assert all(len(each["components"]) == 7 for each in knn.values())
    four = study.run(0, preset="authors_mnist", num_components=4, epochs={"quick": 1}).model
    joined = measures.knn_by_way(four, study.data)["means"]
    row = result["rows"][1]["accuracy"]["means"]["KNN"]
    assert row[0]["mean"] == pytest.approx(joined["joined"])
    assert [each["mean"] for each in row[1:5]] == pytest.approx(sorted(joined["components"]))
    assert "`authors_mnist`, 1 epoch |" in text
