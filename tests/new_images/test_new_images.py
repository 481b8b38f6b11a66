"""Which new images the commands take, and how they are made to fit a model."""

import shutil

import numpy as np
import pytest
from PIL import Image
from told import evaluated, save, table

import mvae_tf
from mvae_tf.datasets import new_images


@pytest.fixture(scope="module")
def colour_model(tmp_path_factory):
    """A model of images of 8x8x3, with its file."""
    path = tmp_path_factory.mktemp("models") / "colour.keras"
    model = mvae_tf.MixtureVAE((8, 8, 3), 2, 3, (8,), seed=0)
    model.save(path)
    return path, model


# Which images ------------------------------------------------------------------------------------


def test_a_new_folder_is_used_whole(call, run, model, twenty, digits):
    result, err = evaluated(call, f"--model={run}", f"--data={twenty}")
    assert result["data"]["images"] == 20 and result["data"]["part"] == "images"
    images = digits.test.float_images(0, 20)
    mse = np.sum((model.reconstruct(images).numpy() - images) ** 2) / 20
    assert result["mse"] == pytest.approx(mse, rel=1e-5)
    assert result["data"]["changes"] == [] and result["knn_accuracy"] is None
    assert "No KNN accuracy. Expected labels" in err
    held_out, _ = evaluated(call, f"--model={run}", f"--data={twenty}", "--part=test")
    assert held_out["data"]["images"] == 2
    text = call("evaluate", f"--model={run}", f"--data={twenty}", "--num_samples=0")[1]
    assert text.startswith(f"{run} on 20 images of twenty\n")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_image_is_enough(call, run, model, twenty, digits, tmp_path, kind):
    source = tmp_path / "one" / "photo.png"
    source.parent.mkdir()
    shutil.copy(twenty / "07.png", source)
    data = source if kind == "file" else source.parent
    output = tmp_path / "r.npz"
    status, out, _ = call("reconstruct", f"--model={run}", f"--data={data}", f"--output={output}")
    assert status == 0 and out == f"{output}: 1 image of {data.stem}, reconstructed\n"
    image = digits.test.float_images(7, 8)
    with np.load(output) as arrays:
        np.testing.assert_array_equal(arrays["images"], image)
        np.testing.assert_allclose(arrays["mixture"], model.reconstruct(image), atol=1e-6)
        assert arrays["files"].tolist() == ["photo.png"]
    assert "on 1 image of" in call("evaluate", f"--model={run}", f"--data={data}")[1]
    status, _, err = call("evaluate", f"--model={run}", f"--data={data}", "--part=test")
    assert status == 1 and "Expected at least 2 images" in err


def test_the_runs_own_images_are_tested_where_they_are_held_out(call, run, photos, tmp_path):
    """Named again, or moved, they are still those on which the model was trained."""
    data = mvae_tf.datasets.load(photos)
    moved = shutil.copytree(photos, tmp_path / "elsewhere")
    results = [
        evaluated(call, f"--model={run}", *flags)[0]
        for flags in ([], [f"--data={photos}"], [f"--data={moved}"])
    ]
    for result in results:
        assert result["data"]["images"] == len(data.test) == 6
        assert result["data"]["digest"] == data.digest
        assert result["mse"] == results[0]["mse"]
    (moved / "cat" / "99.png").write_bytes((moved / "cat" / "00.png").read_bytes())
    assert evaluated(call, f"--model={run}", f"--data={moved}")[0]["data"]["images"] == 61


@pytest.mark.parametrize(("part", "count"), [("test", 6), ("train", 54), ("all", 60)])
def test_parts_of_the_runs_own_images_have_their_files_names(
    call, run, model, photos, tmp_path, part, count
):
    output = tmp_path / "codes.npz"
    flags = [f"--model={run}", f"--part={part}", f"--output={output}"]
    seen = []
    for data in ([], [f"--data={photos}"]):
        assert call("encode", *flags, *data)[0] == 0
        with np.load(output) as arrays:
            files, labels = arrays["files"].tolist(), arrays["labels"]
            codes = dict(zip(files, arrays["codes"], strict=True))
            names = arrays["class_names"]
        assert len(codes) == count
        assert [file.split("/")[0] for file in files] == names[labels].tolist()
        seen.append(codes)
        some = [files[0], files[-1]]
        images = np.stack([np.asarray(Image.open(photos / file)) for file in some])
        features = model.features(np.float32(images[..., None]) / 255)
        np.testing.assert_allclose(
            [codes[file].ravel() for file in some], features, rtol=1e-5, atol=1e-6
        )
    assert sorted(seen[0]) == sorted(seen[1])


def test_data_with_a_test_part_of_its_own_is_tested_on_it(call, run, digits, tmp_path):
    for part, first, last in (("Train", 0, 30), ("val", 30, 34)):
        for index in range(first, last):
            name = str(index % 2)
            save(
                tmp_path / "d" / part / name / f"{index:02d}.png",
                digits.train.images[index, ..., 0],
            )
    data = f"--data={tmp_path / 'd'}"
    for flag, part in (
        ([], (4, "validation images")),
        (["--part=train"], (30, "training images")),
        (["--part=all"], (34, "images")),
    ):
        found = evaluated(call, f"--model={run}", data, *flag)[0]["data"]
        assert (found["images"], found["part"]) == part
    status, out, _ = call("encode", f"--model={run}", data, f"--output={tmp_path / 'c.csv'}")
    assert status == 0 and out == f"{tmp_path / 'c.csv'}: 4 images of d, encoded\n"
    _, rows = table((tmp_path / "c.csv").read_text())
    found = [("0", 30), ("0", 32), ("1", 31), ("1", 33)]
    assert [row[:2] for row in rows] == [[f"val/{name}/{at}.png", name] for name, at in found]


def test_arrays_have_their_labels_names_and_numbers(call, run, digits, tmp_path):
    path, output = tmp_path / "d.npz", tmp_path / "c.csv"
    images = digits.train.images[:25, ..., 0]
    for arrays, count in (
        ({"images": images, "labels": np.resize(["no", "yes"], 25)}, 25),
        ({"x_train": images[:20], "y_train": np.resize(["no", "yes"], 20)}
         | {"x_val": images[20:], "y_val": np.resize(["no", "yes"], 5)}, 5),
    ):  # fmt: skip
        np.savez(path, **arrays)
        assert call("encode", f"--model={run}", f"--data={path}", f"--output={output}")[0] == 0
        _, rows = table(output.read_text())
        expected = [[str(25 - count + at), "no" if at % 2 == 0 else "yes"] for at in range(count)]
        assert [row[:2] for row in rows] == expected


def test_idx_files_are_read_by_the_set_or_one_by_one(call, run, digits, tmp_path):
    head = np.array([0x803, 7, 8, 8], ">i4").tobytes()
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(head + digits.test.images[:7].tobytes())
    for data in (tmp_path, path):
        assert evaluated(call, f"--model={run}", f"--data={data}")[0]["data"]["images"] == 7


def test_count_takes_images_of_all_classes(call, run, photos, tmp_path):
    output = tmp_path / "r.npz"
    flags = [f"--model={run}", "--part=all", f"--data={photos}", f"--output={output}"]
    assert call("reconstruct", *flags, "--count=6")[0] == 0
    with np.load(output) as arrays:
        assert arrays["labels"].tolist() == [0, 0, 1, 1, 2, 2]
        assert [file[:3] for file in arrays["files"]] == ["cat"] * 2 + ["dog"] * 2 + ["emu"] * 2
    assert call("reconstruct", *flags)[0] == 0
    with np.load(output) as arrays:
        assert len(arrays["files"]) == 60
    result, _ = evaluated(call, f"--model={run}", "--count=3")
    assert result["data"]["images"] == 3 and result["data"]["part"] == "of the 6 test images"


# Their shape -------------------------------------------------------------------------------------


def test_grey_photographs_for_a_colour_model(call, colour_model, twenty, tmp_path):
    path, model = colour_model
    output = tmp_path / "codes.npz"
    status, _, err = call("encode", f"--model={path}", f"--data={twenty}", f"--output={output}")
    assert status == 0
    assert err == "20 images made colour: the grey value in each channel\n"
    grey = np.stack([np.asarray(Image.open(file)) for file in sorted(twenty.iterdir())])
    images = np.float32(grey[..., None]).repeat(3, -1) / 255
    with np.load(output) as arrays:
        np.testing.assert_allclose(
            arrays["codes"].reshape(20, -1), model.features(images), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("depth", [np.uint8, np.float32])
def test_colour_images_of_another_size_for_a_grey_model(call, run, tmp_path, depth):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    images = np.broadcast_to(colours[:, None, None], (4, 16, 12, 3))
    if depth == np.uint8:
        data = tmp_path / "colours"
        for number, image in enumerate(images):
            save(data / f"{number}.png", image)
        white = 1.0  # saved in colour, it is grey in every pixel
    else:
        data, white = tmp_path / "colours.npy", 1.0
        np.save(data, np.float32(images) / 255)
    output = tmp_path / "r.npz"
    status, _, err = call("reconstruct", f"--model={run}", f"--data={data}", f"--output={output}")
    assert status == 0
    made_grey = 3 if depth == np.uint8 else 4
    assert err.splitlines() == [
        "4 images resized to 8x8",
        f"{made_grey} images made grey: 0.299 red + 0.587 green + 0.114 blue",
    ]
    with np.load(output) as arrays:
        assert arrays["images"].shape == (4, 8, 8, 1)
        luma = arrays["images"].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(luma, [0.299, 0.587, 0.114, white], atol=0.5 / 255)
        assert arrays["images"].max() <= 1


def test_what_can_not_be_made_to_fit_is_refused_with_what_helps(call, run, colour_model, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 8, 8, 4), np.uint8))
    status, _, err = call("evaluate", f"--model={run}", f"--data={tmp_path / 'x.npy'}")
    assert status == 1 and "images of 1 channels" in err and "4 channels" in err
    assert "image_size" not in err
    status, _, err = call("evaluate", f"--model={colour_model[0]}", "--data=digits")
    assert status == 1 and "(8, 8, 3)" in err and "(8, 8, 1) in digits" in err
    status, _, err = call("evaluate", f"--model={run}", "--image_size=9x8")
    assert status == 2 and "Expected --image_size to be the model's, 8x8" in err
    status, _, err = call("score", f"--model={run}", f"--data={tmp_path / 'none'}")
    assert status == 1 and "which does not exist" in err
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    status, _, err = call("score", f"--model={run}", f"--data={tmp_path / 'x.png'}")
    assert status == 1 and "Expected a readable image" in err


def test_deep_images_keep_their_depth_beside_others(tmp_path):
    Image.fromarray(np.full((8, 8), 257, np.uint16)).save(tmp_path / "b.png")
    for name in ("a.png", "c.png"):
        save(tmp_path / name, np.full((8, 8), 51))
    images = new_images.load(tmp_path, (8, 8, 1)).split.float_images()
    np.testing.assert_allclose(images[:, 0, 0, 0], [0.2, 257 / 65535, 0.2], rtol=1e-6)


def test_images_are_resized_whole(tmp_path):
    pixels = np.repeat([0, 255], [12, 4])[:, None].repeat(20, axis=1)
    save(tmp_path / "a.png", pixels)
    np.save(tmp_path / "a.npy", np.float32([pixels]) / 255)
    for name in ("a.png", "a.npy"):
        new = new_images.load(tmp_path / name, (8, 10, 1))
        (image,) = new.split.float_images()
        assert image.shape == (8, 10, 1) and new.changes == ("1 image resized to 8x10",)
        assert image[:5].max() < 0.1 and image[7:].min() > 0.9
        assert image.mean() == pytest.approx(0.25, abs=0.02)


def test_streamed_they_are_the_same(call, run, photos, twenty, colour_model, tmp_path):
    """All of them, of another size, and of other channels; by `--stream`."""
    small = tmp_path / "small"
    for index, image in enumerate(np.random.default_rng(0).integers(256, size=(5, 6, 6, 3))):
        save(small / f"{index}.png", image)
    output = tmp_path / "r.npz"
    for model, data, count in (
        (run, twenty, 20),
        (run, small, 5),
        (run, photos, 6),
        (colour_model[0], twenty, 20),
    ):
        found = []
        for flag in ("--nostream", "--stream"):
            flags = [f"--model={model}", f"--data={data}", f"--output={output}", flag]
            assert call("reconstruct", *flags)[0] == 0
            with np.load(output) as arrays:
                found.append(dict(zip(arrays["files"], arrays["images"], strict=True)))
        assert len(found[0]) == count and found[0].keys() == found[1].keys()
        for file, image in found[0].items():
            np.testing.assert_array_equal(image, found[1][file])


@pytest.mark.parametrize("stream", ["--nostream", "--stream"])
def test_files_that_can_not_be_read_are_refused_or_passed_over(call, run, twenty, tmp_path, stream):
    data = shutil.copytree(twenty, tmp_path / "new")
    (data / "05.png").write_bytes(b"none")
    flags = [f"--model={run}", f"--data={data}", stream, "--num_samples=1"]
    status, _, err = call("score", *flags)
    assert status == 1 and "Expected a readable image" in err and "05.png" in err
    status, out, err = call("score", *flags, "--skip_unreadable")
    assert status == 0 and len(table(out)[1]) == 19
    assert "1 of 20 files can't be read" in err and "05.png" in err
    assert {row[0] for row in table(out)[1]} == {f"{n:02d}.png" for n in range(20) if n != 5}
