"""Caches and streams of images, and commands on them, in situations that nobody means."""

import os
import struct
import zlib

import numpy as np
import pytest
from test_image_oddities import refusal, save

from mvae_tf import datasets, files
from mvae_tf.commands import program
from mvae_tf.datasets import new_images
from mvae_tf.datasets.formats import pixels


@pytest.fixture
def photos(tmp_path):
    """Four grey 8x8 PNGs."""
    folder = tmp_path / "photos"
    for index in range(4):
        save(folder / f"{index}.png", index)
    return folder


def _edited(path, place=200):
    """Change a byte, an hour later."""
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    later = path.stat().st_mtime_ns + 3600 * 10**9
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_cache_that_was_edited_is_made_anew(photos, tmp_path, capfd, suffix):
    """Its digest is that of the files, which its images would not have any more."""
    right = datasets.load(photos)
    cache = tmp_path / "cache"
    datasets.load(photos, cache=cache)
    (kept,) = cache.glob(f"*{suffix}")
    if suffix == ".npy":
        _edited(kept)
    else:
        kept.write_text(kept.read_text().replace(right.digest, "0" * 64))
    capfd.readouterr()
    again = datasets.load(photos, cache=cache)
    np.testing.assert_array_equal(again.train.images[:], right.train.images)
    assert again.digest == right.digest
    assert "are read once" in capfd.readouterr().err
    datasets.load(photos, cache=cache)
    assert capfd.readouterr().err == ""


def test_a_cache_that_is_edited_meanwhile_is_not_trained_on(photos, tmp_path):
    data = datasets.load(photos, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("*.npy")
    _edited(kept)
    with pytest.raises(OSError, match="Received: it is another by now. It is made anew"):
        data.train.images[:]


def test_a_cache_that_can_not_be_told_of_leaves_nothing(photos, tmp_path, monkeypatch):
    def write_text(path, text):
        raise files.WriteError("Expected room. Received: none.")

    monkeypatch.setattr(files, "write_text", write_text)
    with pytest.raises(files.WriteError):
        datasets.load(photos, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_cache_whose_lock_can_not_be_had_is_named(photos, tmp_path):
    datasets.load(photos, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("*.npy")
    kept.unlink()
    kept.with_suffix(".lock").unlink(missing_ok=True)
    kept.with_suffix(".lock").mkdir()
    assert ".lock to be written" in refusal(photos, error=OSError, cache=tmp_path / "cache")


@pytest.mark.parametrize("cached", [False, True])
def test_streamed_images_know_their_files(photos, tmp_path, cached):
    (photos / "1.png").write_bytes(b"none")
    options = {"cache": tmp_path / "cache"} if cached else {"stream": True}
    data = datasets.load(photos, skip_unreadable=True, **options)
    found = data.train.images.files() + data.test.images.files()
    assert sorted(found) == ["0.png", "2.png", "3.png"]
    images, order = data.train.images.joined(data.test.images)
    assert images.files() == sorted(found) == [found[place] for place in order]
    for image, name in zip(images, images.files(), strict=True):
        np.testing.assert_array_equal(image, pixels.read(photos / name))
    assert images.part([2, 0]).files() == ["3.png", "0.png"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on grey 8x8 images, three of which can be read."""
    folder = tmp_path_factory.mktemp("run")
    for index in range(3):
        save(folder / "photos" / f"{index}.png", index)
    (folder / "photos" / "1x.png").write_bytes(b"none")
    small = ["--num_components=1", "--latent_dim=2", "--hidden_units=4", "--precision=float32"]
    flags = [f"--data={folder / 'photos'}", f"--output_dir={folder / 'run'}", "--epochs=1"]
    assert program.main(["train", *flags, *small, "--skip_unreadable"]) == 0
    return folder / "run"


def _scores(capfd, *flags):
    """Return what `score` prints, and what it says beside."""
    capfd.readouterr()
    assert program.main(["score", "--num_samples=2", *flags]) == 0
    told = capfd.readouterr()
    return told.out.splitlines()[1:], told.err


def test_scores_are_the_same_streamed_and_have_names_where_files_are_passed_over(
    run, photos, tmp_path, capfd
):
    (photos / "1x.png").write_bytes(b"none")
    flags = [f"--model={run}", f"--data={photos}", "--skip_unreadable"]
    right, _ = _scores(capfd, *flags, "--nostream")
    assert {line.split(",")[0] for line in right} == {f"{index}.png" for index in range(4)}
    assert _scores(capfd, *flags, "--stream")[0] == right
    assert _scores(capfd, *flags, f"--cache={tmp_path / 'cache'}")[0] == right


@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_a_run_on_files_some_of_which_are_passed_over_knows_their_names(run, capfd, stream):
    lines, _ = _scores(capfd, f"--model={run}", "--part=all", *stream)
    assert {line.split(",")[0] for line in lines} == {"0.png", "1.png", "2.png"}


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--data="], "--data to be a path"),
        (["--data={photos}", "--cache="], "--cache to be a path"),
        (["--data={photos}", "--nostream", "--cache={photos}x"], "--cache and --nostream"),
        (["--data={photos}/0.png", "--cache={photos}x"], "--cache for"),
        (["--data={photos}/0.png", "--stream"], "--stream for"),
        (["--data=" + "x" * 300], "File name too long"),
    ],
)
def test_commands_say_which_flag_does_not_fit(run, photos, capfd, monkeypatch, flags, word):
    monkeypatch.chdir(photos)
    before = sorted(photos.iterdir())
    flags = [flag.format(photos=photos) for flag in flags]
    assert program.main(["score", f"--model={run}", *flags]) in (1, 2)
    first, *rest = capfd.readouterr().err.splitlines()
    assert "Expected " in first and "Received: " in first and word in first
    assert rest in ([], ["See mvae-tf score --help."])
    assert sorted(photos.iterdir()) == before


@pytest.mark.parametrize("stream", [False, True])
def test_files_that_can_not_be_read_are_told_the_way_out(photos, stream):
    (photos / "1.png").write_bytes(b"none")
    assert "(skip_unreadable passes over such files" in refusal(photos, stream=stream)
    with pytest.raises(ValueError, match="skip_unreadable passes over"):
        new_images.load(photos, (8, 8, 1))
    for skip in (False, True):
        with pytest.raises(ValueError, match=r"Expected a readable image.*\)\.$"):
            new_images.load(photos / "1.png", (8, 8, 1), skip_unreadable=skip)


def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(photos):
    side = struct.pack(">I", 60_000)
    chunks = ((b"IHDR", side + side + b"\x08\0\0\0\0"), (b"IDAT", b""), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, inside in chunks:
        sums = struct.pack(">I", zlib.crc32(kind + inside))
        content += struct.pack(">I", len(inside)) + kind + inside + sums
    (photos / "big.png").write_bytes(content)
    assert "3600000000 pixels" in refusal(photos)
    assert "a smaller copy can be read" in refusal(photos, stream=True)
