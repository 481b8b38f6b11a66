"""The command line of the scripts: flags, what they choose, the command that a result names."""

import shlex
import sys
from collections.abc import Collection
from pathlib import Path

from absl import app, flags

from mvae_tf.devices import strategies
from mvae_tf.training import jit, precision
from support.rows import OWN, Rows
from support.study import PRESETS, READINGS, SEEDS, UNSCORED

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
    "reading:K, of explain_print.py reading:epochs, of the ablation of dHSIC beta, of the readings "
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
    ["cifar10", "inception", UNSCORED],
    "What Inception scores are computed with: a network trained here on the images at hand, or "
    "Inception v3. none, with --add: the rows have no scores, since those by two trainings of that "
    "network can't be compared.",
)
flags.DEFINE_string(
    "inception_weights", None, "Inception v3's weights file. Default: Keras's, downloaded."
)

# The flags that a result depends on, beside --preset, seeds and rows.
CHOICES = ("reading", "split", "classifier", "strategy")
_WITH_ROWS = (
    "tables 1 and 3, controls.py, explain_print.py, ablation_dhsic.py and the scripts of readings"
)


def output_dir() -> Path:
    """Return the folder of the results."""
    usual = ROOT / "figures" / ("" if FLAGS.preset == "paper" else FLAGS.preset)
    folder = usual if FLAGS.output_dir is None else Path(FLAGS.output_dir)
    return folder / ("" if FLAGS.reading == READINGS[0] else FLAGS.reading)


def check_known(
    presets: Collection[str] = USUAL_PRESETS, readings: Collection[str] = READINGS[:1]
) -> None:
    """Refuse a --preset or a --reading that a script doesn't know, and a result without scores."""
    for name, known in (("preset", presets), ("reading", readings)):
        if FLAGS[name].value not in known:
            message = f"Expected --{name} among {', '.join(known)}. Received: {FLAGS[name].value}."
            raise app.UsageError(message)
    if FLAGS.classifier == UNSCORED and not FLAGS.add:
        raise app.UsageError(f"Expected --classifier={UNSCORED} with --add alone.")


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
    return {name: chosen[name] for name in names if name in chosen}  # as they are to stand


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
    if settings["seeds"] != list(SEEDS[FLAGS.preset]):
        given.append(f"--seeds={','.join(map(str, settings['seeds']))}")
    given += [FLAGS[name].serialize() for name in CHOICES if FLAGS[name].present]
    if FLAGS.classifier == UNSCORED:  # its rows join a result that has scores
        given.remove(FLAGS["classifier"].serialize())
        if (scored := result["choices"]["classifier"]) != FLAGS["classifier"].default:
            given.append(f"--classifier={scored}")
    if set(named) != set(usual(rows)):
        given.append(f"--rows={','.join(named)}")
    given.append(f"--precision={settings['training']['precision']}")
    given.append(f"--jit={settings['training'].get('jit', 'off')}")
    return shlex.join(["python", f"{script.parent.name}/{script.name}", *given])
