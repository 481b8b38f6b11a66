"""Full disks, at thirty points: one line that names the path, advice that works, nothing lost."""

import re
import shlex
import subprocess

import numpy as np
import pytest
from nursery import ENCODE, MAIN
from test_files import HAS_SMALL_DISKS

from mvae_tf.training import run_folder

SMALL = ["--num_components=2", "--latent_dim=3", "--hidden_units=16", "--seed=3"]
KIB = 1024

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SMALL_DISKS, reason="needs the right to mount a disk"),
]


class Disk:
    """A disk of some KiB, which can be made larger."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self._mount("size=4k")

    def resize(self, kib):
        self._mount(f"remount,size={kib}k")

    def _mount(self, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a disk")


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    yield disk
    subprocess.run(["umount", str(disk.folder)], check=True)


@pytest.fixture(scope="module")
def finished(nursery, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    ended = nursery.run(MAIN, *train(folder))
    assert ended.status == 0, ended.err
    return folder


def train(folder):
    return ["train", "--data=digits", "--epochs=3", f"--output_dir={folder}", *SMALL]


def size(folder):
    """Return how many KiB the files of a folder take on a disk."""
    return sum(-(-each.stat().st_size // 4096) * 4 for each in folder.rglob("*") if each.is_file())


def told(ended, path):
    """Check how a full disk is told; return the lines."""
    assert ended.status == 1 and "Traceback" not in ended.err, ended.err
    lines = [
        line for line in ended.err.splitlines() if "No space left" in line or "no space" in line
    ]
    assert len(lines) == 1 and str(path) in lines[0], ended.err
    return ended.err


@pytest.mark.parametrize("share", np.linspace(0.0, 0.95, 14))
def test_training(share, disk, finished, nursery):
    need = size(finished)
    disk.resize(max(4, int(share * need)))
    run = disk.folder / "run"
    ended = nursery.run(MAIN, *train(run))
    if ended.status == 0:
        pytest.skip("fits")  # what is needed at once is less than all that is there at the end
    advice = re.search(r"To go on: (.*)", told(ended, disk.folder))
    disk.resize(100 * KIB)
    # What it says, or the same once more where it says nothing else.
    command = shlex.split(advice[1]) if advice else ["mvae-tf", *train(run)]
    begin = command.index("train")
    ended = nursery.run(MAIN, *command[begin:])
    assert ended.status == 0, ended.err
    expected = run_folder.load(finished).model.get_weights()
    ours = run_folder.load(run).model.get_weights()
    for one, two in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("export", "serving"),
        ("sample", "samples.png"),
        ("sample", "samples.npz"),
        ("reconstruct", "pictures.png"),
        ("reconstruct", "arrays.npz"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9])
def test_outputs(command, name, share, disk, finished, nursery, tmp_path):
    flags = [command, f"--model={finished}"]
    if command == "sample":
        flags.append("--count=400")
    ended = nursery.run(MAIN, *flags, f"--output={tmp_path / name}")
    assert ended.status == 0, ended.err
    whole = tmp_path / name
    need = size(whole) if whole.is_dir() else -(-whole.stat().st_size // 4096) * 4
    # An empty disk takes no room for the folder itself.
    disk.resize(max(4, int(share * need) // 4 * 4))
    filler = disk.folder / "filler"
    if share == 0.0:
        filler.write_bytes(bytes(4096))
    flags.append(f"--output={disk.folder / name}")
    ended = nursery.run(MAIN, *flags)
    if ended.status == 0:
        pytest.skip("fits")
    told(ended, disk.folder)
    left = [each.name for each in disk.folder.iterdir() if each != filler]
    assert not [each for each in left if each != name] and not (disk.folder / name).is_file()
    disk.resize(100 * KIB)
    ended = nursery.run(MAIN, *flags)
    assert ended.status == 0, ended.err


def test_codes(disk, finished, nursery, tmp_path):
    program = tmp_path / "encode.py"
    program.write_text(ENCODE)
    for kib in (4, 12, 24, 40):
        disk.resize(kib)
        told(nursery.run(program, finished, disk.folder / "codes"), disk.folder)
        assert not list((disk.folder / "codes").glob("*"))
    disk.resize(100 * KIB)
    assert nursery.run(program, finished, disk.folder / "codes").status == 0
