"""Results as files: how what is stored is read back, and when it is refused; texts: `texts`."""

import importlib
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from mvae_tf.training import stored
from mvae_tf.training.version import TRAINING_VERSION, NewerRunError, recorded, require_known
from support.command_line import CHOICES, FLAGS, output_dir
from support.rows import Rows, require_means, require_measures, seeds_of
from support.study import PRESETS, READINGS

# What comes of a result that is damaged, or of another version of its script.
DAMAGED = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    RecursionError,  # of lists in lists that JSON has, but no measure
)
_FORM = {
    "settings": {
        "model": {},
        "training": {"precision?": stored.TEXT, "jit?": stored.TEXT, "epochs?": stored.SIZE},
    },
    "dataset": {
        **dict.fromkeys(("name?", "source?", "digest?", "test?"), stored.TEXT),
        **dict.fromkeys(("train_images?", "test_images?"), stored.SIZE),
    },
    "preset": stored.one_of(*PRESETS),
    "reading?": stored.one_of(*READINGS, "paper_cifar10"),
    "choices?": {f"{name}?": stored.one_of(*FLAGS[name].parser.enum_values) for name in CHOICES},
    "complete?": stored.FLAG,
    "training_version?": stored.COUNT,
    "command?": stored.TEXT,
    "machines?": stored.NAMES,
    "elapsed_seconds?": stored.NOT_NEGATIVE,
}


def read_result(path: Path, text: Callable[[dict], str]) -> dict:
    """Return a stored result that `text` can tell; without one, end the script with what to do.

    Args:
        path: Of the result.
        text: Returns it, with what stands beside it, as Markdown, or raises one of `DAMAGED`.
    """
    try:
        result = stored.read_json(path)
        require_usable(path.stem, result, str(path))
        text(result)
        return result
    except FileNotFoundError:
        flag = "add" if FLAGS.add else "only_print"
        sys.exit(f"Expected a stored result in {path}. Received: none; leave out --{flag}.")
    except OSError as error:
        sys.exit(f"Expected a stored result that can be read. Received: {error}.")
    except NewerRunError as error:
        sys.exit(str(error))
    except DAMAGED:
        sys.exit(
            f"Expected a stored result in {path}. Received: one that is damaged, or of another "
            "version of its script. Put back a copy of it; made anew, it would be replaced."
        )


def require_usable(name: str, result: dict, where: str) -> None:
    """Refuse a stored result that its script can't tell, or by which a claim can't be judged.

    Whoever reads one asks this first, so that none takes what another calls damaged.

    Args:
        name: Of the script.
        result: As it is stored.
        where: It lies.

    Raises:
        NewerRunError: it is of a newer version.
        Exception: one of `DAMAGED`: it is damaged.
    """
    from support import claims, control_claims  # of all scripts, each of which takes this file

    script = importlib.import_module(name)
    stored.require(result, _FORM)
    if unknown := set(result.get("choices", {})) - set(CHOICES):
        raise ValueError(f"Expected choices among {', '.join(CHOICES)}. Received: {unknown}.")
    require_sound(result, rows_of(script), getattr(script, "OF_ONE_SEED", ()))
    require_known(result, where)
    script.text(result).encode()  # a text may hold what no file takes
    for claim in control_claims.of_script(name, result):
        claims.judged(claim, {name: result})
        claims.judged_otherwise(claim, result)


def require_sound(
    result: dict, rows: Rows | None = None, of_one_seed: Collection[str] = ()
) -> None:
    """Refuse a result whose measures are not those of its seeds, or not what they come to.

    Args:
        result: As it is stored.
        rows: Those that it can have.
        of_one_seed: Names of what its script measures with one seed alone, without such rows.

    Raises:
        ValueError: it is damaged.
    """
    seeds = seeds_of(result, {})
    if rows is None:
        require_measures(result, {len(seeds)}, of_one_seed)
        require_measures(result, {1, len(seeds)})
    else:
        rows.seeds(result)
        if not rows.own_seeds:
            beside = {name: value for name, value in result.items() if name != "rows"}
            require_measures(beside, {len(seeds)})
    require_means(result)


def rows_of(script) -> Rows | None:
    """Return the rows that a script's result can have; None where none can be chosen."""
    return getattr(script, "KNOWN_ROWS", None)


def stored_beside(name: str, under: str = "") -> dict | None:
    """Return the stored result of a name, or None if there is none that this version can read.

    Args:
        name: Of the result.
        under: A folder in that of the results.
    """
    try:
        result = stored.read_json(output_dir() / under / f"{name}.json")
        stored.require(result, {"settings": {"training": {}}, "preset": stored.TEXT})
    except (OSError, ValueError):
        return None
    return result


def found_beside(name: str) -> dict | None:
    """Return the stored result of a script on which another builds, None where there is none.

    One that is damaged, or of another preset or version of training, ends the script: without it,
    another result would come of the same command.

    Args:
        name: Of the result.
    """
    path = output_dir() / f"{name}.json"
    if not path.exists():
        return None
    result = read_result(path, lambda result: "")
    made, wanted = (result["preset"], recorded(result)), (FLAGS.preset, TRAINING_VERSION)
    if made != wanted:
        sys.exit(
            f"Expected {path} of preset {wanted[0]}, training version {wanted[1]}, to build on. "
            f"Received: {made[0]}, {made[1]}; python reproduce/{name}.py makes it anew."
        )
    return result


def usable_beside(name: str) -> dict | None:
    """Return the stored result of a script that is sound and can be told, or None.

    Args:
        name: Of the result.
    """
    result = stored_beside(name)
    try:
        if result is not None:
            require_usable(name, result, name)
    except (*DAMAGED, NewerRunError):
        return None
    return result
