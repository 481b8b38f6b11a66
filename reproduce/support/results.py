"""What the scripts share: flags, and results as files; their texts are in `texts`."""

import itertools
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from absl import app, flags, logging

from mvae_tf.commands.signals import STATUS, TOLD, Terminated
from mvae_tf.devices import strategies
from mvae_tf.startup import import_tensorflow
from mvae_tf.training import jit, precision, stored
from mvae_tf.training.run_folder import DamagedRunError, write_text
from mvae_tf.training.version import NewerRunError
from support.additions import Addition, AdditionError
from support.rows import OWN, Rows
from support.study import PRESETS, READINGS, SEEDS, Study

ROOT = Path(__file__).resolve().parent.parent.parent

USUAL_PRESETS = ("paper", "quick")  # what all scripts know

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "preset",
    "paper",
    PRESETS,
    "The paper's protocol, or a few epochs of it; short: ten epochs, of controls.py alone.",
)
flags.DEFINE_enum(
    "reading",
    READINGS[0],
    READINGS,
    "Of the paper's text, where it leaves a choice open: of Tables I and II, Figures 2 and 4 and "
    "the ablation of dHSIC.",
)
flags.DEFINE_list(
    "seeds", None, "Seeds, separated by commas; one training run each. Default: the preset's."
)
flags.DEFINE_string("data_dir", None, "Where data is kept (TensorFlow Datasets' folder).")
flags.DEFINE_string("runs_dir", str(ROOT / "runs"), "Where trained models are kept.")
flags.DEFINE_string(
    "output_dir",
    None,
    "Where results go; in a folder of its name where the reading is another. Default: figures/, or "
    "figures/PRESET/.",
)
flags.DEFINE_bool("only_print", False, "Print the stored results and train nothing.")
flags.DEFINE_bool(
    "add",
    False,
    "Add these seeds, or these rows, to the stored result, which must be of the same training "
    "version, data and precision.",
)
flags.DEFINE_enum(
    "precision",
    "auto",
    precision.PRECISIONS,
    "What the networks compute in; auto: bfloat16 where this machine is faster at it, float32 "
    "elsewhere.",
)
flags.DEFINE_enum(
    "jit",
    "auto",
    jit.JITS,
    "Whether training steps are compiled by XLA; auto: on a GPU, not on processors.",
)
flags.DEFINE_enum(
    "strategy",
    "none",
    strategies.STRATEGIES,
    "Which devices share each batch: one; mirrored: all GPUs of this machine; multi_worker: those "
    "of all workers that TF_CONFIG names, each of which is given the same command.",
)
flags.DEFINE_list(
    "rows",
    None,
    "Rows to train, where a table takes long: of Table I K, of Table III K:weight, of the controls "
    "reading:K, of explain_print.py reading:epochs, of the readings "
    "mixing:likelihood:concentration:prior. ROW@0+1, but of the readings: by these seeds, not by "
    "--seeds. Default: the preset's.",
)
# All scripts know the flags of CIFAR-10's, so that all.py can hand its own to each of them.
flags.DEFINE_enum(
    "split",
    "standard",
    ["standard", "heldout"],
    "The CIFAR-10 test images: the official ones, or held-out training batch 5.",
)
flags.DEFINE_enum(
    "classifier",
    "cifar10",
    ["cifar10", "inception"],
    "What Inception scores are computed with: a network trained here on the images at hand, or "
    "Inception v3.",
)
flags.DEFINE_string(
    "inception_weights", None, "Inception v3's weights file. Default: Keras's, downloaded."
)

# What comes of a result that is damaged, or of another version of its script.
DAMAGED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
# The flags that a result depends on, beside --preset, seeds and rows.
_CHOICES = ("reading", "split", "classifier", "strategy")
_WITH_ROWS = "tables 1 and 3, controls.py, explain_print.py and the scripts of readings"


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
            return text(result, *map(stored_beside, beside))

        if FLAGS.only_print:
            print(whole_text(read_result(path, whole_text)))
            return
        check_strategy()
        addition = None
        if FLAGS.add:
            if not grows:
                raise app.UsageError(f"Expected --add with a result that grows. Received: {name}.")
            choices = {flag: FLAGS[flag].value for flag in _CHOICES}
            addition = Addition(read_result(path, whole_text), choices, rows, usual(rows), chosen)

        def of_study(study):
            return rebuild(study, list(chosen)) if rows else rebuild(study)

        with strategies.only_chief_prints(FLAGS.strategy):
            _rebuild(path, of_study, whole_text, dataset, rows, chosen, addition, redraw)

    run_app(main)


def _rebuild(path, rebuild, text, dataset, rows, row_seeds, addition, redraw):
    """Rebuild a result, print and write it; of several workers the chief does, all take part."""
    is_chief = strategies.is_chief(FLAGS.strategy)
    if is_chief:
        _require_writable(path.parent)
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
            list(dict.fromkeys(itertools.chain(*row_seeds.values()))) or seeds(),
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
        result = content | study.account()
        if addition:
            result = addition.joined(result)
            pictures = redraw(result) if redraw else {}
        result |= {"command": command(result, rows)}
        print(text(result))
        for suffix, figure in pictures.items():
            plots.save(figure, path.with_name(f"{path.stem}{suffix}.png"))
        write_text(path.with_suffix(".md"), text(result) + "\n")
        write_text(path, json.dumps(result, indent=1) + "\n")
    except (
        AdditionError, CheckpointError, ClassifierError, DamagedRunError, NewerRunError, OSError
    ) as error:  # fmt: skip
        sys.exit(f"{path.stem}: {error}")


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


def output_dir() -> Path:
    """Return the folder of the results."""
    usual = ROOT / "figures" / ("" if FLAGS.preset == "paper" else FLAGS.preset)
    folder = usual if FLAGS.output_dir is None else Path(FLAGS.output_dir)
    return folder / ("" if FLAGS.reading == READINGS[0] else FLAGS.reading)


def check_known(
    presets: Collection[str] = USUAL_PRESETS, readings: Collection[str] = READINGS[:1]
) -> None:
    """Refuse a --preset or a --reading that a script doesn't know."""
    for name, known in (("preset", presets), ("reading", readings)):
        if FLAGS[name].value not in known:
            message = f"Expected --{name} among {', '.join(known)}. Received: {FLAGS[name].value}."
            raise app.UsageError(message)


def check_strategy() -> None:
    """Refuse a --strategy that can't be, before anything else is done."""
    try:
        strategies.check(FLAGS.strategy)
        jit.check(FLAGS.jit, FLAGS.strategy)
    except ValueError as error:
        message = f"--strategy={FLAGS.strategy}: {error}"
        raise app.UsageError(message, exitcode=2) from error


def usual(rows: Rows | None) -> list[str]:
    """Return the rows that are taken without --rows, by name."""
    if rows is None:
        return []
    other = () if FLAGS.reading == READINGS[0] else (FLAGS.reading,)
    return list(rows.names if rows.usual is None else rows.usual(FLAGS.preset, *other))


def chosen_rows(rows: Rows | None = None) -> dict[str, list[int]]:
    """Return the rows that --rows names, the usual ones by default, and the seeds of each.

    Any other row is refused, and so are wrong seeds, whether there are rows or not.
    """
    whole, given = seeds(), usual(rows) if FLAGS.rows is None else FLAGS.rows
    takes_own, chosen = rows is not None and rows.own_seeds, {}
    for each in given:
        name, own, listed = each.partition(OWN) if takes_own else (each, "", "")
        chosen[name] = _seeds(listed.split("+"), each) if own else whole
    names = rows.names if rows else ()
    is_known = set(chosen) <= set(names) and len(chosen) == len(given)
    if not is_known or (rows and not chosen):
        expected = f"among {', '.join(names)}, each once" if rows else f"with {_WITH_ROWS} alone"
        received = ",".join(given) or "none"
        raise app.UsageError(f"Expected --rows {expected}. Received: {received}.")
    return chosen


def seeds() -> list[int]:
    """Return --seeds as integers, the preset's by default."""
    given = SEEDS[FLAGS.preset] if FLAGS.seeds is None else FLAGS.seeds
    return _seeds(given, ",".join(map(str, given)) or "none")


def _seeds(given, received):
    try:
        chosen = [int(seed) for seed in given]
    except ValueError:
        chosen = []
    fit = all(-(2**31) <= seed < 2**31 for seed in chosen)
    if not chosen or len(set(chosen)) < len(chosen) or not fit:
        message = f"Expected --seeds as 32-bit integers, each once. Received: {received}."
        raise app.UsageError(message)
    return chosen


def command(result: dict, rows: Rows | None = None) -> str:
    """Return the command that rebuilds a result; where things are kept does not belong to it.

    It names precision and jit in any case: left out, they would be others on other hardware.

    Args:
        result: Its settings, and its rows where it has such.
        rows: Those that it can have.
    """
    script, settings = Path(sys.argv[0]).resolve(), result["settings"]
    named = rows.named(result) if rows else []
    given = [f"--preset={FLAGS.preset}"]
    if settings["seeds"] != [0]:
        given.append(f"--seeds={','.join(map(str, settings['seeds']))}")
    given += [FLAGS[name].serialize() for name in _CHOICES if FLAGS[name].present]
    if set(named) != set(usual(rows)):
        given.append(f"--rows={','.join(named)}")
    given.append(f"--precision={settings['training']['precision']}")
    given.append(f"--jit={settings['training'].get('jit', 'off')}")
    return shlex.join(["python", f"{script.parent.name}/{script.name}", *given])


def read_result(path: Path, text: Callable[[dict], str] = str) -> dict:
    """Return a stored result that `text` can tell; without one, end the script with what to do."""
    try:
        result = stored.read_json(path)
        stored.require(result, {"settings": {}, "dataset": {}})
        text(result)
        return result
    except FileNotFoundError:
        flag = "add" if FLAGS.add else "only_print"
        sys.exit(f"Expected a stored result in {path}. Received: none; leave out --{flag}.")
    except DAMAGED:
        sys.exit(
            f"Expected a stored result in {path}. Received: one that is damaged, or of another "
            "version of its script. Put back a copy of it; made anew, it would be replaced."
        )


def stored_beside(name: str, under: str = "") -> dict | None:
    """Return the stored result of a name, or None if there is none that this version can read.

    Args:
        name: Of the result.
        under: A folder in that of the results.
    """
    try:
        result = stored.read_json(output_dir() / under / f"{name}.json")
        stored.require(result, {"settings": {"training": {}}, "preset": stored.TEXT})
    except (FileNotFoundError, ValueError):
        return None
    return result


def _require_writable(folder):
    """Find out now, not after hours of training, whether the result can be written."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(probe, "")
        probe.unlink()
    except OSError as error:
        sys.exit(f"Expected a folder that can be written: {folder}. Received: {error}.")
