"""Say what a run folder or a .keras file holds; TensorFlow isn't started.

mvae-tf info --model=runs/photos
mvae-tf info --model=m.keras --json
"""

import dataclasses
import json
import textwrap
from collections.abc import Sequence

from absl import flags
from tqdm import tqdm

from mvae_tf.commands.support import archives, arguments, settings
from mvae_tf.training import run_folder, version

# Of which the names are printed; --json has all.
_MOST_CLASSES = 20


def main(argv: Sequence[str]) -> None:
    """Print what there is to say."""
    given = arguments.parse(__doc__, _define, argv)
    path = settings.model_path(given)
    described = _run(path) if path.is_dir() else _file(path)
    print(json.dumps(described, indent=1) if given.json else _text(described))


def _define(values):
    arguments.define_model(values)
    flags.DEFINE_bool("json", False, "Print one JSON object.", flag_values=values)


def _run(folder):
    """Describe a run, finished or not; what isn't known is None."""
    finished = run_folder.is_finished(folder)
    record = settings.read_record(folder) if finished else {}
    if settings.are_kept(folder):
        stored = dataclasses.asdict(settings.read(folder))
    else:  # a run of the scripts in reproduce/
        stored = {**record, **record["settings"], "data": record["dataset"]}
    history = run_folder.read_history(folder) or record.get("history", [])
    epochs = stored["training"]["epochs"]
    done = len(record.get("history", ())) >= epochs
    busy = run_folder.is_busy(folder)
    return {
        "run": str(folder),
        "state": "finished" if done else "training now" if busy else "unfinished",
        "epochs_done": len(history),
        "epochs": epochs,
        "to_go_on": None if done or busy else settings.resume_command(folder),
        "preset": stored.get("preset"),
        "model": stored["model"],
        "training": stored["training"],
        "data": stored["data"],
        "seconds": round(sum(epoch["seconds"] for epoch in history), 3),
        "peak_memory_mib": record.get("peak_memory_mib"),
        "last_terms": {
            name: value
            for name, value in (history[-1] if history else {}).items()
            if name not in ("epoch", "seconds")
        },
        "versions": stored.get("versions"),
        "training_version": version.recorded(stored),
        "file": _file(folder / run_folder.MODEL) if finished else None,
    }


def _file(path):
    """Describe a .keras file."""
    archive = archives.read(path)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "class": archive.class_name,
        "parameters": archive.num_parameters,
        "precision": archive.precision,
        "keras": archive.keras_version,
        "model": {
            name: value
            for name, value in archive.config.items()
            if name not in ("name", "trainable", "dtype")
        },
    }


def _text(described):
    if "run" not in described:
        return "\n".join([_file_line(described), f"model      {_listed(described['model'])}"])
    data = described["data"]
    source = data.get("source", data["name"])
    taken = tqdm.format_interval(described["seconds"])
    state = (
        f"{described['run']}: {described['state']}, {described['epochs_done']} of "
        f"{described['epochs']} epochs, {taken}"
    )
    lines = [
        f"model      {_listed(described['model'])}",
        f"training   {_listed(described['training'])}",
        f"data       {data['name']}, from {source}, SHA-256 {data['digest']}",
        f"version    {described['training_version']} of what training computes",
    ]
    if data.get("class_names"):
        lines.insert(3, f"classes    {_classes(data['class_names'])}")
    if described["preset"]:
        lines.insert(0, f"preset     {described['preset']}")
    if described["last_terms"]:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in described["last_terms"].items())
        lines.append(f"last epoch {terms}")
    if described["versions"]:
        lines.append(f"versions   {_listed(described['versions'])}")
    if described["file"]:
        lines.append(f"file       {_file_line(described['file'])}")
    go_on = [f"To go on: {described['to_go_on']}"] if described["to_go_on"] else []
    # What is to be copied, or looked for by a shell, stays on one line.
    return "\n".join([state, *map(_wrapped, lines), *go_on])


def _wrapped(line):
    indent = 11 * " "
    return textwrap.fill(
        line, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _file_line(file):
    return (
        f"{file['path']}, {file['bytes'] / 1e6:.1f} MB: {file['class']}, {file['parameters']:,} "
        f"parameters, {file['precision']}, Keras {file['keras']}"
    )


def _classes(names):
    more = ", ..." if len(names) > _MOST_CLASSES else ""
    return f"{len(names)}: {', '.join(names[:_MOST_CLASSES])}{more}"


def _listed(settings_of_it):
    return ", ".join(
        f"{name} {_joined(value) if isinstance(value, list) else value}"
        for name, value in settings_of_it.items()
        if value is not None and not isinstance(value, dict)
    )


def _joined(values):
    """Return sizes as 28x28x1, names as elu, tanh in brackets."""
    if all(isinstance(value, str) for value in values):
        return f"({', '.join(values)})"
    return "x".join(map(str, values))
