"""Results that grow: further seeds, or further rows, joined to a stored result (--add).

Both must have been made in one way: by the same version of what training computes and the same
packages, on the same data, in the same precision, compiled or not; the machines may differ, and all
are named. The result is then the one that a single command would have made, and names that command.
Where rows may have seeds of their own, any rows can gain any seeds; else all rows have the same.
"""

import json
import math
from collections.abc import Collection, Mapping

from mvae_tf.training.version import recorded
from support.environments import machines
from support.rows import Rows, seeds_of
from support.study import UNSCORED, Study, reading_of
from support.summaries import summary

_SAME = ("preset", "reading", "training_version", "dataset")
# Of a result beside what its script measured: compared before, or joined in ways of their own.
_ACCOUNT = (
    *(*_SAME, "settings", "choices", "environment", "machines", "elapsed_seconds"),
    *("command", "rows", "complete"),
)


# Of the same numbers by other processors, such as the error of a linear model in double precision.
_ROUNDING = 1e-6


class AdditionError(ValueError):
    """What is to be added does not fit the stored result."""


class Addition:
    """Seeds or rows to be added.

    Args:
        stored: The result to add to.
        choices: The flags by which the addition is made, by name.
        rows: Those that the result can have; None where none can be chosen.
        whole: The names of those without which a result is a part.
        chosen: The seeds of each row to be added, by its name.
    """

    def __init__(
        self,
        stored: dict,
        choices: dict,
        rows: Rows | None = None,
        whole: Collection[str] = (),
        chosen: Mapping[str, list[int]] | None = None,
    ):
        # Its command is that of a part; the caller knows that of the whole.
        self._stored = {name: value for name, value in stored.items() if name != "command"}
        self._stored |= {"training_version": recorded(stored), "reading": reading_of(stored)}
        self._choices, self._rows, self._whole = choices, rows, whole
        self._chosen = chosen or {}

    def to(self, stored: dict) -> "Addition":
        """Return the same addition to another result: what is stored may have grown meanwhile."""
        return Addition(stored, self._choices, self._rows, self._whole, self._chosen)

    def check(self, study: Study) -> None:
        """Refuse, before anything is trained, what can't be added.

        Raises:
            AdditionError: it is made in another way, or is there already.
        """
        stored, account = _of_data(self._stored), _of_data(study.account())
        settings = {"seeds": [], "training": {}} | stored.get("settings", {})
        made = {name: stored.get(name) for name in _SAME} | stored.get("choices", {})
        made["precision"] = settings["training"].get("precision")
        made["jit"] = settings["training"].get("jit", "off")
        made |= _of_environment(stored)
        asked = self._choices | account | {"reading": reading_of(account)}
        asked |= {"precision": study.precision, "jit": study.jit}
        asked |= _of_environment(account)
        if asked.get("classifier") == UNSCORED:  # whose rows have nothing of the stored one's
            asked["classifier"] = made.get("classifier")
        differing = ", ".join(name for name in made if made[name] != asked.get(name))
        if differing:
            raise AdditionError(
                "Expected a stored result that was made in the same way, to add to. Received: one "
                f"of another {differing}."
            )
        if self._has_own_seeds():
            self._require_other_pairs()
            self._require_like_scores()
        else:
            self._require_all_rows_or_other(settings["seeds"], study.seeds)

    def _require_other_pairs(self):
        present = self._rows.seeds(self._stored)
        if any(set(seeds) & set(present.get(name, ())) for name, seeds in self._chosen.items()):
            told = "; ".join(f"{name} {_listed(seeds)}" for name, seeds in present.items())
            raise AdditionError(
                "Expected rows, or seeds of rows, that the stored result does not have, to add to "
                f"it. Received: a result of rows, and their seeds, {told}."
            )

    def _require_like_scores(self):
        """Refuse seeds with scores of a row that has none, and such without of one that has."""
        rows, asked = self._rows.by_name(self._stored), self._choices.get("classifier") != UNSCORED
        scored = {name: "score_samples" in row for name, row in rows.items()}
        differing = [name for name in self._chosen if scored.get(name, asked) != asked]
        if differing and any(scored.values()):  # other results know of no scores
            raise AdditionError(
                f"Expected seeds with{'out' * asked} scores, as the stored row's, to add to it. "
                f"Received: others of {', '.join(differing)}."
            )

    def _require_all_rows_or_other(self, seeds, added):
        chosen = set(self._chosen)
        present = self._rows.by_name(self._stored) if self._rows else {}
        other_seeds = chosen == set(present) and not set(seeds) & set(added)
        other_rows = chosen and not chosen & set(present) and added == seeds
        if not (other_seeds or other_rows):
            rows = f"rows {', '.join(present)}; " if present else ""
            raise AdditionError(
                "Expected all rows of the stored result by other seeds, or other rows by the same "
                f"seeds, to add to it. Received: a result of {rows}seeds {_listed(seeds)}."
            )

    def joined(self, result: dict) -> dict:
        """Return the stored result with another one's seeds or rows added, without a "command".

        Raises:
            AdditionError: they differ in something that all seeds share.
        """
        result = json.loads(json.dumps(result))  # its tuples are lists, as the stored one's
        old, new = self._stored["settings"], result["settings"]
        self._require_same_settings(old, new)
        settings = {part: _common(old[part], new[part]) for part in ("model", "training")}
        account = {
            "settings": settings | {"seeds": old["seeds"]},
            "machines": list(dict.fromkeys(machines(self._stored) + machines(result))),
            "environment": self._stored["environment"],
            "dataset": self._stored["dataset"],  # the same images, wherever they came from
            "elapsed_seconds": self._stored["elapsed_seconds"] + result["elapsed_seconds"],
        }
        account["settings"]["seeds"] = list(dict.fromkeys(old["seeds"] + new["seeds"]))
        if self._has_own_seeds() or old["seeds"] == new["seeds"]:
            return self._stored | self._with_rows(result) | account
        return _over_all_seeds(self._stored | account, result | account, "result")

    def _require_same_settings(self, old, new):
        """Refuse further seeds of rows, or of a whole result, whose models are set otherwise."""
        if self._rows and not set(self._chosen) & set(self._rows.by_name(self._stored)):
            return  # other rows are of other settings; where both have one, what all share is its
        differing = [
            name
            for part in ("model", "training")
            for name in old[part].keys() & new[part].keys() - {"seed"}
            if old[part][name] != new[part][name]
        ]
        if differing:
            raise AdditionError(
                "Expected a stored result of models with the same settings, to add seeds to. "
                f"Received: one of another {', '.join(sorted(differing))}."
            )

    def _has_own_seeds(self):
        return self._rows is not None and self._rows.own_seeds

    def _with_rows(self, result):
        old, new = self._rows.by_name(self._stored), self._rows.by_name(result)
        rows = old | new
        if self._has_own_seeds():
            # For its refusal alone: what stands beside rows stays as it is stored.
            _over_all_seeds(*map(_beside_rows, (self._stored, result)), "result")
            for name, row in old.items():
                seeds = {"seeds": seeds_of(self._stored, row)}
                rows[name] = _more_seeds(row | seeds, new[name]) if name in new else row | seeds
        return {
            "rows": [rows[name] for name in self._rows.names if name in rows],
            "complete": set(self._whole) <= set(rows),
        }


def _beside_rows(result):
    """Return what a script measured beside rows, which no seed changes: such as a classifier."""
    return {name: value for name, value in result.items() if name not in _ACCOUNT}


def _more_seeds(old, new):
    """Return a row of seeds of its own with those of another result's."""
    seeds = {"seeds": old["seeds"] + new["seeds"]}
    return _over_all_seeds(old | seeds, new | seeds, "rows", alike=True)


def _listed(seeds):
    return ", ".join(map(str, seeds))


def _of_environment(result):
    environment = result.get("environment", {})
    return {
        "packages": environment.get("packages"),
        "strategy": environment.get("strategy", "none"),
    }


def _of_data(result):
    """Return a result whose images are what they are, by their digest, wherever they came from."""
    data = dict(result.get("dataset", {}))
    data.pop("source", None)
    return result | {"dataset": data}


def _common(old, new):
    return {name: value for name, value in old.items() if name in new and new[name] == value}


def _over_all_seeds(old, new, where, alike=False):
    """Join what was measured seed by seed; all else has to be the same, but for rounding.

    What the later seeds don't have, because it was measured with one alone, stays; where all seeds
    are `alike` there is no such thing.
    """
    if isinstance(old, dict) and isinstance(new, dict) and _are_joined(old, new, alike):
        if "per_seed" in old:
            return old | summary(old["per_seed"] + new["per_seed"])
        return old | {
            name: _over_all_seeds(old[name], new[name], f"{where}, {name}", alike) for name in new
        }
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_over_all_seeds(*pair, where, alike) for pair in zip(old, new, strict=True)]
    if old == new or _is_rounded(old, new):
        return old
    raise AdditionError(
        f"Expected a stored result by this version of the script, to add to. Received: another "
        f"form of the {where}."
    )


def _are_joined(old, new, alike):
    return old.keys() == new.keys() if alike else old.keys() >= new.keys()


def _is_rounded(old, new):
    """Return whether two numbers are one, computed on other machines."""
    are_floats = isinstance(old, float) and isinstance(new, float)
    return are_floats and math.isclose(old, new, rel_tol=_ROUNDING)
