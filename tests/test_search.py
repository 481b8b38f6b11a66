"""The searches for settings: their stages, and what they may look at."""

import importlib
import json
import types
from pathlib import Path

import pytest
from test_scripts import rebuilt
from test_table3 import make_study, store  # noqa: F401, fixtures

from mvae_tf import presets
from support import measures, search

FIGURES = Path(__file__).parent.parent / "figures"
PARTS = ("model", "protocol")
STAGES = {
    "one": {"as it is": {}, "a": {"model": {"a": 1}}},
    "two": {"b": {"protocol": {"b": 1}}, "worse": {"model": {"a": 2}}},
    "three": {"c": {"model": {"c": 1}}},
}


def walked(scores):
    """The trials and the choice, where settings have these scores, 9 if not among them."""

    def measure(seed, model, protocol):
        score = scores.get("".join(sorted(model)) + "".join(sorted(protocol)), 9)
        return {"score": score + (seed - 2) / 10}

    return search.walk(STAGES, PARTS, [1, 3], measure)


def test_each_stage_starts_from_the_best_so_far():
    trials, chosen = walked({"": 5, "a": 4, "ab": 3, "acb": 2})
    assert chosen == {"model": {"a": 1, "c": 1}, "protocol": {"b": 1}}
    assert [(trial["stage"], trial["label"]) for trial in trials] == [
        ("one", "as it is"), ("one", "a"), ("two", "b"), ("two", "worse"), ("three", "c")
    ]  # fmt: skip
    # What a label changes takes the place of what the best had.
    assert trials[3]["model"] == {"a": 2} and trials[3]["protocol"] == {}
    assert [search.is_chosen(trial, chosen) for trial in trials] == [False] * 4 + [True]
    assert search.told(chosen) == "a 1, c 1, b 1"
    assert trials[-1]["score"]["mean"] == 2 and trials[-1]["score"]["per_seed"] == [1.9, 2.1]


@pytest.mark.parametrize("best", ["", "a", "b", "c"])
def test_what_is_no_better_is_not_taken(best):
    _, chosen = walked({"": 5, best: 1} | ({"": 1} if best == "" else {}))
    assert set(chosen["model"]) | set(chosen["protocol"]) == set(best)
    # As good is not better: the first stays.
    _, chosen = walked({"": 5, "a": 5, "ab": 5, "b": 5})
    assert chosen == {"model": {}, "protocol": {}}


def test_a_trial_that_diverged_is_never_the_best():
    trials, chosen = walked({"": float("nan"), "a": 4, "ab": float("nan")})
    assert chosen == {"model": {"a": 1}, "protocol": {}}
    search.require_walked(trials, chosen, STAGES, PARTS)
    trials, chosen = walked(dict.fromkeys(("", "a", "b", "c"), float("nan")))
    assert chosen == {"model": {}, "protocol": {}}
    search.require_walked(trials, chosen, STAGES, PARTS)  # of the best there is none


def test_a_stored_search_is_of_all_stages_and_of_the_best_of_them():
    trials, chosen = walked({"": 5, "a": 4, "ab": 3, "acb": 2})
    search.require_walked(trials, chosen, STAGES, PARTS)
    other, lacking = {"model": {"a": 1}, "protocol": {}}, {"model": chosen["model"]}
    tried = [trials[0] | {"model": {"a": 7}}, *trials[1:]]  # not the best, nor as it was tried
    for damaged in (
        *((trials[:-1], chosen), ([], chosen), (tried, chosen)),
        *((trials, {}), (trials, other), (trials, lacking)),
    ):
        with pytest.raises(ValueError, match="Expected"):
            search.require_walked(*damaged, STAGES, PARTS)


def test_the_search_on_cifar10_sees_no_test_image(make_study, tmp_path, monkeypatch):  # noqa: F811
    script = importlib.import_module("search_cifar10")
    seen, root_errors = [], measures.root_errors
    monkeypatch.setattr(
        measures,
        "root_errors",
        lambda model, split: seen.append(split) or root_errors(model, split),
    )
    study = make_study("quick")
    test, images = study.data.test, study.data.train.images
    result, text = rebuilt("search_cifar10", study, tmp_path)
    assert all(split is not test for split in seen)
    assert {len(split) for split in seen} == {20, 80}
    for split in seen:
        assert (split.images == (images[80:] if len(split) == 20 else images[:80])).all()
    assert "last 20 training images" in text and text.count("(chosen)") == 2
    mixture, vae = result["searches"]
    assert [len(each["trials"]) for each in (mixture, vae)] == [4, 3]
    assert (mixture["num_components"], vae["num_components"]) == (4, 1)
    assert {name for trial in vae["trials"] for name in trial["model"]} == set()  # mixes nothing
    for each in (mixture, vae):
        best = min(each["trials"], key=lambda trial: trial["score"]["mean"])
        assert each["chosen"] == {part: best[part] for part in script.PARTS}
    settings = [run.resolved() for run, _ in study._runs]
    assert all(each["model"]["kl_weight"] == 0.05 for each in settings)
    # With mirror images, twice the images: half the epochs.
    assert {each["training"]["epochs"] for each in settings} == {1, 2}


def stored(name):
    return json.loads((FIGURES / f"{name}.json").read_text())


@pytest.mark.parametrize("count", [4, 1])
def test_best_cifar10_is_what_the_search_chose(count):
    """The preset, for the mixture; and Table III's rows, for both."""
    models = importlib.import_module("support.cifar10_models")
    found = {
        each["num_components"]: each["chosen"] for each in stored("search_cifar10")["searches"]
    }
    chosen, paper, best = found[count], presets.get("paper_cifar10"), presets.get("best_cifar10")
    row = models.ROWS[f"best:{count}:0.05"]
    assert row.preset == "best_cifar10" and (row.images is not None) == bool(chosen["images"])
    if row.images is not None:  # twice as many: as many steps
        assert chosen["images"] == {"flips": True} and 2 * row.epochs["paper"] == best.epochs
        assert row.images(types.SimpleNamespace(with_flips=lambda: "flipped")) == "flipped"
    protocol = {name: getattr(paper, name) for name in ("batch_size", "learning_rate", "decay")}
    assert {name: getattr(best, name) for name in protocol} == protocol | chosen["protocol"]
    assert best.epochs == paper.epochs
    if count > 1:
        assert best.model == {**paper.model, **chosen["model"]}
