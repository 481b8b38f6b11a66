"""A run's settings.json: everything it takes to go on with the run, and nothing else does."""

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
from mvae_tf import presets
from mvae_tf.commands.support.arguments import PROGRAM, CommandError, UsageError
from mvae_tf.training import run_folder
from mvae_tf.training.run_folder import DamagedRunError
from mvae_tf.training.version import recorded

FILE = "settings.json"

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
)
# Flags of the same name as an entry of the training's protocol.
TRAINING_FLAGS = ("epochs", "batch_size", "learning_rate", "seed")

# Numbers of an image up to which dense networks do as well, and train faster.
_MOST_FOR_DENSE = 32 * 32
# Of an epoch. With three, as 300 images give in batches of 128, the codes stay nearly empty.
_FEWEST_STEPS = 16
_SMALLEST_BATCH = 8


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What settings.json holds.

    Attributes:
        preset: What model and training started from.
        model: Arguments of `MixtureVAE`, all of them.
        training: The protocol: epochs, batch_size, optimizer, learning_rate, decay, seed,
            precision, jit; without the last, which came later, it was "off".
        data: Where the images are ("source", "data_dir", "image_size", "test_fraction"), and
            "name" and "digest", what they are.
        tensorboard_every: Epochs from one set of pictures to the next; None: no TensorBoard.
        versions: Of the packages that the weights depend on.
        training_version: Of what training computes, see `mvae_tf.training.version`.
    """

    preset: str
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
        """Write settings.json, all at once."""
        run_folder.write_text(folder / FILE, json.dumps(dataclasses.asdict(self), indent=1))


def read(folder: Path) -> RunSettings:
    """Read a run's settings.json.

    Raises:
        DamagedRunError: it can't be read, or isn't one.
    """
    needed = {
        "model": MODEL_FLAGS,
        "training": (*TRAINING_FLAGS, "decay", "precision"),
        "data": ("source", "data_dir", "image_size", "test_fraction", "name", "digest"),
    }
    try:
        content = json.loads((folder / FILE).read_text())
        for part, names in needed.items():
            if not set(names) <= set(content[part]):
                raise ValueError(f"too little in {part!r}")
        return RunSettings(**{**content, "training_version": recorded(content)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedRunError(
            f"Expected the settings of a run in {folder / FILE}. Received: {error}. Delete that "
            "folder and train again."
        ) from error


def model_path(given: flags.FlagValues) -> Path:
    """Return --model as the path of a file, or of a folder with a run, finished or not."""
    path = Path(given.model).expanduser()
    if path.is_file() or run_folder.is_finished(path) or (path / FILE).exists():
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


def require_agreement(given: flags.FlagValues, stored: RunSettings) -> None:
    """Refuse flags that a run to go on with contradicts; --epochs may grow.

    Raises:
        UsageError: names each of them.
    """
    before = {
        "preset": stored.preset,
        "precision": stored.training["precision"],
        "jit": stored.training.get("jit", "off"),
        **{flag: stored.model[flag] for flag in MODEL_FLAGS},
        **{flag: stored.training[flag] for flag in TRAINING_FLAGS},
        **{flag: stored.data[flag] for flag in ("image_size", "test_fraction")},
    }
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
