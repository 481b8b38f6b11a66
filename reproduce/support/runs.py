"""The run store: settings in, trained model out; trained once and shared by all scripts.

A run is keyed by what its result depends on: the model's settings, the training protocol, the
data's digest and the version of what training computes (`mvae_tf.training.version`). What its
folder holds is said in `mvae_tf.training.run_folder`.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

from mvae_tf import presets
from mvae_tf.devices import strategies
from mvae_tf.training import run_folder, stored, version
from support.environments import environment, is_environment

_ENVIRONMENTS = "environments.json"  # in a run's folder
_NOTED = stored.Kind(
    "a list of environments",
    lambda noted: isinstance(noted, list) and all(map(is_environment, noted)),
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is trained with.

    Attributes:
        preset: Of `mvae_tf.presets`.
        overrides: Arguments of `MixtureVAE` that differ from the preset's, (name, value) pairs.
        epochs: Passes over the training images. None: the preset's.
        seed: Of the initial weights, the draws and the images' order.
        precision: Keras's dtype policy, never "auto": it is a part of the run's key.
        jit: "on" or "off", likewise, see `mvae_tf.training.jit`.
        protocol: "batch_size", "learning_rate" or "decay" that differ from the preset's, (name,
            value) pairs.
    """

    preset: str
    overrides: tuple[tuple[str, object], ...] = ()
    epochs: int | None = None
    seed: int = 0
    precision: str = "float32"
    jit: str = "off"
    protocol: tuple[tuple[str, object], ...] = ()

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
            "precision": self.precision,
            # Left out where it is off, as in all runs before there was a choice.
            **({} if self.jit == "off" else {"jit": self.jit}),
            **dict(self.protocol),
        }
        return {"model": model, "training": training}


@dataclasses.dataclass(frozen=True)
class StoredRun(run_folder.Run):
    """A run of the store.

    Attributes:
        environments: In which it was trained, see `environments`; several where a run was stopped
            on one machine and went on on another.
    """

    environments: list[dict]


def trained(settings: Settings, data, runs_dir: Path, strategy: str = "none") -> StoredRun:
    """Return a trained model: from the store, or trained now, going on from a checkpoint.

    Args:
        settings: Of the run.
        data: What `mvae_tf.datasets.load` gives.
        runs_dir: The store.
        strategy: Of `mvae_tf.devices.strategies`, by which it is trained if it has to be; no part
            of the key, but of the record.

    Raises:
        DamagedRunError: the stored model is damaged.
        LostWorkerError: another worker is gone.
        OSError: the store can't be written.
    """
    resolved = settings.resolved()
    folder = runs_dir / _name(resolved, data)
    with run_folder.locked(folder, wait=True, strategy=strategy):
        if not run_folder.is_done(folder, strategy):
            model = run_folder.build(resolved, len(data.train), strategy)
            if strategies.is_chief(strategy):
                _note_environment(folder)
            run_folder.train(model, resolved, data, folder)
        # Older runs don't say; as a rule a store stays on its machine.
        environments = _environments(folder) or [environment()]
        return StoredRun(**vars(run_folder.load(folder)), environments=environments)


def image_classifier(data, runs_dir: Path, epochs: int, strategy: str = "none"):
    """Return the classifier of a dataset's images: from the store, or trained now.

    Args:
        data: What `mvae_tf.datasets.load` gives, with labels.
        runs_dir: The store.
        epochs: Passes over the training images. While they last nothing is written.
        strategy: Of the script: it is trained on one device, of several workers by the chief.

    Returns:
        A `mvae_tf.evaluation.image_classifiers.DatasetClassifier`.

    Raises:
        ClassifierError: the stored classifier is damaged.
        LostWorkerError: another worker is gone.
        OSError: the store can't be written.
    """
    from mvae_tf.devices import distribution
    from mvae_tf.evaluation import image_classifiers

    digest = _digest([data.digest, epochs, version.CLASSIFIER_VERSION])
    folder = runs_dir / f"{data.name}-classifier-epochs{epochs}-{digest}"
    locked = run_folder.locked(folder, wait=True, strategy=strategy)
    with locked, distribution.chief_first(strategy):
        return image_classifiers.trained_classifier(data, folder, epochs=epochs)


def _environments(folder):
    try:
        noted = stored.read_json(folder / _ENVIRONMENTS)
        stored.require({"environments": noted}, {"environments": _NOTED})
        return noted
    except (FileNotFoundError, ValueError):
        return []


def _note_environment(folder):
    """Add the present environment to those that a run's folder knows."""
    noted, present = _environments(folder), environment()
    if present not in noted:
        run_folder.write_text(folder / _ENVIRONMENTS, json.dumps([*noted, present], indent=1))


def _name(resolved, data):
    digest = _digest([resolved, data.digest, version.TRAINING_VERSION])
    model, protocol = resolved["model"], resolved["training"]
    return (
        f"{data.name}-K{model['num_components']}-d{model['latent_dim']}"
        f"-epochs{protocol['epochs']}-seed{protocol['seed']}-{digest}"
    )


def _digest(key):
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
