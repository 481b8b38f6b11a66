"""What `mvae-tf serve` makes of its flags, before a server starts."""

import importlib.util

import pytest

from mvae_tf.commands import program, serve
from mvae_tf.commands.support import arguments
from mvae_tf.commands.support.arguments import UsageError


@pytest.fixture
def versions(tmp_path):
    """A folder of versions, and of what is none."""
    for name in ("1", "9", "10", "11", "latest"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        if name != "11":
            (tmp_path / "photos" / name / "saved_model.pb").touch()
    return tmp_path / "photos"


def test_the_newest_version_is_served(versions):
    assert serve._version(versions) == versions / "10"
    assert serve._version(versions / "9") == versions / "9"
    assert serve._version(versions / "11") is None
    assert serve._version(versions / "nowhere") is None


@pytest.mark.parametrize(
    ("flags", "path", "name"),
    [
        ([], "serving/photos/3", "photos"),
        ([], "runs/my photos", "my-photos"),
        ([], "runs/photos.2024", "photos.2024"),
        ([], "models/m.keras", "m"),
        (["--name=a.b-c_1"], "serving/photos/3", "a.b-c_1"),
    ],
)
def test_a_model_has_a_name(tmp_path, flags, path, name):
    given = arguments.parse("", serve._define, [f"--model={path}", *flags])
    assert serve._name(given, tmp_path / path) == name


@pytest.mark.parametrize("name", ["", "a/b", "a:predict", "é", "-x", "a b"])
def test_a_name_has_to_fit_a_url(tmp_path, name):
    given = arguments.parse("", serve._define, ["--model=x", f"--name={name}"])
    with pytest.raises(UsageError, match="Expected --name to be letters and digits"):
        serve._name(given, tmp_path)


def test_without_kserve_it_is_said_how(versions, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "kserve" else found(name)
    )
    assert program.main(["serve", f"--model={versions}"]) == 1
    said = "mvae-tf serve: Expected KServe's model server."
    assert capsys.readouterr().err.startswith(said)
