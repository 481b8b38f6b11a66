"""What `encode`, `score`, `reconstruct` and `evaluate` write of new images."""

import csv
import os
import shutil

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from told import CLASSES, evaluated, save, table

import mvae_tf
from mvae_tf import evaluation, plots
from mvae_tf.datasets import new_images

# encode and score --------------------------------------------------------------------------------


def test_encode_writes_the_same_as_table_and_as_arrays(call, run, model, photos, tmp_path):
    for kind in ("npz", "csv"):
        flags = ["--part=all", f"--data={photos}", "--batch_size=7"]
        status, _, _ = call("encode", f"--model={run}", *flags, f"--output={tmp_path / 'c'}.{kind}")
        assert status == 0
    header, rows = table((tmp_path / "c.csv").read_text())
    codes = [f"code_{k}_{d}" for k in (1, 2) for d in (1, 2, 3)]
    assert header == ["file", "class", "weight_1", "weight_2", *codes]
    numbers = np.array([row[2:] for row in rows], np.float32)
    with np.load(tmp_path / "c.npz") as arrays:
        assert [row[0] for row in rows] == arrays["files"].tolist()
        np.testing.assert_array_equal(numbers[:, :2], arrays["weights"])
        np.testing.assert_array_equal(numbers[:, 2:], arrays["codes"].reshape(60, 6))
        images = new_images.load(photos, (8, 8, 1)).split.float_images()
        np.testing.assert_allclose(arrays["weights"], model.encode(images).w.mean(), rtol=1e-5)
    assert rows[0][:2] == ["cat/00.png", "cat"] and rows[-1][:2] == ["emu/18.png", "emu"]
    assert np.abs(numbers.std(axis=0)).min() > 0


def test_score_has_the_least_likely_first(call, run, model, twenty, tmp_path):
    data = shutil.copytree(twenty, tmp_path / "new")
    save(data / "anomaly.png", np.indices((8, 8)).sum(axis=0) % 2 * 255)
    flags = [f"--model={run}", f"--data={data}", "--num_samples=3", "--batch_size=8", "--seed=5"]
    status, out, _ = call("score", *flags)
    header, rows = table(out)
    assert status == 0 and header == ["file", "log_likelihood"]
    assert rows[0][0] == "anomaly.png" and len(rows) == 21
    scores = np.array([float(row[1]) for row in rows])
    assert np.all(np.diff(scores) >= 0)
    split = new_images.load(data, (8, 8, 1)).split
    likelihood = evaluation.mean_log_likelihood(model, split, num_samples=3, batch_size=8, seed=5)
    assert scores.mean() == pytest.approx(likelihood.mean, rel=1e-6)
    each = evaluation.log_likelihoods(model, split, num_samples=3, batch_size=8, seed=5)
    by_file = dict(zip(sorted(path.name for path in data.iterdir()), each, strict=True))
    np.testing.assert_allclose(scores, [by_file[file] for file, _ in rows], rtol=1e-6)
    assert call("score", *flags, f"--output={tmp_path / 's.csv'}")[0] == 0
    assert (tmp_path / "s.csv").read_text() == out


def test_names_of_any_bytes_are_kept(call, run, twenty, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    names = [b'a,"b".png', b"caf\xe9.png", "naïve\n.png".encode()]
    for name in names:
        shutil.copy(twenty / "00.png", os.fsencode(folder) + b"/" + name)
    flags = [f"--model={run}", f"--data={folder}"]
    assert call("encode", *flags, f"--output={tmp_path / 'c.csv'}")[0] == 0
    with open(tmp_path / "c.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        found = [os.fsencode(row[0]) for row in csv.reader(file)]
    assert found[1:] == names
    assert call("encode", *flags, f"--output={tmp_path / 'c.npz'}")[0] == 0
    with np.load(tmp_path / "c.npz") as arrays:
        assert [os.fsencode(name) for name in arrays["files"].tolist()] == names


@pytest.mark.parametrize(
    ("command", "output", "named"),
    [
        ("encode", "codes.txt", ".npz or .csv"),
        ("encode", "codes", ".npz or .csv"),
        ("score", "scores.npz", ".csv"),
    ],
)
def test_other_outputs_are_refused(call, run, tmp_path, command, output, named):
    status, _, err = call(command, f"--model={run}", f"--output={tmp_path / output}")
    assert status == 2 and f"ends in {named}. Received: " in err and output in err
    assert not any(tmp_path.iterdir())


# The picture, and what has a name ----------------------------------------------------------------


def test_the_picture_shows_all_classes_and_whose_error_it_says(
    call, run, photos, tmp_path, monkeypatch
):
    drawn = []
    draw = plots.image_rows
    monkeypatch.setattr(plots, "image_rows", lambda *args: drawn.append(args) or draw(*args))
    flags = [f"--model={run}", f"--data={photos}", "--part=all", f"--output={tmp_path / 'r.png'}"]
    assert call("reconstruct", *flags)[0] == 0
    assert call("reconstruct", *flags, "--count=1")[0] == 0
    (rows, labels, notes), (_, _, notes_of_one) = drawn
    assert labels == ["image", "mixture", "component 1", "component 2"]
    everything = new_images.load(photos, (8, 8, 1)).split
    shown = [
        int(np.flatnonzero([np.array_equal(a, b) for b in everything.float_images()])[0])
        for a in rows[0]
    ]
    assert len(shown) == 10 and set(everything.labels[shown]) == {0, 1, 2}
    assert notes[0] == "MSE of\nthese 10" and notes_of_one[0] == "MSE of\nthis image"
    assert notes[1:] == [f"{np.sum((row - rows[0]) ** 2) / 10:.2f}" for row in rows[1:]]


def test_accuracy_is_told_by_class(call, run, model, photos):
    result, _ = evaluated(call, f"--model={run}")
    data = mvae_tf.datasets.load(photos)
    knn = KNeighborsClassifier(5)
    knn.fit(model.features(data.train.float_images()).numpy(), data.train.labels)
    right = knn.predict(model.features(data.test.float_images()).numpy()) == data.test.labels
    names = list(CLASSES)
    expected = {
        names[label]: 100 * right[data.test.labels == label].mean()
        for label in np.unique(data.test.labels)
    }
    assert result["knn_class_accuracy"] == pytest.approx(expected)
    assert result["knn_accuracy"] == pytest.approx(100 * right.mean())
    text = call("evaluate", f"--model={run}", "--num_samples=0")[1]
    for name, accuracy in expected.items():
        assert f"  {name:20}{accuracy:10.2f} %" in text.splitlines()


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        ([0, 1], [-1, -1], "Received: -1"),
        ([-1, -1], [-1, -1], "Received: -1"),
        ([0, 1], [0, 2], "Received: [2] in the test labels alone"),
        ([0, 0], [0, 0], "Expected two or more classes"),
    ],
)
def test_labels_never_seen_leave_no_accuracy(call, run, digits, tmp_path, train, test, reason):
    data = tmp_path / "d.npz"
    np.savez(
        data,
        x_train=digits.train.images[:40],
        y_train=np.resize(train, 40),
        x_test=digits.test.images[:10],
        y_test=np.resize(test, 10),
    )
    result, err = evaluated(call, f"--model={run}", f"--data={data}")
    assert result["data"]["images"] == 10
    assert result["knn_accuracy"] is None and reason in result["no_knn_accuracy"]
    assert f"No KNN accuracy. {result['no_knn_accuracy']}" in err
    text = call("evaluate", f"--model={run}", f"--data={data}", "--num_samples=0")[1]
    assert "%" not in text
