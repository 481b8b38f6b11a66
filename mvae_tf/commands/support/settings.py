"""A run's settings.json: everything it takes to go on with the run, and nothing else does."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from absl import flags

import mvae_tf
from mvae_tf import datasets, files, presets
from mvae_tf.commands.support import arguments
from mvae_tf.commands.support.arguments import PROGRAM, CommandError, UsageError
from mvae_tf.training import run_folder, stored
from mvae_tf.training.run_folder import DamagedRunError
from mvae_tf.training.version import recorded, require_known

FILE = "settings.json"
COPY = f"{run_folder.CHECKPOINTS}/{FILE}"

# Flags that came later than settings.json, and what was done before them.
_LATER = {
    "activation": "relu",
    "decoder_activation": None,
    "dropout": 0.0,
    "initializer": "glorot_uniform",
}
# Flags of the same name as an argument of `MixtureVAE`.
MODEL_FLAGS = (
    "num_components",
    "latent_dim",
    "hidden_units",
    "network",
    "likelihood",
    "mixing",
    "kl_weight",
    "dhsic_weight",
    *_LATER,
)
# Flags of the same name as an entry of the training's protocol.
TRAINING_FLAGS = ("epochs", "batch_size", "learning_rate", "seed")

_NEEDED = {"decay", "precision", *MODEL_FLAGS, *TRAINING_FLAGS} - {*_LATER}
_FORM = {
    "preset": stored.optional(stored.TEXT),
    "model": {
        name.removesuffix("?") if name.removesuffix("?") in _NEEDED else name: kind
        for name, kind in stored.MODEL.items()
    },
    "training": stored.TRAINING,
    "data": {
        "source": stored.optional(stored.TEXT),
        "data_dir": stored.optional(stored.TEXT),
        "image_size": stored.optional(stored.sizes(2)),
        "test_fraction": stored.optional(stored.NOT_NEGATIVE),
        "stream?": stored.optional(stored.FLAG),
        "cache?": stored.optional(stored.TEXT),
        "skip_unreadable?": stored.optional(stored.FLAG),
        "name": stored.TEXT,
        "digest": stored.DIGEST,
        "class_names?": stored.NAMES,
    },
    "tensorboard_every": stored.optional(stored.SIZE),
    "versions": stored.TEXTS,
    "training_version?": stored.COUNT,
}

# Numbers of an image up to which dense networks do as well, and train faster.
_MOST_FOR_DENSE = 32 * 32
# Of an epoch. With three, as 300 images give in batches of 128, the codes stay nearly empty.
_FEWEST_STEPS = 16
_SMALLEST_BATCH = 8


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What settings.json holds.

    Attributes:
        preset: What model and training started from; None where that was lost.
        model: Arguments of `MixtureVAE`, all of them.
        training: The protocol: epochs, batch_size, optimizer, learning_rate, decay, seed,
            precision, jit; without the last, which came later, it was "off".
        data: Where the images are ("source", "data_dir") and how they are read ("image_size",
            "test_fraction", and perhaps "stream", "cache", "skip_unreadable"), and "name",
            "digest" and perhaps "class_names", what they are.
        tensorboard_every: Epochs from one set of pictures to the next; None: no TensorBoard.
        versions: Of the packages that the weights depend on.
        training_version: Of what training computes, see `mvae_tf.training.version`.
    """

    preset: str | None
    model: dict
    training: dict
    data: dict
    tensorboard_every: int | None
    versions: dict
    training_version: int

    def resolved(self) -> dict:
        """Return the settings as `run_folder` takes them."""
        return {"model": self.model, "training": self.training}

    def write(self, folder: Path) -> None:
        """Write settings.json, all at once, and a copy of it beside the checkpoints."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        files.write_text(folder / FILE, text)
        copy = folder / COPY
        with files.writing(copy.parent):
            copy.parent.mkdir(exist_ok=True)
        files.write_text(copy, text)


def with_content(described: dict, data) -> dict:
    """Return where images are, and what they are: a run's "data"."""
    known = {"name": data.name, "digest": data.digest}
    if data.class_names is not None:
        known["class_names"] = list(data.class_names)
    return described | known


def read_record(folder: Path) -> dict:
    """Return a finished run's record; if it is damaged, name the command that mends it.

    Raises:
        DamagedRunError: it is.
    """
    try:
        return run_folder.read_record(folder)
    except DamagedRunError as error:
        if run_folder.last_checkpoint(folder) is None:
            raise
        raise DamagedRunError(f"{error} To do so: {resume_command(folder)}") from error


def are_kept(folder: Path) -> bool:
    """Return whether a folder holds settings of a run, whole or damaged."""
    return (folder / FILE).exists() or (folder / COPY).exists()


def read(folder: Path) -> RunSettings:
    """Read a run's settings.json; if it is damaged, what else in the folder says the same.

    That is its copy beside the checkpoints, or the record of the run, if it is done: then "source"
    of the data may be None, and so may the preset. It is said on stderr.

    Raises:
        DamagedRunError: the settings are nowhere to be read.
        NewerRunError: a newer mvae_tf trains the run.
    """
    try:
        return _read(folder / FILE)
    except (OSError, ValueError) as error:
        damage = error
    for name, recover in ((COPY, _read), (run_folder.RECORD, _of_record)):
        with contextlib.suppress(OSError, ValueError):
            recovered = recover(folder / name)
            print(
                f"{folder / FILE} is damaged ({damage}); the settings are taken from {name}.",
                file=sys.stderr,
            )
            return recovered
    command = command_line("train", f"--output_dir={folder}", "--resume", "--data=...")
    raise DamagedRunError(
        f"Expected the settings of a run in {folder / FILE}. Received: {damage}. Lost is which "
        "settings and images the run was begun with; its checkpoints are left as they are. To go "
        f"on from them, name both again: {command} and all flags that the run was begun with."
    ) from damage


def _read(path):
    """Read settings.json or its copy."""
    content = stored.read_json(path)
    stored.require(content, _FORM)
    require_known(content, str(path.parent))
    try:
        return RunSettings(**{**content, "training_version": recorded(content)})
    except TypeError as error:
        raise ValueError(str(error).partition("__init__() ")[2]) from error


def _of_record(path):
    """Make settings of a finished run's record."""
    record = stored.require_record(stored.read_json(path))
    require_known(record, str(path.parent))
    stored.require(record["settings"], {part: _FORM[part] for part in ("model", "training")})
    dataset = record["dataset"]
    named = is_data_name(dataset["name"])
    return RunSettings(
        preset=None,
        **record["settings"],
        data={
            "source": dataset["name"] if named else None,
            "data_dir": None,
            "image_size": None,
            "test_fraction": None,
            **dataset,
        },
        tensorboard_every=None,
        versions=record.get("versions", {}),
        training_version=recorded(record),
    )


def is_data_name(source: str) -> bool:
    """Return whether a source of images is a name, and no path."""
    return source in datasets.NAMES or source.startswith("tfds:")


def model_path(given: flags.FlagValues) -> Path:
    """Return --model as the path of a file, or of a folder with a run, finished or not."""
    path = arguments.path("model", given.model)
    if path.is_file() or run_folder.is_finished(path) or are_kept(path):
        return path
    received = "a folder without a run" if path.is_dir() else "which does not exist"
    raise CommandError(
        f"Expected --model to be a run folder or a .keras file. Received: {path}, {received}."
    )


def usual_preset(image_shape: tuple[int, int, int]) -> str:
    """Return the preset for images without one: that of the paper for images most like them."""
    height, width, channels = image_shape
    small = height * width * channels <= _MOST_FOR_DENSE or min(height, width) < 8
    return "paper_mnist" if small else "paper_cifar10"


def usual_batch_size(batch_size: int, num_images: int) -> int:
    """Return a preset's batch size, or a power of 2 that makes enough steps of few images."""
    few = 2 ** max(0, (num_images // _FEWEST_STEPS).bit_length() - 1)
    return min(batch_size, max(few, _SMALLEST_BATCH))


def from_flags(given: flags.FlagValues, name: str, images, policy: str, jit: str) -> dict:
    """Return the settings of a new run: the preset's, but for the flags given.

    Args:
        given: The flags, None where they say nothing.
        name: Of the preset; where none is given, few images make its batches smaller.
        images: To train on, [n, h, w, c], whatever the preset was made for.
        policy: Keras's dtype policy, what --precision stands for on this machine.
        jit: "on" or "off", what --jit stands for.

    Returns:
        "model" and "training".
    """
    preset = presets.get(name)
    usual = {"network": "dense", **preset.model}
    changed = {flag: given[flag].value for flag in MODEL_FLAGS if given[flag].value is not None}
    model = {**usual, **changed, "image_shape": images.shape[1:], "seed": given.seed or 0}
    if model["network"] != usual["network"] and "hidden_units" not in changed:
        model["hidden_units"] = None  # the preset's are those of another network
    batch_size = preset.batch_size
    if given.preset is None:
        batch_size = usual_batch_size(batch_size, len(images))
    training = {
        "epochs": preset.epochs,
        "batch_size": batch_size,
        "optimizer": "Adam",
        "learning_rate": preset.learning_rate,
        "decay": preset.decay,
        "seed": 0,
        "precision": policy,
        "jit": jit,
    }
    training |= {
        flag: given[flag].value for flag in TRAINING_FLAGS if given[flag].value is not None
    }
    return {"model": model, "training": training}


def versions() -> dict[str, str]:
    """Return the versions of the packages that a run's weights depend on."""
    names = ("tensorflow", "keras", "tensorflow-probability", "numpy")
    others = {name: importlib.metadata.version(name) for name in names}
    return {"mvae_tf": mvae_tf.__version__, **others}


def require_agreement(given: flags.FlagValues, run: RunSettings) -> None:
    """Refuse flags that a run to go on with contradicts; --epochs may grow.

    Raises:
        UsageError: names each of them.
    """
    before = {
        "precision": run.training["precision"],
        "jit": run.training.get("jit", "off"),
        **{flag: {**_LATER, **run.model}[flag] for flag in MODEL_FLAGS},
        **{flag: run.training[flag] for flag in TRAINING_FLAGS},
    }
    if run.preset is not None:  # otherwise lost, and how images were cut with it
        before |= {"preset": run.preset}
        before |= {flag: run.data[flag] for flag in ("image_size", "test_fraction")}
    refused = [
        f"--{flag}={given[flag].value}, which is {value} in the run"
        for flag, value in before.items()
        if given[flag].value not in (None, "auto", value)  # auto: left to the run
        and not (flag == "epochs" and given.epochs > value)
    ]
    if refused:
        raise UsageError(
            "Expected flags that agree with the run; only --epochs may grow. Received: "
            f"{'; '.join(refused)}."
        )


def resume_command(folder: Path, strategy: str = "none") -> str:
    """Return the command that goes on with a run, by the same strategy."""
    shared = [] if strategy == "none" else [f"--strategy={strategy}"]
    return command_line("train", f"--output_dir={folder}", "--resume", *shared)


def command_line(*words: str) -> str:
    """Return a command of this package, to be pasted into the shell that it was started from."""
    words = (*_program(), *words)
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _program():
    """Return the words that start this installation, and no other.

    `mvae-tf`, if that is what a shell finds by this name. In an environment that is not activated
    it finds none, or another's, and `python` too may be another: then this Python, by its path.
    """
    ours = shutil.which(PROGRAM, path=sysconfig.get_path("scripts"))
    found = shutil.which(PROGRAM)
    if ours and found and os.path.samefile(ours, found):
        return (PROGRAM,)
    return sys.executable, "-m", "mvae_tf"
