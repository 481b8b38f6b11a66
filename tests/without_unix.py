"""Imports all of the package where no module is that only Unix has, and trains one epoch on digits.

Argument: the run's folder, to be made. Prints the modules as JSON.
"""

import sys

import filelock  # noqa: F401
import psutil  # noqa: F401

# Those two have a side for each system; whatever comes after them has none.
HIDDEN = ("fcntl", "grp", "pwd", "resource", "termios")
for name in HIDDEN:
    sys.modules[name] = None  # an import of it now fails as on Windows

import importlib  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import pkgutil  # noqa: E402

import mvae_tf  # noqa: E402
from mvae_tf.commands import program  # noqa: E402

modules = [each.name for each in pkgutil.walk_packages(mvae_tf.__path__, "mvae_tf.")]
has_kserve = importlib.util.find_spec("kserve") is not None
for name in modules:
    if has_kserve or name.rpartition(".")[0] != "mvae_tf.server":
        importlib.import_module(name)
print(json.dumps(modules))
flags = ["--data=digits", "--epochs=1", "--num_components=2", "--hidden_units=16"]
status = program.main(["train", f"--output_dir={sys.argv[1]}", *flags])
if any(sys.modules[name] is not None for name in HIDDEN):
    sys.exit("Expected the modules to be hidden. Received: one that came back.")
sys.exit(status)
