"""Results as files: how a script makes, prints, writes and reads its own; texts: `texts`."""

import importlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import filelock
from absl import app, logging

from mvae_tf.commands.signals import STATUS, TOLD, Terminated
from mvae_tf.devices import strategies
from mvae_tf.startup import import_tensorflow
from mvae_tf.training import jit, precision, stored
from mvae_tf.training.run_folder import DamagedRunError, write_text
from mvae_tf.training.version import (
    TRAINING_VERSION,
    NewerRunError,
    recorded,
    require_known,
)
from support.additions import Addition, AdditionError
from support.command_line import (
    CHOICES,
    FLAGS,
    USUAL_PRESETS,
    check_known,
    check_strategy,
    chosen_rows,
    command,
    output_dir,
    seeds,
    usual,
)
from support.rows import Rows, require_means, require_measures, seeds_of
from support.study import PRESETS, READINGS, Study

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


def run_script(
    name: str,
    rebuild: Callable[..., tuple[dict, dict]],
    text: Callable[..., str],
    dataset: str = "mnist",
    rows: Rows | None = None,
    grows: bool = False,
    redraw: Callable[[dict], dict] | None = None,
    presets: Collection[str] = USUAL_PRESETS,
    beside: Collection[str] = (),
    readings: Collection[str] = READINGS[:1],
) -> None:
    """Run a script: rebuild its result, print it and write it as `name`.json, .md and .png.

    Args:
        name: Of the result's files.
        rebuild: Called unless --only_print is given; returns the result, as JSON takes it, and its
            pictures, matplotlib figures by what is added to `name`.
        text: Returns a result as Markdown; is also given those of `beside`, None where not stored.
        dataset: What the `Study` works on.
        rows: Those among which --rows chooses; `rebuild` is also given the names of the chosen.
        grows: Whether --add can be: whatever differs from seed to seed is a `summary`, and a
            picture shows the first seed, or is made anew by `redraw`.
        redraw: Returns the pictures, as `rebuild` does, of a result that grew. None: they stay.
        presets: Those that it knows.
        beside: Names of other results, of the same folder, that its text shows beside its own.
        readings: Those of the paper's text that it knows.
    """

    def main(_):
        check_known(presets, readings)
        chosen = chosen_rows(rows)
        path = output_dir() / f"{name}.json"

        def whole_text(result):
            return text(result, *map(usable_beside, beside))

        if FLAGS.only_print:
            print(whole_text(read_result(path, whole_text)))
            return
        check_strategy()
        addition = None
        if FLAGS.add:
            if not grows:
                raise app.UsageError(f"Expected --add with a result that grows. Received: {name}.")
            choices = {flag: FLAGS[flag].value for flag in CHOICES}
            old = read_result(path, whole_text)
            addition = Addition(old, choices, rows, usual(rows), chosen)

        def of_study(study):
            return rebuild(study, list(chosen)) if rows else rebuild(study)

        with strategies.only_chief_prints(FLAGS.strategy):
            _rebuild(path, of_study, whole_text, dataset, rows, chosen, addition, redraw)

    run_app(main)


def _rebuild(path, rebuild, text, dataset, rows, row_seeds, addition, redraw):
    """Rebuild a result, print and write it; of several workers the chief does, all take part."""
    is_chief = strategies.is_chief(FLAGS.strategy)
    if is_chief:
        require_writable(path.parent)
    logging.set_verbosity(logging.WARNING)
    import_tensorflow()
    from mvae_tf import plots
    from mvae_tf.evaluation.image_classifiers import ClassifierError
    from mvae_tf.training import CheckpointError

    try:
        devices = strategies.get(FLAGS.strategy)  # of several workers, once all have come
        chosen = precision.resolve(FLAGS.precision)
        compiled = jit.resolve(FLAGS.jit, FLAGS.strategy)
        print(f"precision: {chosen}\njit: {compiled}", flush=True)
        if FLAGS.strategy != "none":
            print(f"strategy: {strategies.described(devices)}", flush=True)
        study = Study(
            FLAGS.preset,
            _in_all(row_seeds),
            FLAGS.data_dir,
            Path(FLAGS.runs_dir),
            dataset=dataset,
            split=FLAGS.split,
            classifier=FLAGS.classifier,
            inception_weights=FLAGS.inception_weights,
            precision=chosen.policy,
            jit=compiled.jit,
            strategy=FLAGS.strategy,
            reading=FLAGS.reading,
            row_seeds=row_seeds,
        )
        if addition:
            study.check_first(addition.check)
        content, pictures = rebuild(study)
        if not is_chief:
            return
        made = result = content | study.account()
        # Of two that add to it, one waits: what it adds to is then what the other has stored.
        with filelock.FileLock(path.with_name(f".{path.stem}.lock")):
            if addition:  # to what is stored now: it may have grown in the hours since
                addition = addition.to(read_result(path, text))
                addition.check(study)
                result = addition.joined(made)
                pictures = redraw(result) if redraw else {}
            result |= {"command": command(result, rows)}
            told = text(result)
            for suffix, figure in pictures.items():
                plots.save(figure, path.with_name(f"{path.stem}{suffix}.png"))
            write_text(path.with_suffix(".md"), told + "\n")
            write_text(path, json.dumps(result, indent=1) + "\n")
        print(told)
    except (
        AdditionError, CheckpointError, ClassifierError, DamagedRunError, NewerRunError, OSError
    ) as error:  # fmt: skip
        sys.exit(f"{path.stem}: {error}")


def _in_all(row_seeds):
    """Return the seeds of a result, in the order of --seeds, by which its command names them."""
    used = list(itertools.chain(*row_seeds.values())) or seeds()
    return list(dict.fromkeys([*(seed for seed in seeds() if seed in used), *used]))


def run_app(main: Callable[[list[str]], None]) -> None:
    """Run a script's main function; Ctrl-C and SIGTERM end it in one line."""

    def terminate(*_):
        raise Terminated

    def of_flags(argv):
        if argv[1:]:
            raise app.UsageError(f"Expected flags alone. Received: {' '.join(argv[1:])}.")
        main(argv)

    signal.signal(signal.SIGTERM, terminate)
    try:
        app.run(of_flags)
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        advice = "The same command goes on from the last checkpoint."
        print(f"\n{TOLD[number]} {advice}", file=sys.stderr)
        sys.exit(STATUS[number])


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
    from support import claims  # of all scripts, each of which takes this file

    script = importlib.import_module(name)
    stored.require(result, _FORM)
    if unknown := set(result.get("choices", {})) - set(CHOICES):
        raise ValueError(f"Expected choices among {', '.join(CHOICES)}. Received: {unknown}.")
    require_sound(result, rows_of(script), getattr(script, "OF_ONE_SEED", ()))
    require_known(result, where)
    script.text(result).encode()  # a text may hold what no file takes
    for claim in claims.of_script(name, result):
        claims.judged(claim, {name: result})


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


def require_writable(folder: Path) -> None:
    """Find out now, not after hours of training, whether a result can be written; or end."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(probe, "")
        probe.unlink()
    except OSError as error:
        received = str(error).removesuffix(".")
        sys.exit(f"Expected a folder that can be written: {folder}. Received: {received}.")
