"""What only Unix has is not needed: hidden in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import mvae_tf
from mvae_tf.training import run_folder

SCRIPT = Path(__file__).with_name("without_unix.py")


def test_imports_and_trains_without_what_only_unix_has(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, SCRIPT, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    root = Path(mvae_tf.__file__).parent
    modules = {path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__") for path in modules} - {"mvae_tf"}
    assert set(json.loads(done.stdout.splitlines()[0])) == names
    record = run_folder.read_record(folder)
    assert len(record["history"]) == 1 and record["peak_memory_mib"] > 100
    assert not run_folder.is_busy(folder)
