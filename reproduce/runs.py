"""The run store: settings in, trained model out; trained once and shared by all scripts.

A run is keyed by what its result depends on: the model's settings, the training protocol, the
data's digest and the code that trains. Its folder holds checkpoints while it trains, and
`model.keras` with `record.json` once it is done.
"""

import ast
import contextlib
import dataclasses
import hashlib
import json
import os
import resource
import shutil
import sys
from pathlib import Path

import mvae_tf
from mvae_tf import presets

# What the weights of a trained model depend on, beside settings and data.
_CODE = (
    "convolutional",
    "dirichlet",
    "hsic",
    "melbo",
    "model",
    "networks",
    "optimizers",
    "training",
)
# What those of a classifier depend on.
_CLASSIFIER_CODE = ("resnet", "training")


class DamagedRunError(RuntimeError):
    """A finished run's files are not what its record says."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is trained with.

    Attributes:
        preset: Of `mvae_tf.presets`.
        overrides: Arguments of `MixtureVAE` that differ from the preset's, (name, value) pairs.
        epochs: Passes over the training images. None: the preset's.
        seed: Of the initial weights, the draws and the images' order.
    """

    preset: str
    overrides: tuple[tuple[str, object], ...] = ()
    epochs: int | None = None
    seed: int = 0

    def resolved(self) -> dict:
        """Return everything spelt out, as JSON takes it."""
        preset = presets.get(self.preset)
        model = {**preset.model, **dict(self.overrides), "seed": self.seed}
        training = {
            "epochs": preset.epochs if self.epochs is None else self.epochs,
            "batch_size": preset.batch_size,
            "optimizer": "Adam",
            "learning_rate": preset.learning_rate,
            "decay": preset.decay,
            "seed": self.seed,
            "precision": "float32",
        }
        return {"model": model, "training": training}


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model and its record.

    Attributes:
        model: The `MixtureVAE`.
        history: The terms epoch by epoch, see `mvae_tf.training.train`.
        seconds: Training time, from the first epoch's begin to the last one's end.
        peak_memory: Of the process that trained, MiB.
    """

    model: object
    history: list[dict]
    seconds: float
    peak_memory: float


def trained(settings: Settings, data, runs_dir: Path) -> Run:
    """Return a trained model: from the store, or trained now, going on from a checkpoint.

    Args:
        settings: Of the run.
        data: What `mvae_tf.datasets.load` gives.
        runs_dir: The store.

    Raises:
        DamagedRunError: the stored model is damaged.
        OSError: the store can't be written.
    """
    resolved = settings.resolved()
    folder = runs_dir / _name(resolved, data)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if not (folder / "record.json").exists():
            _train(resolved, data, folder)
        return _load(folder)


def image_classifier(data, runs_dir: Path, epochs: int):
    """Return the classifier of a dataset's images: from the store, or trained now.

    Args:
        data: What `mvae_tf.datasets.load` gives, with labels.
        runs_dir: The store.
        epochs: Passes over the training images. While they last nothing is written.

    Returns:
        A `mvae_tf.image_classifiers.DatasetClassifier`.

    Raises:
        ClassifierError: the stored classifier is damaged.
        OSError: the store can't be written.
    """
    from mvae_tf import image_classifiers

    digest = _digest([data.digest, epochs, code_digest(_CLASSIFIER_CODE)])
    folder = runs_dir / f"{data.name}-classifier-epochs{epochs}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        return image_classifiers.trained_classifier(data, folder, epochs=epochs)


def _train(resolved, data, folder):
    from mvae_tf import training
    from mvae_tf.optimizers import FusedAdam

    protocol = resolved["training"]
    model = mvae_tf.MixtureVAE(**resolved["model"])
    model.compile(optimizer=FusedAdam(_learning_rate(protocol, len(data.train))))
    history = training.train(
        model,
        data.train,
        epochs=protocol["epochs"],
        batch_size=protocol["batch_size"],
        seed=protocol["seed"],
        directory=folder / "checkpoints",
    )
    aside = folder / "writing.keras"
    model.save(aside)
    os.replace(aside, folder / "model.keras")
    record = {
        "settings": resolved,
        "dataset": {"name": data.name, "digest": data.digest},
        "code": code_digest(),
        "model_sha256": _sha256(folder / "model.keras"),
        "seconds": round(sum(epoch["seconds"] for epoch in history), 3),
        "peak_memory_mib": _peak_memory(),
        "history": history,
    }
    write_text(folder / "record.json", json.dumps(record, indent=1))
    shutil.rmtree(folder / "checkpoints")


def _learning_rate(protocol, num_images):
    import keras

    if protocol["decay"] == "none":
        return protocol["learning_rate"]
    steps = protocol["epochs"] * -(-num_images // protocol["batch_size"])
    return keras.optimizers.schedules.CosineDecay(protocol["learning_rate"], steps)


def _load(folder):
    import keras

    path = folder / "model.keras"
    try:
        record = json.loads((folder / "record.json").read_text())
        if _sha256(path) != record["model_sha256"]:
            raise ValueError(f"{path.name} has another SHA-256 than when it was written")
    except (OSError, ValueError, KeyError) as error:
        raise DamagedRunError(
            f"The finished run in {folder} is damaged ({error}). Delete that folder, and the same "
            "command trains it again."
        ) from error
    own = {"MixtureVAE": mvae_tf.MixtureVAE}
    model = keras.models.load_model(path, custom_objects=own, compile=False)
    return Run(model, record["history"], record["seconds"], record["peak_memory_mib"])


def code_digest(modules: tuple[str, ...] = _CODE) -> str:
    """Return the SHA-256 of the code that trains; comments, docstrings and layout don't count."""
    package = Path(mvae_tf.__file__).parent
    total = hashlib.sha256()
    for name in modules:
        tree = ast.parse((package / f"{name}.py").read_text())
        for node in ast.walk(tree):
            documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            if documented and ast.get_docstring(node) is not None:
                node.body[0] = ast.Pass()
        total.update(ast.unparse(tree).encode())
    return total.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it: a reader sees the old content or the new, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _name(resolved, data):
    digest = _digest([resolved, data.digest, code_digest()])
    model, protocol = resolved["model"], resolved["training"]
    return (
        f"{data.name}-K{model['num_components']}-d{model['latent_dim']}"
        f"-epochs{protocol['epochs']}-seed{protocol['seed']}-{digest}"
    )


def _digest(key):
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _peak_memory():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


@contextlib.contextmanager
def _locked(path):
    """Wait until no other process trains this run: two scripts may want the same one at once."""
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Waiting for another process that trains {path.parent.name}.", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
