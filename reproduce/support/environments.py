"""Where a number was made: software and machine."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path


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


def is_environment(value) -> bool:
    """Return whether a value that was stored is an `environment`."""
    texts = ("python", "machine", "processor")
    try:
        gpus, packages = value["gpus"], value["packages"]
        each = [*(value[name] for name in texts), *gpus, *packages.values()]
        return (
            isinstance(gpus, list) and type(value["cores"]) is int and {*map(type, each)} == {str}
        )
    except (TypeError, KeyError, AttributeError):
        return False


def machine(environment: dict) -> str:
    """Return an `environment`'s machine in words."""
    gpus, cores = environment["gpus"], environment["cores"]
    which = f"{len(gpus)} GPU{'s' * (len(gpus) > 1)} ({gpus[0]}) with " if gpus else ""
    return f"{which}{cores} core{'s' * (cores > 1)} ({environment['processor']})"


def machines(result: dict) -> list[str]:
    """Return the machines that a result was made on, in words; older results know of one."""
    return result.get("machines") or [machine(result["environment"])]


def listed(names: list[str]) -> str:
    """Return one or more machines, in words, as they stand in a sentence."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _processor():
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
