"""What a rebuild works with: the data, trained models, and the account of what they took."""

import time
from collections.abc import Mapping
from pathlib import Path

import mvae_tf
from mvae_tf.training.version import TRAINING_VERSION
from support import runs
from support.environments import environment, machine

PRESETS = ("paper", "short", "quick")
# By dataset and preset, the same for all scripts, so that they share models. None: the preset's
# own. MNIST's quick ones are as few as show that the mixtures beat the single VAE.
EPOCHS = {"mnist": {"paper": None, "short": 10, "quick": 2}, "cifar10": {"paper": None, "quick": 3}}
# Of the paper's text, by which MNIST's models are trained where a script doesn't say it itself.
READINGS = ("paper_mnist", "authors_mnist")
# Three, where they take hours and not days: one decides nothing.
SEEDS = {"paper": (0,), "short": (0, 1, 2), "quick": (0,)}
# The ablations compare models with each other, and there are many.
ABLATION_EPOCHS = {"paper": 30}
UNSCORED = "none"  # for a classifier: rows without Inception scores
# Of the classifier whose opinion an Inception score is.
CLASSIFIER_EPOCHS = {"paper": 30, "quick": 2}
CIFAR10_TRAIN_IMAGES = 10_000  # Section V.C


def reading_of(result: Mapping) -> str:
    """Return the reading of a stored result; older ones don't say, and are of the first."""
    on_mnist = result.get("dataset", {}).get("name", "mnist") == "mnist"
    return result.get("reading", READINGS[0] if on_mnist else "paper_cifar10")


class Study:
    """One script's rebuild.

    Args:
        preset: Of `PRESETS`; of CIFAR-10 not "short".
        seeds: One training run each.
        data_dir: Where data is kept; None: TensorFlow Datasets' default.
        runs_dir: The run store.
        dataset: "mnist" or "cifar10". The quick preset takes patches of photographs in place of
            CIFAR-10: colour images of the same size, which need no download.
        split: Of CIFAR-10, see `mvae_tf.datasets.load`.
        classifier: Of images, for Inception scores: "cifar10" (trained on the dataset's training
            images), "inception" or `UNSCORED`.
        inception_weights: Path of Inception's weights file; None: Keras's, downloaded.
        precision: Keras's dtype policy of the models.
        jit: "on" or "off", whether their training steps are compiled.
        strategy: Of `mvae_tf.devices.strategies`, by which models are trained.
        reading: Of `READINGS`; on CIFAR-10 it is `paper_cifar10` in any case.
        row_seeds: Those of the rows of a result, by name, where a row has its own.

    Attributes:
        data: The dataset; of CIFAR-10, the paper's number of training images.
        reading: Of `mvae_tf.presets`.
        preset, seeds, dataset, precision, jit, strategy: As given.
    """

    def __init__(
        self,
        preset: str,
        seeds: list[int],
        data_dir: str | None,
        runs_dir: Path,
        *,
        dataset: str = "mnist",
        split: str = "standard",
        classifier: str = "cifar10",
        inception_weights: str | None = None,
        precision: str = "float32",
        jit: str = "off",
        strategy: str = "none",
        reading: str = READINGS[0],
        row_seeds: Mapping[str, list[int]] | None = None,
    ):
        self.reading = reading if dataset == "mnist" else f"paper_{dataset}"
        self.preset, self.seeds, self.dataset = preset, seeds, dataset
        self.precision, self.jit, self.strategy = precision, jit, strategy
        self._choices, self._row_seeds = {}, row_seeds or {}
        if dataset == "mnist":
            self.data = mvae_tf.datasets.load("mnist", data_dir=data_dir)
        elif preset == "quick":
            self.data = mvae_tf.datasets.load("patches")
        else:
            self._choices["split"] = split
            whole = mvae_tf.datasets.load("cifar10", data_dir=data_dir, split=split)
            self.data = whole.with_train(CIFAR10_TRAIN_IMAGES)
        self._runs_dir = runs_dir
        self._classifier, self._inception_weights = classifier, inception_weights
        self._began, self._spent = time.monotonic(), 0.0
        self._runs: dict[tuple[runs.Settings, str], runs.StoredRun] = {}  # and the data's digest
        self._checks = []

    def seeds_of(self, row: str) -> list[int]:
        """Return the seeds of a row, by its name."""
        return self._row_seeds.get(row, self.seeds)

    def check_first(self, check) -> None:
        """Have check(study) called before the first model is trained, its images chosen by then."""
        self._checks.append(check)

    def train_on(self, count: int) -> None:
        """From now on, train on the first `count` images at most."""
        self.data = self.data.with_train(min(count, len(self.data.train)))

    def hold_out(self, count: int) -> None:
        """Put the test images aside: the last training images stand in for them, from now on."""
        self.data = self.data.with_validation(count)

    def run(
        self,
        seed: int,
        *,
        preset: str | None = None,
        epochs: Mapping[str, int] | None = None,
        protocol: Mapping[str, object] | None = None,
        data=None,
        **overrides,
    ) -> runs.StoredRun:
        """Return a trained model, from the run store or trained now.

        Args:
            seed: Of the run.
            preset: Of `mvae_tf.presets`. Default: the study's reading.
            epochs: In place of the usual numbers, by the study's preset.
            protocol: As for `runs.Settings`, in place of the preset's.
            data: A `mvae_tf.datasets` dataset to train on. Default: the study's.
            **overrides: Arguments of `MixtureVAE`.
        """
        self._check()
        preset = preset or self.reading
        length = {**EPOCHS[self.dataset], **(epochs or {})}[self.preset]
        differing = tuple(sorted(overrides.items()))
        others = tuple(sorted((protocol or {}).items()))
        data = self.data if data is None else data
        settings = runs.Settings(preset, differing, length, seed, self.precision, self.jit, others)
        key = settings, data.digest
        if key not in self._runs:
            told = ", ".join(f"{name}={value}" for name, value in differing + others)
            print(f"{preset}, {told}, seed {seed}", flush=True)
            began = time.monotonic()
            self._runs[key] = runs.trained(settings, data, self._runs_dir, self.strategy)
            # Counted as if each model had been trained for this result alone.
            self._spent += self._runs[key].seconds - (time.monotonic() - began)
        return self._runs[key]

    def classifier(self):
        """Return the classifier of images chosen for Inception scores, None if they have none.

        See `mvae_tf.evaluation.image_classifiers`.

        Raises:
            ClassifierError: its weights are not there, or damaged.
        """
        self._choices["classifier"] = self._classifier
        self._check()
        if self._classifier == UNSCORED:
            return None
        if self._classifier == "inception":
            from mvae_tf.evaluation.image_classifiers import InceptionClassifier

            return InceptionClassifier(self._inception_weights)
        print("The classifier of images", flush=True)
        epochs = CLASSIFIER_EPOCHS[self.preset]
        began = time.monotonic()
        classifier = runs.image_classifier(self.data, self._runs_dir, epochs, self.strategy)
        self._spent += classifier.record["seconds"] - (time.monotonic() - began)
        return classifier

    def _check(self):
        while self._checks:
            self._checks.pop()(self)

    def account(self) -> dict:
        """Return settings, data, environment and time, for the result's file.

        "settings" holds what all runs have in common; what differs is the result's to say.
        "choices": the flags, by name, that this result depends on beside preset and seeds.
        "environment" is the one of the evaluation; "machines" are all that trained or evaluated.
        """
        resolved = [settings.resolved() for settings, _ in self._runs]
        first = resolved[0] if resolved else {"model": {}, "training": {}}
        common = {
            part: {
                name: value
                for name, value in first[part].items()
                if all(other[part].get(name, value) == value for other in resolved)
            }
            for part in first
        }
        elapsed = time.monotonic() - self._began + self._spent
        present = environment()
        environments = [each for run in self._runs.values() for each in run.environments]
        return {
            "preset": self.preset,
            "reading": self.reading,
            "settings": common | {"seeds": self.seeds},
            "dataset": {
                "name": self.data.name,
                "source": self.data.source,
                "digest": self.data.digest,
                "test": self.data.test_part,
                "train_images": len(self.data.train),
                "test_images": len(self.data.test),
            },
            "choices": dict(self._choices),
            "training_version": TRAINING_VERSION,
            "environment": present | {"strategy": self.strategy},
            "machines": list(dict.fromkeys(map(machine, [*environments, present]))),
            "elapsed_seconds": round(elapsed, 1),
        }
