"""How a script runs: it makes its result, prints it, writes it, and ends in one line."""

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
from mvae_tf.commands.support import streams
from mvae_tf.devices import strategies
from mvae_tf.startup import import_tensorflow
from mvae_tf.training import jit, precision
from mvae_tf.training.run_folder import DamagedRunError, write_text
from mvae_tf.training.version import NewerRunError
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
from support.results import read_result, usable_beside
from support.rows import Rows
from support.study import READINGS, Study


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
            show(whole_text(read_result(path, whole_text)))
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
        show(told)
    except (
        AdditionError, CheckpointError, ClassifierError, DamagedRunError, NewerRunError
    ) as error:  # fmt: skip
        sys.exit(f"{path.stem}: {error}")


def _in_all(row_seeds):
    """Return the seeds of a result, in the order of --seeds, by which its command names them."""
    used = list(itertools.chain(*row_seeds.values())) or seeds()
    return list(dict.fromkeys([*(seed for seed in seeds() if seed in used), *used]))


def show(text: str) -> None:
    """Print what a script has made, or found; who reads it may have seen enough, as `head` has."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        streams.finish(sys.stdout)


def run_app(main: Callable[[list[str]], None]) -> None:
    """Run a script's main function; what stops it from outside ends it in one line.

    That is Ctrl-C, SIGTERM, a stdout that nobody reads any more, and what the system refuses, such
    as a disk that is full.
    """

    def terminate(*_):
        raise Terminated

    def of_flags(argv):
        if argv[1:]:
            raise app.UsageError(f"Expected flags alone. Received: {' '.join(argv[1:])}.")
        main(argv)

    signal.signal(signal.SIGTERM, terminate)
    streams.prepare()
    if sys.stdout is None:
        sys.exit(streams.CLOSED)
    try:
        _run_and_flush(of_flags)
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        advice = "The same command goes on from the last checkpoint."
        print(f"\n{TOLD[number]} {advice}", file=sys.stderr)
        sys.exit(STATUS[number])
    except BrokenPipeError:
        if FLAGS.is_parsed() and not FLAGS.only_print:  # otherwise it has shown, and made, nothing
            sys.exit("Stopped, as nobody reads stdout any more. The same command goes on.")
    except OSError as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")
    finally:
        streams.finish(sys.stdout)


def _run_and_flush(main):
    """Run it; that what it printed can't be written is found here, not as Python ends."""
    try:
        app.run(main)
    except SystemExit as end:
        if not isinstance(end.code, str):  # what it has to say by that comes first
            sys.stdout.flush()
        raise


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
