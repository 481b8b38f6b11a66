"""Rows of results with seeds of their own: what --rows takes, what is compared, what is common."""

import math
import sys

import pytest
from absl import app, flags

from support import command_line, results
from support.rows import Rows, common_seeds, of_common_seeds, seeds_of

NAMES = ("7", "10", "best:10")


def by_name(result):
    return {row["name"]: row for row in result["rows"]}


def row(name, *values, seeds=None):
    own = {} if seeds is None else {"seeds": seeds}
    return {"name": name, "mse": {"per_seed": list(values)}} | own


def result(*rows, seeds=(0, 1)):
    return {"rows": list(rows), "settings": {"seeds": list(seeds)}}


@pytest.fixture
def given(monkeypatch):
    """Sets flags of the scripts, by their command line."""

    def parse(*arguments):
        flags.FLAGS.unparse_flags()
        monkeypatch.setattr(sys, "argv", ["table1.py", *arguments])
        flags.FLAGS(sys.argv)

    yield parse
    flags.FLAGS.unparse_flags()
    for name in ("rows", "seeds", "preset"):
        flags.FLAGS[name].unparse()


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ((), {"7": [0], "10": [0], "best:10": [0]}),
        (("--seeds=3,1",), {"7": [3, 1], "10": [3, 1], "best:10": [3, 1]}),
        (("--rows=10,7@2+0", "--seeds=0,1"), {"7": [2, 0], "10": [0, 1]}),  # in the table's order
        (("--rows=best:10@-4",), {"best:10": [-4]}),
    ],
)
def test_rows_are_taken_by_the_seeds_or_by_their_own(given, arguments, chosen):
    given(*arguments)
    found = command_line.chosen_rows(Rows(NAMES, by_name, own_seeds=True))
    assert list(found.items()) == list(chosen.items())


@pytest.mark.parametrize(
    "rows",
    [
        "7@",
        "7@0+0",
        "7@x",
        "7@0+",
        "7@0,7@1",
        "7@0,7",
        "@0",
        "8@0",
        "7@0@1",
        "7@99999999999",
        "7 @0",
    ],
)
def test_other_rows_and_seeds_are_refused(given, rows):
    given(f"--rows={rows}")
    with pytest.raises(app.UsageError, match="each once"):
        command_line.chosen_rows(Rows(NAMES, by_name, own_seeds=True))


def test_rows_that_share_their_seeds_take_none_of_their_own(given):
    given("--rows=7@1")
    with pytest.raises(
        app.UsageError, match="--rows among 7, 10, best:10, each once. Received: 7@1"
    ):
        command_line.chosen_rows(Rows(NAMES, by_name))
    with pytest.raises(app.UsageError, match="alone. Received: 7@1"):
        command_line.chosen_rows()


def test_the_rows_that_a_command_names_are_taken_again(given):
    stored = result(row("7", 1, 2), row("10", 3, seeds=[1]), row("best:10", 4, 5, seeds=[1, 0]))
    rows = Rows(NAMES, by_name, own_seeds=True)
    named = rows.named(stored)
    assert named == ["7", "10@1", "best:10@1+0"]
    given(f"--rows={','.join(named)}", "--seeds=0,1")
    assert command_line.chosen_rows(rows) == rows.seeds(stored)


def compared(*rows):
    """The errors of rows that are to be compared."""
    found = of_common_seeds(result(), rows)
    return found and [(row["seeds"], row["mse"]["per_seed"]) for row in found]


def test_rows_are_compared_by_the_seeds_that_all_have():
    first, second = row("7", 10.0, 11.0, 12.0, seeds=[0, 1, 2]), row("10", 22.0, 20.0, seeds=[2, 0])
    assert compared(first, second) == [([0, 2], [10.0, 12.0]), ([0, 2], [20.0, 22.0])]
    assert compared(second, first) == [([2, 0], [22.0, 20.0]), ([2, 0], [12.0, 10.0])]
    assert compared(first, row("10", 5.0, seeds=[9])) is None
    of_result = row("7", 1.0, 2.0)  # by the result's seeds, 0 and 1
    assert compared(first, of_result) == [([0, 1], [10.0, 11.0]), ([0, 1], [1.0, 2.0])]
    assert seeds_of(result(), of_result) == [0, 1]
    (cut, _) = of_common_seeds(result(), [first, of_result])
    assert cut["mse"]["mean"] == 10.5 and first["mse"]["per_seed"] == [10.0, 11.0, 12.0]


@pytest.mark.parametrize(
    "seeds", [[0, 0], [0], [0, 1, 2], [], None, 0, "01", [0, "1"], [0, 1.0], [0, True]]
)
def test_seeds_that_cannot_be_are_a_damaged_result(seeds):
    damaged = row("7", 1.0, 2.0) | {"seeds": seeds}
    rows = Rows(NAMES, by_name, own_seeds=True)
    for of in (
        lambda result: seeds_of(result, damaged),
        lambda result: common_seeds({**result, "rows": [damaged]}, rows, ["7"]),
        lambda result: rows.seeds({**result, "rows": [damaged]}),
    ):
        with pytest.raises(ValueError, match="Expected "):
            of(result())
    nested = {"models": {"VAE": [row("7", 1.0, 2.0)]}, "seeds": seeds}
    with pytest.raises(ValueError, match="Expected "):
        seeds_of(result(), nested)


def test_the_seeds_of_a_result_are_those_of_all_its_usual_rows():
    rows = Rows(NAMES, by_name, own_seeds=True)
    assert common_seeds(result(seeds=[0, 1, 2])) == [0, 1, 2]
    stored = result(row("7", 1, 2), row("10", 3, seeds=[1]), seeds=[0, 1])
    assert common_seeds(stored, rows, ["7", "10"]) == [1]
    assert common_seeds(stored, rows, ["7"]) == [0, 1]  # what is there beside has its own
    assert common_seeds(stored, rows, ["best:10"]) == [0, 1]
    assert common_seeds({"rows": {"beta": {}}, "settings": {"seeds": [0]}}) == [0]
    with pytest.raises(KeyError):
        common_seeds({"settings": {}})


def test_a_row_that_is_there_twice_is_a_damaged_result():
    rows = Rows(NAMES, by_name, own_seeds=True)
    with pytest.raises(ValueError, match="Expected rows, each once"):
        rows.seeds(result(row("7", 1, 2), row("10", 3, 4), row("7", 5, 6)))
    with pytest.raises(ValueError, match="Received: none"):
        rows.seeds(result())


def sound(**changes):
    mse = {"mean": 2.0, "std": 2.0**0.5, "per_seed": [1.0, 3.0]} | changes
    return {"settings": {"seeds": [0, 1]}, "deep": [{"mse": mse}]}


def test_measures_that_are_of_the_seeds_are_sound():
    results.require_sound(sound())
    of_first = sound(per_seed=[2.0], std=None)
    results.require_sound(of_first, of_one_seed=["mse"])
    results.require_sound(sound(per_seed=[2.0, math.nan], mean=math.nan, std=math.nan))


@pytest.mark.parametrize(
    "changes",
    [
        {"per_seed": [1.0, None]},
        {"per_seed": [1.0, True]},
        {"per_seed": ["1.0", 3.0]},
        {"per_seed": {"0": 1.0, "1": 3.0}},
        {"per_seed": [1.0, 2.0, 3.0]},
        {"per_seed": [2.0], "std": None},  # of one seed, where it is of two
        {"mean": 99.0},
        {"std": None},
        {"std": 1.0},
    ],
)
def test_measures_that_are_not_are_damage(changes):
    with pytest.raises(ValueError, match="Expected"):
        results.require_sound(sound(**changes))


def test_a_summary_that_has_lost_its_values_is_damage():
    result = sound()
    del result["deep"][0]["mse"]["per_seed"]
    for beside in ((), ["mse"]):
        with pytest.raises(KeyError):
            results.require_sound(result, of_one_seed=beside)
