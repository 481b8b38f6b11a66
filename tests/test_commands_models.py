"""The commands that use a trained model, on the images that it was trained on."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from small_runs import SMALL

import mvae_tf
from mvae_tf import evaluation
from mvae_tf.commands import info, program
from mvae_tf.training import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on digits; its path has blanks."""
    folder = tmp_path_factory.mktemp("runs") / "a small run"
    flags = ["--data=digits", "--epochs=2", "--precision=float32", f"--output_dir={folder}"]
    assert program.main(["train", *flags, *SMALL]) == 0
    return folder


@pytest.fixture(scope="module")
def model(run):
    return run_folder.load(run).model


def test_evaluate_measures_what_it_says(call, run, model, digits):
    status, out, _ = call("evaluate", f"--model={run}", "--json", "--num_samples=5", "--seed=1")
    result = json.loads(out)
    images = digits.test.float_images()
    mse = ((model.reconstruct(images).numpy() - images) ** 2).sum(axis=(1, 2, 3)).mean()
    components = model.component_reconstructions(images).numpy() - images[:, None]
    knn = KNeighborsClassifier(5)
    knn.fit(model.features(digits.train.float_images()).numpy(), digits.train.labels)
    likelihood = evaluation.mean_log_likelihood(model, digits.test, num_samples=5, seed=1)
    assert status == 0
    assert result["data"]["digest"] == digits.digest and result["data"]["images"] == 297
    assert result["mse"] == pytest.approx(mse, rel=1e-5)
    assert result["mse_per_pixel"] == pytest.approx(mse / 64, rel=1e-5)
    assert result["mse_sampled"] > 0
    np.testing.assert_allclose(
        result["component_mse"], (components**2).sum(axis=(2, 3, 4)).mean(axis=0), rtol=1e-5
    )
    weights = model.encode(images).w.mean().numpy().mean(axis=0)
    np.testing.assert_allclose(result["mean_weights"], weights, rtol=1e-5)
    assert result["log_likelihood"] == {
        "mean": likelihood.mean, "standard_error": likelihood.standard_error, "num_samples": 5
    }  # fmt: skip
    score = 100 * knn.score(model.features(images).numpy(), digits.test.labels)
    assert result["knn_accuracy"] == pytest.approx(score, abs=0.35)  # ties may fall either way


def test_evaluate_prints_a_table_of_the_same(call, run):
    data = ["--num_samples=0", "--part=train"]
    table = call("evaluate", f"--model={run}", *data)[1]
    result = json.loads(call("evaluate", f"--model={run}", *data, "--json")[1])
    assert result["log_likelihood"] is None and result["knn_accuracy"] is None
    assert "1,500 training images of digits" in table
    for value in (result["mse"], result["mse_sampled"], *result["component_mse"]):
        assert f"{value:.4g}" in table


def test_a_run_of_the_reproducing_scripts_is_a_run(call, run, tmp_path):
    """It has no settings.json; the images are those that its record names."""
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "settings.json").unlink()
    shutil.rmtree(folder / "checkpoints")
    status, out, _ = call("evaluate", f"--model={folder}", "--num_samples=0", "--json")
    assert status == 0 and json.loads(out)["data"]["name"] == "digits"
    assert "2 of 2 epochs" in call("info", f"--model={folder}")[1]
    record = (folder / "record.json").read_text()
    (folder / "record.json").write_text(record.replace('"name": "digits"', '"name": "mine"'))
    status, _, err = call("evaluate", f"--model={folder}")
    assert status == 2 and "Expected --data" in err
    (folder / "record.json").write_text(record[:-50])
    for command in ("evaluate", "info"):
        status, _, err = call(command, f"--model={folder}")
        assert status == 1 and "is damaged" in err


def test_evaluate_takes_other_images(call, run, tmp_path):
    path = tmp_path / "few images.npz"
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.random((4, 8, 8), np.float32), labels=np.arange(4))
    status, out, err = call(
        "evaluate", f"--model={run / 'model.keras'}", f"--data={path}", "--json",
        "--test_fraction=0.25",
    )  # fmt: skip
    result = json.loads(out)
    assert status == 0 and result["data"]["images"] == 1
    # One image has no standard error, four labels no neighbours.
    assert result["log_likelihood"]["standard_error"] is None
    assert result["knn_accuracy"] is None and "No KNN accuracy" in err


def test_evaluate_needs_images_that_fit(call, run, tmp_path):
    status, _, err = call("evaluate", f"--model={run / 'model.keras'}")
    assert status == 2 and "Expected --data" in err
    status, _, err = call("evaluate", f"--model={run}", "--data=patches")
    assert status == 1 and "(8, 8, 1)" in err and "(32, 32, 3) in patches" in err


def test_reconstruct_writes_arrays_a_picture_or_a_folder(call, run, model, digits, tmp_path):
    def reconstruct(name, *flags):
        return call("reconstruct", f"--model={run}", f"--output={tmp_path / name}", *flags)

    assert reconstruct("new folder/r.npz", "--count=3")[0] == 0
    images = digits.test.float_images(0, 3)
    with np.load(tmp_path / "new folder" / "r.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], images)
        np.testing.assert_array_equal(arrays["labels"], digits.test.labels[:3])
        np.testing.assert_allclose(arrays["mixture"], model.reconstruct(images), atol=1e-6)
        components = model.component_reconstructions(images).numpy()
        np.testing.assert_allclose(arrays["components"], components, atol=1e-6)
        assert arrays["weights"].shape == (3, 2) and arrays["codes"].shape == (3, 2, 3)
    assert reconstruct("r.png")[0] == 0
    assert Image.open(tmp_path / "r.png").size[0] > 8 * 10
    status, out, _ = reconstruct("pictures", "--count=2", "--part=train")
    assert status == 0 and out.startswith(str(tmp_path / "pictures"))
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    kinds = ("image", "mixture", "component_1", "component_2")
    assert names == {f"0000{number}_{kind}.png" for number in (0, 1) for kind in kinds}
    pixels = np.asarray(Image.open(tmp_path / "pictures" / "00001_image.png"))
    np.testing.assert_array_equal(pixels, digits.train.images[1, ..., 0])


def test_outputs_replace_files_but_no_folders(call, run, tmp_path):
    def sample(name, *flags):
        return call("sample", f"--model={run}", f"--output={tmp_path / name}", "--count=2", *flags)

    (tmp_path / "s.npz").write_text("old")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert sample("s.npz")[0] == 0
    status, _, err = sample("full")
    assert status == 2 and "--overwrite" in err
    assert sample("full", "--overwrite")[0] == 0
    names = ["00000.png", "00001.png", "mine.txt"]
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == names
    status, _, err = sample("s.jpg")
    assert status == 2 and "s.jpg" in err
    status, _, err = sample("s.npz/inside.png")
    assert status == 1 and "s.npz" in err
    assert {path.name for path in tmp_path.iterdir()} == {"s.npz", "full"}


def test_sample_draws_from_the_prior(call, run, model, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        flags = [f"--seed={seed}", "--count=5", f"--output={tmp_path / name}.npz"]
        assert call("sample", f"--model={run / 'model.keras'}", *flags)[0] == 0
    a, b, c = (np.load(tmp_path / f"{name}.npz")["images"] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3
    np.testing.assert_allclose(a, model.sample(5, seed=3), atol=1e-6)


def test_images_of_many_channels_have_no_picture(call, tmp_path):
    path = tmp_path / "m.keras"
    mvae_tf.MixtureVAE((8, 8, 2), 1, 2, (4,)).save(path)
    for name in ("s.png", "folder"):
        status, _, err = call("sample", f"--model={path}", f"--output={tmp_path / name}")
        assert status == 1 and "2 channels; an .npz takes them" in err
    assert call("sample", f"--model={path}", f"--output={tmp_path / 's.npz'}")[0] == 0


def test_export_prints_the_version_and_its_signatures(call, run, model, digits, tmp_path):
    import tensorflow as tf

    serving = tmp_path / "serving"
    status, out, _ = call("export", f"--model={run}", f"--output={serving}", "--score_samples=2")
    version, *signatures = out.splitlines()
    assert status == 0 and version == str(serving / "1")
    assert "  reconstruct: images [-1, 8, 8, 1] -> reconstructions [-1, 8, 8, 1]" in signatures
    images = digits.test.float_images(0, 2)
    served = tf.saved_model.load(version).signatures["reconstruct"](images=tf.constant(images))
    np.testing.assert_allclose(served["reconstructions"], model.reconstruct(images), atol=1e-6)
    status, _, err = call("export", f"--model={run}", f"--output={version}")
    assert status == 1 and "exists" in err


def test_info_says_what_a_file_holds(call, run, model):
    described = json.loads(call("info", f"--model={run}", "--json")[1])
    assert described["state"] == "finished" and described["to_go_on"] is None
    assert described["epochs_done"] == described["epochs"] == 2
    assert described["file"]["parameters"] == model.count_params()
    assert described["file"]["precision"] == "float32"
    assert described["data"]["name"] == "digits" and described["versions"]["keras"]
    text = call("info", f"--model={run / 'model.keras'}")[1]
    assert f"{model.count_params():,} parameters" in text and "latent_dim 3" in text
    assert "precision float32" in call("info", f"--model={run}")[1]
    assert info._listed({"image_shape": [8, 8, 1], "activation": ["elu", "tanh"]}) == (
        "image_shape 8x8x1, activation (elu, tanh)"
    )


def test_parameters_are_counted_without_the_optimizers(call, tmp_path):
    """Of a convolutional network, with moving averages, that has been compiled and trained."""
    own = mvae_tf.MixtureVAE((8, 8, 1), 1, 2, (4,), network="convolutional", seed=0)
    own.compile(optimizer="adam")
    own.fit(np.zeros((4, 8, 8, 1), np.float32), batch_size=4, verbose=0)
    own.save(tmp_path / "m.keras")
    described = json.loads(call("info", f"--model={tmp_path / 'm.keras'}", "--json")[1])
    assert described["parameters"] == own.count_params()
