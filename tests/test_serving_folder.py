"""Where an export goes: versions, what is in the way, failures, and other exporters."""

import os
import pathlib

import keras
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf import serving
from mvae_tf.serving import graphs


@pytest.fixture(scope="module")
def model():
    return mvae_tf.MixtureVAE((2, 2, 1), num_components=1, latent_dim=1, hidden_units=(1,))


@pytest.fixture
def writes(monkeypatch):
    """Exports in no time: an empty graph, one line of text. Calls what is in the list first."""
    before = []

    def save(module, folder, signatures):
        for each in before:
            each(pathlib.Path(folder))
        pathlib.Path(folder, "saved_model.pb").write_text("new")

    monkeypatch.setattr(graphs, "served", lambda *_: (tf.Module(), {}))
    monkeypatch.setattr(tf.saved_model, "save", save)
    return before


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_version_is_given_or_the_next_one(model, writes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export = lambda path: serving.export_saved_model(model, path)  # noqa: E731
    assert export("serving/mnist") == pathlib.Path("serving/mnist/1")
    assert export(pathlib.Path("serving/mnist/7/")) == pathlib.Path("serving/mnist/7")
    assert export(f"{tmp_path}/serving/mnist/") == tmp_path / "serving" / "mnist" / "8"
    assert export("serving/./mnist") == pathlib.Path("serving/mnist/9")
    assert export("serving/mnist/7/..") == pathlib.Path("serving/mnist/7/../10")
    assert export("3") == pathlib.Path("3") and export(".") == pathlib.Path("4")
    assert export("v2") == pathlib.Path("v2/1")
    (tmp_path / "old" / "0012").mkdir(parents=True)  # which a server reads as 12
    (tmp_path / "old" / "99-draft").mkdir()
    assert export("old") == pathlib.Path("old/13")
    versions = ["3", "4", "old/13", "serving/mnist/1", "serving/mnist/7", "v2/1"]
    assert set(versions) < set(tree(tmp_path))
    assert (tmp_path / "v2" / "1" / "saved_model.pb").read_text() == "new"
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("name", ["0", "01", "-1", "+1", " 1", "1 ", str(2**63), "٣"])
def test_doubtful_versions_are_refused(name, model, writes, tmp_path):
    with pytest.raises(ValueError, match="Expected the last part of path to be a name or a ver"):
        serving.export_saved_model(model, tmp_path / name)
    assert tree(tmp_path) == []


def test_an_existing_version_is_left_as_it_is(model, writes, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").write_text("a file")
    (tmp_path / "3").symlink_to(tmp_path / "nowhere")
    for version in "123":
        with pytest.raises(FileExistsError, match=f"{version}, which exists .* Take another"):
            serving.export_saved_model(model, tmp_path / version)
    assert tree(tmp_path) == ["1", "2", "3"]
    assert serving.export_saved_model(model, tmp_path).name == "4"


def test_a_folder_of_other_things_gets_no_version_among_them(model, writes, tmp_path):
    photos = tmp_path / "photos"
    for name in ("cats", "dogs"):
        (photos / name).mkdir(parents=True)
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match="Expected a folder of versions.*holds cats, dogs"):
        serving.export_saved_model(model, photos)
    assert tree(tmp_path) == before
    numbered = tmp_path / "digits"
    for name in ("0", "1"):
        (numbered / name).mkdir(parents=True)
        (numbered / name / "a.png").touch()
    with pytest.raises(FileExistsError, match="Expected a folder of versions.*holds 0, 1"):
        serving.export_saved_model(model, numbered)
    (numbered / "3").mkdir()  # a class without images yet
    with pytest.raises(FileExistsError, match="Expected a folder of versions.*holds 0, 1, 3"):
        serving.export_saved_model(model, numbered)
    (numbered / "3").rmdir()
    (numbered / "2").write_text("no folder")
    with pytest.raises(FileExistsError, match="Expected a folder of versions.*holds 0, 1, 2"):
        serving.export_saved_model(model, numbered)
    assert serving.export_saved_model(model, photos / "1") == photos / "1"  # meant so
    assert serving.export_saved_model(model, photos) == photos / "2"
    (tmp_path / "empty" / ".cache").mkdir(parents=True)
    assert serving.export_saved_model(model, tmp_path / "empty").name == "1"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_nothing_is_seen_before_the_end_and_nothing_is_left_after_a_failure(
    error, model, writes, tmp_path
):
    seen = []

    def fail(folder):
        (folder / "variables").mkdir()
        seen.extend(path.name for path in tmp_path.iterdir())
        raise error

    (tmp_path / ".export-of-a-killed-process").mkdir()
    writes.append(fail)
    for path in (tmp_path, tmp_path / "1"):
        with pytest.raises(type(error)):
            serving.export_saved_model(model, path)
    # Servers take folders whose name is a number.
    assert len(seen) == 4 and not any(name.isdigit() for name in seen)
    assert tree(tmp_path) == [".export-of-a-killed-process"]
    writes.clear()
    assert serving.export_saved_model(model, tmp_path).name == "1"


def test_of_two_exporters_each_gets_a_version_of_its_own(model, writes, tmp_path):
    def faster(_):
        writes.clear()
        others.append(serving.export_saved_model(model, tmp_path / "next"))

    others = []
    writes.append(faster)
    mine = serving.export_saved_model(model, tmp_path / "next")
    assert (others[0].name, mine.name) == ("1", "2")

    writes.append(lambda _: (writes.clear(), serving.export_saved_model(model, "1")))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(FileExistsError, match="exists and"):
        patch.chdir(tmp_path)
        serving.export_saved_model(model, "1")
    assert tree(tmp_path / "1") == ["saved_model.pb"]
    assert not list(tmp_path.rglob(".*"))


def test_a_version_that_appears_at_the_last_moment_is_kept(model, writes, tmp_path, monkeypatch):
    rename = pathlib.Path.rename

    def late(source, target):
        monkeypatch.setattr(pathlib.Path, "rename", rename)
        target.mkdir()
        (target / "saved_model.pb").write_text("the other's")
        return rename(source, target)

    for path, mine in ((tmp_path / "1", None), (tmp_path, "3")):
        monkeypatch.setattr(pathlib.Path, "rename", late)
        if mine:
            assert serving.export_saved_model(model, path).name == mine
        else:
            with pytest.raises(FileExistsError, match="Expected a new version"):
                serving.export_saved_model(model, path)
    for version, text in (("1", "the other's"), ("2", "the other's"), ("3", "new")):
        assert (tmp_path / version / "saved_model.pb").read_text() == text


def test_folders_that_cannot_be_written_are_named(model, writes, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "1", tmp_path / "file" / "mnist" / "1"):
        with pytest.raises(OSError, match="file"):
            serving.export_saved_model(model, path)
    assert tree(tmp_path) == ["file"]
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("the superuser can write anywhere")
    with pytest.raises(OSError, match="locked"):
        serving.export_saved_model(model, locked / "mnist" / "1")


def test_other_arguments_are_refused(model, writes, tmp_path):
    export = serving.export_saved_model
    with pytest.raises(ValueError, match="Expected model to be a MixtureVAE"):
        export(keras.Sequential(), tmp_path / "1")
    for samples in (0, -1, 2.5, True, None):
        with pytest.raises(ValueError, match="Expected score_samples to be an integer"):
            export(model, tmp_path / "1", score_samples=samples)
    with pytest.raises(ValueError, match="Expected path to be a local folder"):
        export(model, "gs://bucket/mnist/1")
    with pytest.raises(TypeError):
        export(model, 1)
    assert tree(tmp_path) == []
