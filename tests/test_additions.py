"""What may be added to a stored result, and what comes of it; whole scripts: test_reproduce."""

import copy
import importlib
import json
import types
from pathlib import Path

import pytest

from support.additions import Addition, AdditionError
from support.rows import Rows

FIGURES = Path(__file__).parent.parent / "figures"
ORDER = ("4", "7", "1", "9")
WHOLE = ("4", "7", "1")  # row 9 is an extra
ACCOUNT = {
    "preset": "paper",
    "reading": "paper_mnist",
    "training_version": 2,
    "dataset": {"name": "mnist", "source": "a mirror", "digest": "a"},
    "environment": {"packages": {"keras": "3"}, "processor": "P", "cores": 2, "gpus": []},
    "machines": ["2 cores (P)"],
}


def study(seeds, precision="float32", jit="off", **differing):
    account = ACCOUNT | differing
    return types.SimpleNamespace(seeds=seeds, precision=precision, jit=jit, account=lambda: account)


def values(*numbers):
    mean = sum(numbers) / len(numbers)
    squares = sum((number - mean) ** 2 for number in numbers)
    std = (squares / (len(numbers) - 1)) ** 0.5 if len(numbers) > 1 else None
    return {"mean": mean, "std": std, "per_seed": list(numbers)}


def result(seeds, *names):
    """A result with rows; seed s of row k has the error 10 k + s."""
    rows = [
        {"name": name, "mse": values(*(10 * int(name) + seed for seed in seeds))} for name in names
    ]
    training = {"epochs": 100, "precision": "float32"} | (
        {"seed": seeds[0]} if len(seeds) == 1 else {}
    )
    return ACCOUNT | {
        "rows": rows,
        "complete": set(WHOLE) <= set(names),
        "choices": {"split": "heldout"},
        "settings": {"model": {"latent_dim": 20}, "training": training, "seeds": list(seeds)},
        "elapsed_seconds": 2.0,
    }


def by_name(result):
    return {row["name"]: row for row in result["rows"]}


def addition(stored, *chosen, own_seeds=False, **choices):
    """Chosen rows, names or with own seeds pairs of a name and its seeds."""
    rows = Rows(ORDER, by_name, own_seeds=own_seeds)
    chosen = dict(chosen if own_seeds else ((name, None) for name in chosen))
    return Addition(stored, {"split": "heldout"} | choices, rows, WHOLE, chosen)


@pytest.mark.parametrize(
    ("seeds", "chosen"), [([1], ["4", "7"]), ([1, 2], ["7", "4"]), ([0], ["1"])]
)
def test_other_seeds_or_other_rows_may_be_added(seeds, chosen):
    addition(result([0], "4", "7"), *chosen).check(study(seeds))


@pytest.mark.parametrize(
    ("seeds", "chosen"),
    [
        ([0], ["4", "7"]),  # all there
        ([0], ["7", "1"]),  # one there
        ([0, 1], ["4", "7"]),  # one there
        ([1], ["4"]),  # rows would differ in seeds
        ([1], ["1"]),
        ([1], ["4", "7", "1"]),
    ],
)
def test_others_are_refused_with_what_is_there(seeds, chosen):
    with pytest.raises(AdditionError, match="Received: a result of rows 4, 7; seeds 0"):
        addition(result([0], "4", "7"), *chosen).check(study(seeds))


@pytest.mark.parametrize(
    "chosen", [{"4": [1]}, {"4": [2, 1], "1": [0]}, {"1": [0, 1], "9": [5]}, {"7": [0], "4": [0]}]
)
def test_with_seeds_of_their_own_any_rows_may_gain_any_seeds(chosen):
    stored = result([1], "7")
    seeds = [seed for each in chosen.values() for seed in each]
    addition(stored, *chosen.items(), own_seeds=True).check(study(seeds))


@pytest.mark.parametrize("chosen", [{"7": [0]}, {"7": [2, 3]}, {"4": [9], "7": [1, 3]}])
def test_a_rows_seed_that_is_there_is_refused_with_all_that_are(chosen):
    stored = result([0, 1], "4", "7")
    stored["rows"][1]["seeds"] = [0, 3]
    told = "Received: a result of rows, and their seeds, 4 0, 1; 7 0, 3."
    with pytest.raises(AdditionError, match=told):
        addition(stored, *chosen.items(), own_seeds=True).check(study([9]))


def with_own_seeds(**rows):
    """A result each of whose rows, r4=[0], has seeds of its own."""
    parts = [result(seeds, name[1:])["rows"][0] | {"seeds": seeds} for name, seeds in rows.items()]
    seeds = list(dict.fromkeys(seed for part in parts for seed in part["seeds"]))
    return result(seeds) | {"rows": parts, "complete": {"r4", "r7", "r1"} <= set(rows)}


def test_rows_gain_seeds_of_their_own():
    added = with_own_seeds(r7=[2, 1], r1=[2])
    whole = addition(result([0], "1", "4", "7"), own_seeds=True).joined(added)
    assert whole == with_own_seeds(r4=[0], r7=[0, 2, 1], r1=[0, 2]) | {"elapsed_seconds": 4.0}
    whole = addition(whole, own_seeds=True).joined(with_own_seeds(r9=[3]))
    assert whole["rows"] == with_own_seeds(r4=[0], r7=[0, 2, 1], r1=[0, 2], r9=[3])["rows"]
    assert whole["settings"]["seeds"] == [0, 2, 1, 3] and whole["complete"]


@pytest.mark.parametrize(
    "differing",
    [{"classifier": {"description": "78 %"}}, {"extra": 1}, {"score_real": 6.71}],
)
def test_what_stands_beside_rows_of_their_own_seeds_must_be_the_same(differing):
    stored = result([0], "7") | {"classifier": {"description": "77 %"}, "score_real": 6.7}
    same = with_own_seeds(r7=[1], r4=[0]) | {"classifier": {"description": "77 %"}}
    # Rounded otherwise by another processor; or, as without scores, not there.
    for same_score in ({"score_real": 6.7000001}, {}):
        joined = addition(stored, own_seeds=True).joined(same | same_score)
        assert joined["score_real"] == 6.7 and len(joined["rows"]) == 2
    for added in (with_own_seeds(r7=[1]), with_own_seeds(r4=[0])):
        with pytest.raises(AdditionError, match="Received: another form of the result"):
            addition(stored, own_seeds=True).joined(added | differing)


def test_rows_of_seeds_of_their_own_must_have_one_form():
    added = with_own_seeds(r7=[1])
    added["rows"][0]["mse"] = 70.0
    with pytest.raises(AdditionError, match="Received: another form of the rows, mse"):
        addition(result([0], "7"), own_seeds=True).joined(added)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # What a search chose: another number, or fewer settings, is another model.
        ({"chosen": {"rate": 0.002}}, {"chosen": {"rate": 0.0005}}),
        ({"chosen": {"rate": 0.002, "activation": "elu"}}, {"chosen": {"rate": 0.002}}),
        ({"sampled": values(3.0)}, {}),
        ({}, {"sampled": values(3.0)}),
    ],
)
def test_a_rows_seeds_are_joined_only_if_all_else_in_it_is_the_same(old, new):
    stored, added = with_own_seeds(r7=[0]), with_own_seeds(r7=[1])
    stored["rows"][0] |= old
    added["rows"][0] |= new
    with pytest.raises(AdditionError, match="Received: another form of the rows"):
        addition(stored, ("7", [1]), own_seeds=True).joined(added)


@pytest.mark.parametrize("own_seeds", [True, False])
def test_seeds_of_other_settings_are_refused_by_name(own_seeds):
    stored, added = result([0], "7"), result([1], "7")
    added["settings"]["model"] = {"latent_dim": 10, "mixing": "image"}
    added["settings"]["training"] |= {"epochs": 50}
    chosen = ("7", [1]) if own_seeds else "7"
    with pytest.raises(AdditionError, match=r"Received: one of another epochs, latent_dim\."):
        addition(stored, chosen, own_seeds=own_seeds).joined(added)
    # With a new row beside it, all rows share what is the stored row's.
    if own_seeds:
        beside = addition(stored, chosen, ("4", [1]), own_seeds=True)
        with pytest.raises(AdditionError, match="Received: one of another"):
            beside.joined(added | {"rows": result([1], "4", "7")["rows"]})
    # Other rows have other settings.
    chosen = ("4", [1]) if own_seeds else "4"
    other = with_own_seeds(r4=[1]) if own_seeds else result([0], "4")
    other["settings"] |= {"model": {"latent_dim": 10}}
    joined = addition(stored, chosen, own_seeds=own_seeds).joined(other)
    assert joined["settings"]["model"] == {}


def test_rows_without_scores_join_those_that_have_some():
    stored = result([0], "7")
    stored["choices"] = {"split": "heldout", "classifier": "cifar10"}
    addition(stored, "4", classifier="none").check(study([0]))
    with pytest.raises(AdditionError, match=r"another classifier\."):
        addition(stored, "4", classifier="inception").check(study([0]))


@pytest.mark.parametrize(("classifier", "fitting"), [("none", "4"), ("cifar10", "7")])
def test_seeds_have_scores_where_the_stored_row_has(classifier, fitting):
    """It is found before anything is trained."""
    stored = result([0], "4", "7")
    stored["choices"] = {"split": "heldout", "classifier": "cifar10"}
    stored["rows"][1] |= {"score_samples": values(1.8)}
    other = {"4": "7", "7": "4"}[fitting]
    chosen = {"own_seeds": True, "classifier": classifier}
    addition(stored, (fitting, [1]), ("1", [1]), **chosen).check(study([1]))
    with pytest.raises(AdditionError, match=f"Expected seeds with.* scores.* of {other}\\."):
        addition(stored, (fitting, [1]), (other, [1]), **chosen).check(study([1]))


def test_the_same_can_be_added_to_what_is_stored_by_then():
    first = addition(result([0], "4"), ("7", [0]), own_seeds=True)
    then = first.to(result([0], "4", "1"))
    then.check(study([0]))
    assert [row["name"] for row in then.joined(result([0], "7"))["rows"]] == ["4", "7", "1"]
    with pytest.raises(AdditionError, match="Received: a result of rows, and their seeds"):
        first.to(result([0], "4", "7")).check(study([0]))


def test_without_rows_seeds_alone_can_be_added():
    stored = result([0])
    Addition(stored, {"split": "heldout"}).check(study([1]))
    with pytest.raises(AdditionError, match="Received: a result of seeds 0"):
        Addition(stored, {"split": "heldout"}).check(study([0]))


@pytest.mark.parametrize(
    ("named", "differing"),
    [
        ("training_version", {"training_version": 3}),
        ("dataset", {"dataset": {"name": "mnist", "source": "a mirror", "digest": "b"}}),
        ("packages", {"environment": {"packages": {"keras": "4"}}}),
        (
            "strategy",
            {"environment": {"packages": {"keras": "3"}, "strategy": "mirrored"}},
        ),
        ("preset, precision", {"preset": "quick", "precision": "mixed_bfloat16"}),
        ("jit", {"jit": "on"}),
    ],
)
def test_what_was_made_in_another_way_is_named(named, differing):
    with pytest.raises(AdditionError, match=f"Received: one of another {named}\\."):
        addition(result([0], "4"), "7").check(study([0], **differing))


def test_the_same_images_may_come_from_elsewhere():
    elsewhere = {"dataset": {"name": "mnist", "source": "archives", "digest": "a"}}
    addition(result([0], "4"), "7").check(study([0], **elsewhere))
    grown = addition(result([0], "4"), "4").joined(result([1], "4") | elsewhere)
    assert grown == addition(result([0], "4"), "4").joined(result([1], "4"))
    alone = {"mse": values(1.0)}  # without rows
    stored, added = ({**result(seeds), **alone} for seeds in ([0], [1]))
    grown = Addition(stored, {}).joined(added | elsewhere)
    assert grown["dataset"] == stored["dataset"] and grown["mse"] == values(1.0, 1.0)


def test_another_choice_is_named():
    with pytest.raises(AdditionError, match=r"another split\."):
        addition(result([0], "4"), "7", split="standard").check(study([0]))


@pytest.mark.parametrize("stored", [{}, {"rows": []}, {"rows": [], "settings": {}}])
def test_a_result_of_an_earlier_kind_is_refused(stored):
    differing = "another preset, training_version, dataset, precision, packages"
    with pytest.raises(AdditionError, match=differing):
        addition(stored, "7").check(study([0]))


def test_a_result_without_a_version_is_of_version_1():
    stored = result([0], "4")
    del stored["training_version"]
    with pytest.raises(AdditionError, match=r"another training_version\."):
        addition(stored, "7").check(study([0]))
    addition(stored, "7").check(study([0], training_version=1))
    joined = addition(stored, "7").joined(result([0], "7") | {"training_version": 1})
    assert joined["training_version"] == 1


def test_rows_stand_in_the_tables_order_and_become_complete():
    stored = result([0], "1", "4") | {"command": "python table.py --rows=4,1"}
    before = copy.deepcopy(stored)
    whole = addition(stored, "7").joined(result([0], "7"))
    assert whole == result([0], *WHOLE) | {"elapsed_seconds": 4.0} and whole["complete"]
    assert stored == before
    assert not addition(stored, "9").joined(result([0], "9"))["complete"]


def test_older_results_that_tell_no_reading_are_of_the_usual_one():
    older = {name: value for name, value in result([2], "4").items() if name != "reading"}
    whole = addition(older, "4").joined(result([0, 1], "4"))
    assert whole == result([2, 0, 1], "4") | {"elapsed_seconds": 4.0}


def test_seeds_are_joined_one_by_one():
    whole = addition(result([2], "4", "7"), "4", "7").joined(result([0, 1], "4", "7"))
    assert whole == result([2, 0, 1], "4", "7") | {"elapsed_seconds": 4.0}


@pytest.mark.parametrize("name", ["fig4_components_sweep", "ablation_dhsic"])
def test_figures_over_k_and_beta_grow_by_seeds(name):
    script = importlib.import_module(name)
    stored = json.loads((FIGURES / f"{name}.json").read_text())
    seeds, other = stored["settings"]["seeds"], copy.deepcopy(stored)
    del other["command"]
    other["settings"]["seeds"] = added = [seed + 100 for seed in seeds]
    rows = getattr(script, "KNOWN_ROWS", None)
    for row in other["rows"] if rows else []:
        row["seeds"] = [seed + 100 for seed in row["seeds"]]
    grown = Addition(stored, {}, rows).joined(other) | {"command": "it"}
    assert grown["settings"]["seeds"] == seeds + added
    text = script.text(grown)
    assert "±" in text and "undecided (one seed)" not in text
    (figure,) = script.pictures(grown).values()
    assert figure.axes


@pytest.mark.parametrize("older", [True, False])
def test_all_machines_are_named(older):
    stored, added = result([0], "4"), result([1], "4")
    if older:
        del stored["machines"]
    added |= {"environment": {}, "machines": ["1 GPU (G) with 9 cores (P)", "2 cores (P)"]}
    whole = addition(stored, "4").joined(added)
    assert whole["machines"] == ["2 cores (P)", "1 GPU (G) with 9 cores (P)"]
    assert whole["environment"] == stored["environment"]


def test_what_differs_between_seeds_is_in_no_setting():
    whole = addition(result([0], "4"), "4").joined(result([1], "4"))
    assert whole["settings"]["training"] == {"epochs": 100, "precision": "float32"}


def test_what_one_seed_alone_has_stays():
    alone = {"best": values(7.0), "likelihood": values(-5.0) | {"standard_error": 0.1}}
    stored, added = result([0], "4") | alone, result([1], "4") | {"likelihood": values(-4.0)}
    whole = addition(stored, "4").joined(added)
    assert whole["best"] == values(7.0)
    assert whole["likelihood"] == values(-5.0, -4.0) | {"standard_error": 0.1}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"rows": []}, "result, rows"),
        ({"neighbours": 5}, "result"),
        ({"rows": [{"name": "4", "mse": 41.0}]}, "result, rows, mse"),
        ({"choices": {"split": "heldout", "classifier": "cifar10"}}, "result, choices"),
    ],
)
def test_another_form_of_result_is_not_joined(change, where):
    with pytest.raises(AdditionError, match=f"Received: another form of the {where}\\."):
        addition(result([0], "4"), "4").joined(result([1], "4") | change)
