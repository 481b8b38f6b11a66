"""Each script's rebuild and text, on few images of MNIST's size and for one epoch."""

import importlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors

import mvae_tf
from mvae_tf import evaluation, plots, presets
from mvae_tf.training.version import TRAINING_VERSION
from support import additions, paper, study as study_module, texts


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def study(small_mnist, store, monkeypatch):
    data = mvae_tf.datasets.load(small_mnist)
    monkeypatch.setattr(mvae_tf.datasets, "load", lambda name, data_dir: data)
    monkeypatch.setitem(study_module.EPOCHS["mnist"], "quick", 1)
    return study_module.Study("quick", [0], None, store)


def rebuilt(name, study, tmp_path):
    """Rebuild as the script does, through JSON, and check what every result must have."""
    script = importlib.import_module(name)
    content, pictures = script.rebuild(study)
    result = json.loads(json.dumps(content | study.account() | {"command": f"python {name}.py"}))
    text = script.text(result)
    assert text.startswith("# ") and f"`python {name}.py`" in text
    assert result["training_version"] == TRAINING_VERSION
    assert result["settings"]["training"]["precision"] == "float32"
    for suffix, figure in pictures.items():
        path = tmp_path / f"{name}{suffix}.png"
        plots.save(figure, path)
        assert path.stat().st_size < 500_000
        assert f"({path.name})" in text
    assert set(re.findall(r"\((\w+\.png)\)", text)) == {path.name for path in tmp_path.iterdir()}
    return result, text


def test_another_precision_is_another_run_and_told(study, store):
    other = study_module.Study("quick", [0], None, store, precision="mixed_bfloat16")
    runs = {each: each.run(0, num_components=1, hidden_units=(8,)) for each in (study, other)}
    for each, policy in ((study, "float32"), (other, "mixed_bfloat16")):
        assert runs[each].model.dtype_policy.name == policy
        account = each.account()
        assert account["settings"]["training"]["precision"] == policy
        assert f" {policy}," in texts.origin(account | {"command": ""})


FIGURES = Path(__file__).parent.parent / "figures"


@pytest.mark.parametrize(
    "path", sorted(FIGURES.rglob("*.json")), ids=lambda path: str(path.relative_to(FIGURES))
)
def test_what_is_in_figures_can_be_printed(path):
    result = json.loads(path.read_text())
    text = importlib.import_module(path.stem).text(result)
    assert result["command"] in text and result["settings"]["training"]["precision"] in text


def test_fig1(study, tmp_path):
    result, _ = rebuilt("fig1_reconstructions", study, tmp_path)
    assert len(set(result["images"])) == 64
    model = study.run(0, num_components=4).model
    assert result["mse"] == evaluation.reconstruction_errors(model, study.data.test).mse


def test_fig2_forces_the_weights(study, tmp_path):
    result, text = rebuilt("fig2_components", study, tmp_path)
    model, test = study.run(0, num_components=4).model, study.data.test
    images = test.float_images()
    for k in range(4):
        forced = model.reconstruct(images, weights=np.eye(4)[k]).numpy()
        expected = ((forced - images) ** 2).sum(axis=(1, 2, 3)).mean()
        assert result["mse"][f"Component {k + 1}"]["mean"] == pytest.approx(expected, rel=1e-4)
    weights = [result["mean_weights"][f"Component {k + 1}"]["mean"] for k in range(4)]
    assert weights == pytest.approx(model.encode(images).w.mean().numpy().mean(axis=0), rel=1e-4)
    assert "than every component alone: undecided (one seed), in this reading" in text


def test_fig3(study, tmp_path):
    result, _ = rebuilt("fig3_latents", study, tmp_path)
    assert result["settings"]["model"]["latent_dim"] == 2
    assert list(result["between_digits"])[-1] == "VAE"
    assert all(0 < values["mean"] < 1 for values in result["between_digits"].values())
    weights = [values["mean"] for values in result["mean_weights"].values()]
    assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_fig4_is_knn_on_joined_codes(study, tmp_path):
    result, _ = rebuilt("fig4_components_sweep", study, tmp_path)
    assert list(result["accuracy"]) == ["4", "7", "10"]
    model, data = study.run(0, num_components=7).model, study.data
    knn = sklearn.neighbors.KNeighborsClassifier(5)
    knn.fit(model.features(data.train.float_images()).numpy(), data.train.labels)
    predicted = knn.predict(model.features(data.test.float_images()).numpy())
    expected = 100 * np.mean(predicted == data.test.labels)
    assert result["accuracy"]["7"]["mean"] == pytest.approx(expected, abs=1.01)


def test_table2_has_the_papers_cells(study, tmp_path):
    result, text = rebuilt("table2", study, tmp_path)
    for name, printed in paper.TABLE2.items():
        columns = [*paper.TABLE2_COLUMNS, "Mixture, `best_mnist`"]
        assert list(result["accuracy"][name]) == columns
        assert 20 < result["accuracy"][name][columns[-1]]["mean"] <= 100
        for column, value in zip(paper.TABLE2_COLUMNS, printed, strict=True):
            assert 20 < result["accuracy"][name][column]["mean"] <= 100
            assert f"({value:.2f})" in text
        assert f"- {name}: " in text
    assert result["num_samples"] == 64 and "64 samples" in text
    assert set(result["log_likelihood"]) == {"M-VAE", "VAE"}
    model, images = study.run(0, num_components=4).model, study.data.test.float_images()
    squared = np.square(images - model.reconstruct(images).numpy())
    expected = squared.sum(axis=(1, 2, 3)).mean()
    assert result["errors"]["M-VAE"]["mse"]["mean"] == pytest.approx(expected, rel=1e-4)
    assert result["neighbours"]["5"] == result["accuracy"]["KNN"]
    assert result["neighbours"]["15"] != result["neighbours"]["5"]
    assert list(result["errors"]) == ["M-VAE", "VAE", "Mixture, `best_mnist`"]


@pytest.mark.parametrize(
    "name", ["fig2_components", pytest.param("table2", marks=pytest.mark.slow)]
)
def test_a_seed_added_is_as_measured_with_the_first(name, study, store):
    def result(*seeds):
        each = study_module.Study("quick", seeds, None, store)
        content, _ = importlib.import_module(name).rebuild(each)
        return json.loads(json.dumps(content | each.account() | {"elapsed_seconds": 1.0}))

    grown = additions.Addition(result(0), {}).joined(result(1))
    whole = result(0, 1)
    assert grown == whole | {"elapsed_seconds": 2.0}
    assert importlib.import_module(name).text(whole | {"command": ""})


@pytest.mark.slow
def test_ablation_dhsic(study, tmp_path):
    result, text = rebuilt("ablation_dhsic", study, tmp_path)
    assert {"0", "1", "1000"} < set(importlib.import_module("ablation_dhsic").by_name(result))
    # What all rows share is among the settings; what differs is not.
    assert "dhsic_weight" not in result["settings"]["model"]
    assert result["settings"]["model"]["num_components"] == 4
    assert "That beta = 1 lowers the codes' dHSIC" in text


def test_separate_vaes_beside_the_ablation_of_dhsic(study):
    ablation = importlib.import_module("ablation_dhsic")
    content, _ = ablation.rebuild(study, [ablation.SEPARATE])
    (row,) = content["rows"]
    pool = [
        study.run(seed, num_components=1, epochs=study_module.ABLATION_EPOCHS) for seed in range(4)
    ]
    images = study.data.test.float_images()
    mean = np.mean([run.model.reconstruct(images).numpy() for run in pool], axis=0)
    assert row["mse"]["mean"] == pytest.approx(
        np.square(mean - images).sum((1, 2, 3)).mean(), rel=1e-5
    )
    assert row["entropy"]["mean"] == pytest.approx(np.log(4))
    codes = [run.model.features(images).numpy() for run in pool]
    centred = [each - each.mean(axis=0) for each in codes]
    pairs = [
        np.sum((one.T @ other) ** 2) / np.linalg.norm(one.T @ one) / np.linalg.norm(other.T @ other)
        for one, other in itertools.combinations(centred, 2)
    ]
    assert row["cka"]["mean"] == pytest.approx(np.mean(pairs), rel=1e-4)


@pytest.mark.slow
def test_ablation_readings(study, tmp_path):
    result, text = rebuilt("ablation_readings", study, tmp_path)
    rows = importlib.import_module("ablation_readings").ranked(result)
    assert sorted(row["rank"] for row in rows) == list(range(1, 8))
    best = min(rows, key=lambda row: row["rank"])
    assert best["rank_sum"] == min(row["rank_sum"] for row in rows)
    assert "paper_mnist" in text and "authors_mnist" in text


@pytest.mark.slow
def test_the_choice_of_a_reading_can_be_made_without_test_images(study, tmp_path, monkeypatch):
    script = importlib.import_module("readings_heldout")
    readings = script.ablation_readings
    monkeypatch.setattr(script, "HELD_OUT", 50)
    monkeypatch.setattr(readings, "QUICK", [list(readings.ROWS)[index] for index in (0, 3)])
    test, seen = study.data.test, []
    encode = evaluation.encode_split
    monkeypatch.setattr(
        evaluation, "encode_split", lambda model, split: seen.append(split) or encode(model, split)
    )
    result, text = rebuilt("readings_heldout", study, tmp_path)
    assert seen and all(split is not test for split in seen)
    assert result["dataset"]["test_images"] == 50 and "last 50 training images" in text
    assert "than every other reading: undecided (one seed), in this reading" in text


@pytest.mark.slow
def test_search_goes_from_the_best_to_the_best_and_sees_no_test_image(study, tmp_path, monkeypatch):
    search = importlib.import_module("search_mnist")
    monkeypatch.setattr(search, "VALIDATION_IMAGES", 50)
    test, whole = study.data.test, len(study.data.train)
    seen = []
    encode = evaluation.encode_split
    monkeypatch.setattr(
        evaluation, "encode_split", lambda model, split: seen.append(split) or encode(model, split)
    )
    result, text = rebuilt("search_mnist", study, tmp_path)
    assert all(split is not test for split in seen)
    assert {len(split) for split in seen} == {50, whole - 50}
    assert "the last 50 training images" in text and text.count("(chosen)") == 1
    assert "20 chose" in text and "20 chose" not in search.text(result | {"preset": "paper"})
    best, stages = {"model": {}, "protocol": {}}, {}
    for trial in result["trials"]:
        expected = trial["mse"]["mean"] * (100 - trial["knn"]["mean"])
        assert trial["score"]["mean"] == pytest.approx(expected)
        stages.setdefault(trial["stage"], []).append(trial)
    lowest = float("inf")
    for tried in stages.values():
        for trial in tried:
            for part, settings in best.items():
                assert settings.keys() <= trial[part].keys()
                assert len(trial[part].items() - settings.items()) <= 2
        winner = min(tried, key=lambda trial: trial["score"]["mean"])
        if winner["score"]["mean"] < lowest:
            lowest = winner["score"]["mean"]
            best = {part: winner[part] for part in best}
    assert result["chosen"] == best


@pytest.mark.slow
def test_a_vae_is_searched_in_the_same_way(study, tmp_path, monkeypatch):
    search = importlib.import_module("search_mnist")
    monkeypatch.setattr(search, "VALIDATION_IMAGES", 50)
    test, seen = study.data.test, []
    encode = evaluation.encode_split
    monkeypatch.setattr(
        evaluation, "encode_split", lambda model, split: seen.append(split) or encode(model, split)
    )
    result, text = rebuilt("search_vae", study, tmp_path)
    assert seen and all(split is not test for split in seen)
    assert result["settings"]["model"]["num_components"] == result["num_components"] == 1
    assert len(result["trials"]) == 8 and text.count("(chosen)") == 1
    assert "single VAE" in text.splitlines()[0] and "K = 1." in text
    scores = [trial["score"]["mean"] for trial in result["trials"]]
    best = result["trials"][int(np.argmin(scores))]
    assert result["chosen"] == {part: best[part] for part in ("model", "protocol")}


def test_a_vaes_search_varies_what_makes_another_vae():
    search = importlib.import_module("search_mnist")
    assert search.stages(4) is search.STAGES
    varied = {
        (part, name)
        for variants in search.stages(1).values()
        for changes in variants.values()
        for part, settings in changes.items()
        for name in settings
    }
    # With one component eq. 8 has one term, one weight and no other code to depend on.
    assert varied == {
        ("model", "likelihood"),
        ("model", "activation"),
        ("protocol", "learning_rate"),
        ("protocol", "decay"),
        ("protocol", "batch_size"),
    }


@pytest.mark.slow
def test_table2_has_a_vae_of_the_same_search(study, store):
    script = importlib.import_module("table2")
    chosen = {"model": {"likelihood": "bernoulli"}, "protocol": {"batch_size": 50}}
    content, _ = script.rebuild(study, {"chosen": chosen})
    result = json.loads(json.dumps(content | study.account() | {"command": "it"}))
    vae = study.run(
        0, preset="paper_mnist", protocol={"batch_size": 50}, num_components=1,
        likelihood="bernoulli",
    ).model  # fmt: skip
    expected = evaluation.reconstruction_errors(vae, study.data.test).mse
    assert result["errors"]["VAE, same search"]["mse"]["mean"] == expected
    assert list(result["accuracy"]["KNN"])[-1] == "VAE, same search"
    assert result["searched"] == chosen
    assert "Same search: what that search chooses" in script.text(result)


def test_best_mnist_is_what_the_search_chose():
    chosen = json.loads((FIGURES / "search_mnist.json").read_text())["chosen"]
    paper_mnist, best = presets.get("paper_mnist"), presets.get("best_mnist")
    assert best.model == {**paper_mnist.model, **chosen["model"]}
    protocol = {
        name: getattr(paper_mnist, name) for name in ("batch_size", "learning_rate", "decay")
    }
    assert {name: getattr(best, name) for name in protocol} == protocol | chosen["protocol"]
    assert best.epochs == paper_mnist.epochs


def test_distances_are_zero_at_the_printed_values():
    readings = importlib.import_module("ablation_readings")
    joined, *components, single = paper.TABLE2["KNN"]
    mixture = {
        "mse": {"mean": 13.44 + (11.54 - 13.44) / 2},
        "knn": {"mean": joined},
        "knn_components": [{"mean": value} for value in reversed(components)],
    }
    vae = {"mse": {"mean": 13.44}, "knn": {"mean": single}}
    assert readings._distances(mixture, vae) == pytest.approx({"table1": 0, "table2": 0})
    worse = mixture | {"knn": {"mean": joined - 6**0.5}}
    assert readings._distances(worse, vae)["table2"] == pytest.approx(1)
