"""What the scripts share: flags, provenance, and results as files."""

import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging

from runs import DamagedRunError, write_text
from startup import import_tensorflow

_ROOT = Path(__file__).resolve().parent.parent

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "paper", ["paper", "quick"], "The paper's protocol, or a short one.")
flags.DEFINE_list("seeds", ["0"], "Seeds, separated by commas; one training run each.")
flags.DEFINE_string("data_dir", None, "Where data is kept (TensorFlow Datasets' folder).")
flags.DEFINE_string("runs_dir", str(_ROOT / "runs"), "Where trained models are kept.")
flags.DEFINE_string("output_dir", None, "Where results go (figures/, or figures/quick/).")
flags.DEFINE_bool("only_print", False, "Print the stored results and train nothing.")


def run_script(name: str, rebuild: Callable[[], dict], table: Callable[[dict], str]) -> None:
    """Run a table's script: rebuild it, print it and write `name`.md and `name`.json.

    Args:
        name: Of the result's files.
        rebuild: Called unless --only_print is given; returns the result, as JSON takes it.
        table: Returns a result as Markdown.
    """

    def main(_):
        stored = output_dir() / f"{name}.json"
        if FLAGS.only_print:
            print(table(_read(stored)))
            return
        _require_writable(output_dir())
        logging.set_verbosity(logging.WARNING)
        import_tensorflow()
        from mvae_tf.training import CheckpointError

        try:
            result = rebuild() | {"environment": environment(), "command": command()}
        except (CheckpointError, DamagedRunError, OSError) as error:
            sys.exit(f"{name}: {error}")
        print(table(result))
        write_text(stored, json.dumps(result, indent=1) + "\n")
        write_text(stored.with_suffix(".md"), table(result) + "\n")

    try:
        app.run(main)
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from the last checkpoint.")


def output_dir() -> Path:
    """Return the folder of the results."""
    if FLAGS.output_dir is not None:
        return Path(FLAGS.output_dir)
    return _ROOT / "figures" / ("" if FLAGS.preset == "paper" else FLAGS.preset)


def seeds() -> list[int]:
    """Return --seeds as integers."""
    try:
        return [int(seed) for seed in FLAGS.seeds]
    except ValueError:
        raise app.UsageError(f"Expected --seeds as integers. Received: {FLAGS.seeds}.") from None


def command() -> str:
    """Return the command that rebuilds this result; where things are kept does not belong to it."""
    script = Path(sys.argv[0]).resolve()
    given = [f"--preset={FLAGS.preset}"]
    if FLAGS["seeds"].present:
        given.append(f"--seeds={','.join(FLAGS.seeds)}")
    return shlex.join(["python", f"{script.parent.name}/{script.name}", *given])


def environment() -> dict:
    """Return what numbers and times may depend on."""
    import tensorflow as tf

    packages = ("tensorflow", "keras", "tensorflow-probability", "numpy")
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
    }


def summary(values: list[float]) -> dict:
    """Return mean, sample deviation (None of one value) and the values seed by seed."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "per_seed": values}


def format_summary(values: dict, digits: int) -> str:
    """Return a `summary` as text, with its deviation where there is one."""
    text = f"{values['mean']:.{digits}f}"
    return text if values["std"] is None else f"{text} ± {values['std']:.{digits}f}"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table whose columns are aligned as plain text too."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row):
        first, *others = zip(row, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), f"| {' | '.join(rule)} |", *map(line, rows)])


def _read(path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        sys.exit(f"Expected a stored result in {path}. Received: none; leave out --only_print.")


def _require_writable(folder):
    """Find out now, not after hours of training, whether the result can be written."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(probe, "")
        probe.unlink()
    except OSError as error:
        sys.exit(f"Expected a folder that can be written: {folder}. Received: {error}.")


def _processor():
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
