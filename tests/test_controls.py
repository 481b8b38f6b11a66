"""The controls, on few images: against NumPy, and what is made of their numbers."""

import itertools
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors

import controls
import mvae_tf
from mvae_tf import presets
from support import (
    additions,
    claims,
    control_claims,
    ensembles,
    rows,
    single_vaes,
    study as study_module,
    summaries,
    verdicts,
)

SCRIPTS = Path(controls.__file__).parent


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def rebuilt(small_mnist, store):
    """The quick preset's result of a seed, its pictures and the study; its networks are small."""
    with pytest.MonkeyPatch.context() as patch:
        data = mvae_tf.datasets.load(small_mnist)
        patch.setattr(mvae_tf.datasets, "load", lambda name, data_dir: data)
        patch.setitem(study_module.EPOCHS["mnist"], "quick", 1)
        small = presets.get("paper_mnist")
        model = {**small.model, "hidden_units": (12, 12), "latent_dim": 3}
        patch.setitem(presets.PRESETS, "paper_mnist", mvae_tf.presets.Preset(model, 1, 50, 1e-3))
        study = study_module.Study("quick", [0], None, store)
        content, pictures = controls.rebuild(study)
        yield json.loads(json.dumps(content | study.account() | {"command": "it"})), pictures, study


def per_seed(result, model, measure):
    return result["rows"][0]["models"][model][measure]["per_seed"]


def test_ensembles_images_are_averaged_and_their_codes_joined(rebuilt):
    result, _, study = rebuilt
    pool = [study.run(seed, preset="paper_mnist", num_components=1).model for seed in range(4)]
    train, test = study.data.train, study.data.test
    images = test.float_images()
    mean = np.mean([model.reconstruct(images).numpy() for model in pool], axis=0)
    expected = np.square(mean - images).sum(axis=(1, 2, 3)).mean()
    assert per_seed(result, controls.ENSEMBLE, "mse") == [pytest.approx(expected, rel=1e-5)]
    alone = [mvae_tf.evaluation.reconstruction_errors(model, test) for model in pool]
    # The mean image is ahead of the mean model, by convexity; so it is at draws.
    assert expected < np.mean([each.mse for each in alone])
    (sampled,) = per_seed(result, controls.ENSEMBLE, "mse_sampled")
    assert sampled < np.mean([each.mse_sampled for each in alone]) and sampled != expected
    parts = [np.hstack([m.features(s.float_images()).numpy() for m in pool]) for s in (train, test)]
    knn = sklearn.neighbors.KNeighborsClassifier(5, algorithm="brute").fit(parts[0], train.labels)
    (accuracy,) = per_seed(result, controls.ENSEMBLE, "KNN")
    assert accuracy == pytest.approx(100 * np.mean(knn.predict(parts[1]) == test.labels), abs=1.01)


def test_an_ensemble_of_one_has_the_errors_of_its_model(rebuilt):
    *_, study = rebuilt
    mixture = study.run(0, preset="paper_mnist", num_components=4).model
    found = ensembles.errors([mixture], study.data.test, batch_size=30)
    expected = mvae_tf.evaluation.reconstruction_errors(mixture, study.data.test)
    assert found["mse"] == pytest.approx(expected.mse, rel=1e-5)
    assert found["mse_sampled"] == pytest.approx(expected.mse_sampled, rel=0.02)
    assert found["mse_sampled"] != pytest.approx(found["mse"], rel=1e-3)


def test_controls_are_what_they_are_called(rebuilt):
    result, _, study = rebuilt
    trained = {}
    for settings, _ in study._runs:
        model = settings.resolved()["model"]
        differing = ("num_components", "latent_dim", "kl_weight", "hidden_units", "seed")
        trained[tuple(model[name] for name in differing)] = study.run(
            settings.seed, preset=settings.preset, **dict(settings.overrides)
        ).model
    row = result["rows"][0]
    units = single_vaes.as_many_units("paper_mnist", 4)
    assert set(trained) == {
        (4, 3, 1.0, (12, 12), 0),
        *((1, 3, 1.0, (12, 12), seed) for seed in range(4)),
        (1, 12, 1.0, (12, 12), 0),
        (1, 3, 0.25, (12, 12), 0),
        (1, 12, 0.25, (12, 12), 0),
        (1, 3, 1.0, units, 0),
    }
    mixture, large = trained[4, 3, 1.0, (12, 12), 0], trained[1, 3, 1.0, units, 0]
    assert row["parameters"] == mixture.count_params()
    assert row["vae_parameters"] == large.count_params()
    assert row["vae_parameters"] == pytest.approx(row["parameters"], rel=0.03)
    errors = mvae_tf.evaluation.reconstruction_errors(
        trained[1, 12, 0.25, (12, 12), 0], study.data.test
    )
    assert per_seed(result, "VAE, KL weight 1/K, d times K", "mse") == [errors.mse]
    assert per_seed(result, "VAE, KL weight 1/K, d times K", "mse_sampled") == [errors.mse_sampled]
    alone = mvae_tf.evaluation.component_errors(mixture, study.data.test)
    assert per_seed(result, controls.COMPONENTS, "mse") == [pytest.approx(np.mean(alone))]


@pytest.mark.parametrize("count", [4, 10])
def test_a_vae_of_as_many_parameters_as_the_papers_mixture(count):
    """Of 2 x 500 units a VAE has by hand 663,541 in its encoder and 653,784 in its decoder."""
    units = single_vaes.as_many_units("best_mnist", count)
    usual = 663_541 + 653_784
    assert single_vaes.parameters("best_mnist", (500, 500)) == usual
    assert single_vaes.parameters("best_mnist", units) == pytest.approx(count * usual, rel=1e-3)


def test_ensembles_of_the_first_seeds_have_no_vae_in_common():
    sets = [set(ensembles.members(seed, 4)) for seed in range(4)]
    assert set().union(*sets) == set(range(16)) and all(len(each) == 4 for each in sets)
    assert ensembles.overlap([0, 1, 2, 3], 4) == 0 == ensembles.overlap([0], 10)


def test_larger_ensembles_share_members_and_it_is_known_how_many():
    sets = [set(ensembles.members(seed, 10)) for seed in range(3)]
    assert all(each <= set(range(16)) and len(each) == 10 for each in sets)
    shared = [len(one & other) / 10 for one, other in itertools.combinations(sets, 2)]
    assert ensembles.overlap([0, 1, 2], 10) == pytest.approx(np.mean(shared))
    assert 0 < np.mean(shared) < 0.5


def result_of(seeds, mixture, ensemble, vae, count=10):
    """A result with one row, of what each model has seed by seed; KNN is 100 - MSE."""

    def measured(values):
        accuracies = [100 - value for value in values]
        return {"mse": summaries.summary(values), "KNN": summaries.summary(accuracies)}

    models = {
        controls.MIXTURE: measured(mixture),
        controls.COMPONENTS: measured([0.0] * len(seeds)),  # no control
        controls.ENSEMBLE: measured(ensemble),
        single_vaes.VAE: measured(vae),
        "VAE, d times K": measured([value + 5 for value in vae]),
    }
    row = {"reading": "paper_mnist", "num_components": count, "models": models}
    return {
        "rows": [row | {"parameters": 1, "vae_parameters": 2}],
        "settings": {"seeds": seeds},
        "preset": "paper",
    }


def test_the_mixture_is_ahead_by_less_error_and_by_more_accuracy():
    result = result_of([0, 1, 2], [9.0, 9.2, 9.1], [10.0, 10.4, 10.3], [8.0, 8.1, 8.3])
    ahead = controls.compared(result, result["rows"][0])
    assert list(ahead) == [controls.ENSEMBLE, single_vaes.VAE, "VAE, d times K"]
    for measure in ("mse", "KNN"):
        shared = ensembles.overlap([0, 1, 2], 10)
        assert ahead[controls.ENSEMBLE][measure] == pytest.approx(
            verdicts.unpaired([-9.0, -9.2, -9.1], [-10.0, -10.4, -10.3], shared)
        )
        assert ahead[single_vaes.VAE][measure] == pytest.approx(
            verdicts.interval([-1.0, -1.1, -0.8])
        )


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, ["not run"] * 2),
        (
            result_of([0, 1, 2], [9, 9.2, 9.1], [12, 12.2, 12.1], [8, 8.1, 8.3]),
            ["supported", "contradicted"],
        ),
        (
            result_of([0, 1, 2], [9, 9.2, 9.1], [8, 10, 9.3], [12, 12.1, 12.3]),
            ["undecided", "supported"],
        ),
        (result_of([0], [9], [10], [8]), ["undecided (one seed)"] * 2),
        (result_of([0], [9], [10], [8], count=4), ["not run"] * 2),
    ],
)
def test_what_controls_say_of_the_claims(result, expected):
    judged = [
        claims.judged(claim, {"controls": result})
        for claim in control_claims.of_controls("paper", result)
        if claim.text.startswith("K = 10: a lower error than")
    ]
    assert [verdict for _, verdict in judged] == expected
    if result and "not run" not in expected:
        assert "than the best of them by" in judged[1][0]


def test_of_several_vaes_the_best_is_chosen_anew_for_each_seed():
    result = result_of([0, 1, 2], [9.0, 9.0, 9.0], [9.0] * 3, [8.0, 12.0, 8.0])
    models = result["rows"][0]["models"]
    models["VAE, d times K"] = {
        "mse": summaries.summary([12.0, 8.5, 12.0]),
        "KNN": summaries.summary([88.0, 91.5, 88.0]),
    }
    for measure in ("mse", "KNN"):
        ahead = controls.ahead_of_best(result["rows"][0], measure)
        assert ahead == pytest.approx(verdicts.interval([-1.0, -0.5, -1.0]))


def test_rows_are_the_preset_s_and_any_other_that_was_run():
    shown = {claim.text.partition(":")[0] for claim in control_claims.of_controls("quick", None)}
    assert shown == {"K = 4"}
    result = result_of([0], [9], [10], [8])
    result["rows"][0]["reading"] = "authors_mnist"
    readings = {claim.reading for claim in control_claims.of_controls("paper", result)}
    assert readings == {"`paper_mnist`", "`authors_mnist`"}


def test_a_lead_is_of_less_error_and_of_more_accuracy():
    result = result_of([0, 1, 2], [9.0, 9.2, 9.1], [9.5, 9.6, 9.8], [10.0, 10.4, 10.3])
    found = controls.lead(result, result["rows"][0])
    shared = ensembles.overlap([0, 1, 2], 10)
    expected = verdicts.unpaired([19.0, 19.6, 19.4], [19.0, 19.2, 19.6], shared)
    for measure in ("mse", "KNN"):
        assert found[measure].share == pytest.approx(1.8 / 3.4)
        assert found[measure].larger == pytest.approx(expected)
    # Components alone have an error of 0, and an accuracy of 100.
    assert found["mse"].components == pytest.approx(verdicts.interval([10.0, 10.4, 10.3]))
    assert found["mse"].joining.mean == pytest.approx(-9.1 - (10.2333 - 9.6333), abs=1e-3)
    assert found["KNN"].joining == pytest.approx(found["mse"].joining)


def test_text_has_each_row_and_says_what_was_not_run(rebuilt):
    result, pictures, _ = rebuilt
    text = controls.text(result)
    of_its_lead = [line for line in text.splitlines() if line.startswith("| share that K VAEs")]
    assert len(of_its_lead) == 1
    assert list(pictures) == [""] and "(controls.png)" in text
    assert "### paper_mnist, K = 4\n" in text and "Not run" not in text
    assert "undecided (one seed)" in text and "linear SVM" not in text
    for name, values in result["rows"][0]["models"].items():
        assert f"| {name} " in text and f" {values['mse']['mean']:.2f} |" in text
    command = "python reproduce/controls.py --seeds=1 --rows=paper:4@0 --jit=off"
    paper = controls.text(result | {"preset": "paper", "command": command})
    joining = "python reproduce/controls.py --seeds=1 --jit=off --rows=paper:10 --add"
    assert f"### paper_mnist, K = 10\n\nNot run: `{joining}`." in paper


def test_the_text_and_the_picture_say_that_training_was_shorter_than_the_papers(rebuilt):
    result, _, _ = rebuilt
    training = result["settings"]["training"]
    for epochs, says in ((10, True), (100, False)):
        changed = {**result["settings"], "training": {**training, "epochs": epochs}}
        told = {**result, "preset": "short", "settings": changed}
        text = controls.text(told)
        assert ("**10 epochs, not the paper's length** of 100" in text) == says
        assert "K = 10" not in text  # no row of this preset
        (legend,) = controls.pictures(told)[""].legends
        (name,) = (each.get_text() for each in legend.get_texts())
        assert name == "paper_mnist, K = 4" + ", 10 epochs" * says


def flags_of(name, tmp_path, *flags, shown="command_line.seeds()"):
    """What a script makes of its flags; its rebuild is one that shows it and ends."""
    script = f"""
import sys
sys.argv[0] = {str(SCRIPTS / name)!r} + ".py"
sys.path.insert(0, {str(SCRIPTS)!r})
import runpy
from support import command_line, scripts
def shown(*_):
    print(command_line.output_dir().name, {shown})
    sys.exit(0)
scripts._rebuild = shown
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    command = [sys.executable, "-c", script, *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--preset=short"], "short [0, 1, 2]"),
        (["--preset=short", "--seeds=3"], "short [3]"),
        (["--preset=quick"], "quick [0]"),
        ([], "figures [0]"),
    ],
)
def test_seeds_are_the_preset_s_where_none_are_given(flags, expected, tmp_path):
    finished = flags_of("controls", tmp_path, *flags)
    assert finished.stdout == f"{expected}\n", finished.stderr


@pytest.mark.parametrize("name", ["table1", "all"])
def test_a_preset_that_a_script_does_not_know_is_refused(name, tmp_path):
    finished = flags_of(name, tmp_path, "--preset=short")
    assert finished.returncode == 1
    told = finished.stdout + finished.stderr
    assert "Expected --preset among paper, quick. Received: short." in told


def test_the_short_preset_is_ten_epochs_of_the_paper_s_protocol(tmp_path, monkeypatch):
    data = types.SimpleNamespace(train=range(60_000), digest="0")
    monkeypatch.setattr(mvae_tf.datasets, "load", lambda name, data_dir: data)
    trained = []

    def record(settings, data, *_):
        trained.append((settings.resolved(), len(data.train)))
        raise InterruptedError

    monkeypatch.setattr(study_module.runs, "trained", record)
    study = study_module.Study("short", [2], None, tmp_path)
    with pytest.raises(InterruptedError):
        controls.rebuild(study)
    ((resolved, images),) = trained
    preset = presets.get("paper_mnist")
    assert images == 60_000
    assert resolved["model"] == {**preset.model, "num_components": 4, "seed": 2}
    assert resolved["training"]["epochs"] == 10
    assert resolved["training"]["batch_size"] == preset.batch_size


def test_a_seed_added_joins_those_stored(rebuilt):
    result, _, _ = rebuilt
    other = json.loads(json.dumps(result))
    del other["command"]
    other["settings"]["seeds"] = other["rows"][0]["seeds"] = [1]
    known = rows.Rows(controls.ROWS, controls.by_name, own_seeds=True)
    grown = additions.Addition(result, {}, known, ["paper:4"], {"paper:4": [1]}).joined(other)
    assert grown["settings"]["seeds"] == grown["rows"][0]["seeds"] == [0, 1]
    assert len(per_seed(grown, controls.MIXTURE, "mse")) == 2
    assert "ensembles share" not in controls.text(grown | {"command": "it"})
    assert controls.pictures(grown)[""].axes
