"""What a rebuild works with: the data, trained models, and the account of what they took."""

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

import mvae_tf
import runs

# As few epochs as show that the mixtures beat the single VAE. The same for all scripts, so that
# they share models; None: the preset's own.
EPOCHS = {"paper": None, "quick": 2}


class Study:
    """One script's rebuild.

    Args:
        preset: "paper" or "quick".
        seeds: One training run each.
        data_dir: Where data is kept; None: TensorFlow Datasets' default.
        runs_dir: The run store.

    Attributes:
        data: MNIST.
        preset, seeds: As given.
    """

    def __init__(self, preset: str, seeds: list[int], data_dir: str | None, runs_dir: Path):
        self.seeds = seeds
        self.data = mvae_tf.datasets.load("mnist", data_dir=data_dir)
        self.preset, self._runs_dir = preset, runs_dir
        self._began, self._spent = time.monotonic(), 0.0
        self._runs: dict[runs.Settings, runs.Run] = {}

    def run(
        self,
        seed: int,
        *,
        preset: str = "paper_mnist",
        quick_epochs: int | None = None,
        **overrides,
    ) -> runs.Run:
        """Return a trained model, from the run store or trained now.

        Args:
            seed: Of the run.
            preset: Of `mvae_tf.presets`.
            quick_epochs: In place of the usual number under the quick preset.
            **overrides: Arguments of `MixtureVAE`.
        """
        epochs = EPOCHS[self.preset]
        if self.preset == "quick" and quick_epochs is not None:
            epochs = quick_epochs
        settings = runs.Settings(preset, tuple(sorted(overrides.items())), epochs, seed)
        if settings not in self._runs:
            told = ", ".join(f"{name}={value}" for name, value in sorted(overrides.items()))
            print(f"{preset}, {told}, seed {seed}", flush=True)
            began = time.monotonic()
            self._runs[settings] = runs.trained(settings, self.data, self._runs_dir)
            # Counted as if each model had been trained for this result alone.
            self._spent += self._runs[settings].seconds - (time.monotonic() - began)
        return self._runs[settings]

    def account(self) -> dict:
        """Return settings, data, environment and time, for the result's file.

        "settings" holds what all runs have in common; what differs is the result's to say.
        """
        resolved = [settings.resolved() for settings in self._runs]
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
        return {
            "preset": self.preset,
            "settings": common | {"seeds": self.seeds},
            "dataset": {
                "name": self.data.name,
                "source": self.data.source,
                "digest": self.data.digest,
            },
            "code": runs.code_digest(),
            "environment": environment(),
            "elapsed_seconds": round(elapsed, 1),
        }


def environment() -> dict:
    """Return what numbers and times may depend on."""
    import tensorflow as tf

    packages = ("tensorflow", "keras", "tensorflow-probability", "numpy", "scikit-learn")
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


def _processor():
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
