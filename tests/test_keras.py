"""What Keras hands to a model and asks of it beyond plain training, compiled by XLA and not."""

import concurrent.futures
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from recycled import recycled

import mvae_tf

SMALL = {"image_shape": (4, 4, 1), "num_components": 3, "latent_dim": 2, "hidden_units": (8,)}
BYTES = np.random.default_rng(0).integers(0, 256, size=[24, 4, 4, 1], dtype=np.uint8)
IMAGES = BYTES.astype("float32") / np.float32(255)
WEIGHTS = np.random.default_rng(1).integers(0, 4, size=24)
TERMS = ("melbo", "reconstruction", "kl_z", "kl_w", "mse")


@recycled
def make(jit_compile=False, optimizer="Adam", **overrides):
    model = mvae_tf.MixtureVAE(**{**SMALL, "seed": 0, **overrides})
    optimizer = getattr(keras.optimizers, optimizer)(1e-3)
    model.compile(optimizer=optimizer, jit_compile=jit_compile)
    return model


def batches(*arrays, size=8):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


def state(model):
    """All that a step changes but the metrics."""
    variables = [*model.weights, *model.optimizer.variables]
    return [variable.numpy() for variable in variables]


def same(one, other):
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def evaluated(model, weights, images=IMAGES):
    return model.evaluate(images, batch_size=24, sample_weight=weights, verbose=0, return_dict=True)


# Of iterators that end early, which they are here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")


# Weights of images --------------------------------------------------------------------------------


def test_metrics_are_means_weighted_by_the_images(either):
    model = make(either)
    logs = evaluated(model, WEIGHTS)
    alone = [evaluated(model, row) for row in np.eye(24)[:4]]
    few = evaluated(model, np.pad(WEIGHTS[:4], (0, 20)))
    for name in TERMS:
        expected = np.average([each[name] for each in alone], weights=WEIGHTS[:4])
        assert few[name] == pytest.approx(expected, rel=1e-5)
    squared = ((model.reconstruct(IMAGES).numpy() - IMAGES) ** 2).sum(axis=(1, 2, 3))
    assert logs["mse"] == pytest.approx(np.average(squared, weights=WEIGHTS), rel=1e-5)
    z = model.encode(IMAGES).z.distribution
    kl_z = (0.5 * (z.loc**2 + z.scale**2 - 1) - np.log(z.scale)).numpy().sum(axis=2).mean(axis=1)
    assert logs["kl_z"] == pytest.approx(np.average(kl_z, weights=WEIGHTS), rel=1e-4)
    assert logs["loss"] == pytest.approx(logs["dhsic"] - logs["melbo"], rel=1e-6)
    assert all(each["dhsic"] == pytest.approx(0, abs=1e-6) for each in alone)  # of one image
    # In several batches: each counts for what its images weigh.
    pieces = model.evaluate(batches(IMAGES, WEIGHTS, WEIGHTS, size=10), verbose=0, return_dict=True)
    assert pieces["mse"] == pytest.approx(logs["mse"], rel=1e-5)


def test_a_step_is_the_weighted_sum_of_the_images_own(jit):
    """Of gradient descent: the step of weights w is sum_i w_i times that of image i alone."""
    weights = np.array([0.5, 0.0, 3.0, 1.0])

    def step(weights):
        model = make(jit, "SGD", dhsic_weight=0.0)
        before = model.get_weights()
        model.fit(IMAGES[:4], sample_weight=weights, shuffle=False, verbose=0)
        return [new - old for new, old in zip(model.get_weights(), before, strict=True)]

    alone = [step(row) for row in np.eye(4)]
    plain = step(None)
    for k, whole in enumerate(step(weights)):
        parts = np.stack([each[k] for each in alone])
        np.testing.assert_allclose(whole, np.tensordot(weights, parts, 1), atol=2e-6)
        np.testing.assert_allclose(plain[k], parts.sum(axis=0), atol=2e-6)
    assert max(np.abs(each).max() for each in plain) > 1e-4


def test_images_that_weigh_nothing_change_nothing(jit):
    model = make(jit)
    model.fit(IMAGES, verbose=0)  # the optimizer has momentum
    before = state(model)
    history = model.fit(IMAGES, sample_weight=np.zeros(24), batch_size=8, verbose=0).history
    assert same(state(model), before)
    assert history["loss"] == [0.0]
    other = np.where(WEIGHTS[:, None, None, None] == 0, 1 - IMAGES, IMAGES)
    one, two = evaluated(model, WEIGHTS), evaluated(model, WEIGHTS, other)
    # Of dHSIC's digits, what codes that weigh nothing do to the others' mean.
    assert (WEIGHTS == 0).any() and one == pytest.approx(two, rel=1e-6, abs=1e-7)


def test_weights_of_1_are_as_none(jit):
    def trained(*arguments, **settings):
        model = make(jit)
        history = model.fit(*arguments, verbose=0, shuffle=False, **settings).history
        return state(model), history["loss"]

    plain, loss = trained(IMAGES, batch_size=8, epochs=2)
    ones, same_loss = trained(IMAGES, batch_size=8, epochs=2, sample_weight=np.ones(24, int))
    assert same(plain, ones) and loss == same_loss
    tuples, near_loss = trained(batches(IMAGES, WEIGHTS, np.ones(24)), epochs=2)
    assert near_loss == pytest.approx(loss, rel=1e-5)
    for one, other in zip(plain, tuples, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_validation_takes_a_tuple_with_weights_and_its_own_batch_size():
    model, sizes = make(), []

    class Count(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            sizes.append(batch)

    history = model.fit(
        IMAGES,
        None,
        12,  # by position, as in Keras
        validation_data=(BYTES, None, WEIGHTS),
        validation_batch_size=5,
        verbose=0,
        callbacks=[Count()],
    ).history
    assert int(model.optimizer.iterations) == 2
    assert sizes == [0, 1, 2, 3, 4]
    expected = model.evaluate(IMAGES, None, 5, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    assert history["val_mse"] == [pytest.approx(expected["mse"], rel=1e-6)]


def test_a_validation_split_takes_its_weights_along():
    model = make()
    history = model.fit(
        IMAGES, sample_weight=WEIGHTS, validation_split=0.25, shuffle=False, verbose=0
    ).history
    expected = model.evaluate(IMAGES[18:], sample_weight=WEIGHTS[18:], verbose=0, return_dict=True)
    assert history["val_mse"] == [pytest.approx(expected["mse"], rel=1e-6)]


def test_generators_have_weights_too():
    whole, pieces = make(), make()
    whole.fit(batches(IMAGES, WEIGHTS, WEIGHTS), verbose=0)
    starts = (0, 8, 16)
    pieces.fit(((IMAGES[i : i + 8], None, WEIGHTS[i : i + 8]) for i in starts), verbose=0)
    assert same(state(whole), state(pieces))


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_training_goes_on_from_a_file_as_without_it(kind, tmp_path):
    model = make("auto", "SGD", seed=None)
    model.fit(IMAGES, batch_size=8, shuffle=False, verbose=0)
    path = tmp_path / f"model.{kind}"
    if kind == "keras":
        model.save(path)
        copy = keras.models.load_model(path)
    else:
        model.save_weights(path)
        copy = make("auto", "SGD", seed=7)
        copy.load_weights(path)
    for each in (model, copy):
        each.fit(IMAGES, batch_size=8, shuffle=False, epochs=2, verbose=0)
    assert same(model.get_weights(), copy.get_weights())
    np.testing.assert_array_equal(model._seeds.state, copy._seeds.state)


FROZEN = {
    "encoder": lambda model: [model.encoder],
    "a layer": lambda model: [model.decoder.stack[0]],
    "all but a layer": lambda model: [model.encoder, *model.decoder.stack[1:]],
    "everything": lambda model: [model],
}


@pytest.mark.parametrize("kind", FROZEN)
def test_what_is_frozen_is_frozen_in_a_file(kind, tmp_path):
    model = make()
    for layer in FROZEN[kind](model):
        layer.trainable = False
    model.compile(optimizer="adam")
    if kind != "everything":
        model.fit(IMAGES, batch_size=8, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    trained, those_of_copy = (
        [any(each is other for other in one.trainable_variables) for each in one.weights]
        for one in (model, copy)
    )
    assert trained == those_of_copy and sum(trained) < len(make().trainable_variables)
    assert [layer.trainable for layer in FROZEN[kind](copy)] == [False] * len(FROZEN[kind](copy))
    if kind != "everything":  # there nothing trains
        for each in (model, copy):
            each.fit(IMAGES, batch_size=8, shuffle=False, verbose=0)
        assert same(model.get_weights(), copy.get_weights())
    for layer in FROZEN[kind](copy):
        layer.trainable = True
    assert len(copy.trainable_variables) == len(make().trainable_variables)


def test_export_writes_what_serves(tmp_path):
    model = make()
    model.fit(IMAGES, verbose=0)
    folder = model.export(tmp_path / "model", score_samples=2)
    assert folder == tmp_path / "model" / "1"
    served = tf.saved_model.load(str(folder))
    np.testing.assert_allclose(
        served.reconstruct(IMAGES)["reconstructions"], model.reconstruct(IMAGES), atol=1e-6
    )
    np.testing.assert_allclose(
        served.score(IMAGES)["log_likelihood"], model.log_likelihood(IMAGES, 2), rtol=1e-5
    )


# Keras's settings ---------------------------------------------------------------------------------


@pytest.fixture(params=["channels_first", "float64", "float16", "epsilon"])
def setting(request):
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon()

    def change():
        if request.param == "channels_first":
            keras.config.set_image_data_format(request.param)
        elif request.param == "epsilon":
            keras.config.set_epsilon(0.1)
        else:
            keras.config.set_floatx(request.param)

    def restore():
        keras.config.set_image_data_format(before[0])
        keras.config.set_floatx(before[1])
        keras.config.set_epsilon(before[2])

    yield change, restore
    restore()


@pytest.mark.parametrize(
    "network", ["dense", pytest.param("convolutional", marks=pytest.mark.slow)]
)
def test_global_settings_change_nothing(setting, network):
    change, restore = setting
    images = np.random.default_rng(0).uniform(size=[6, 10, 12, 3]).astype("float32")

    def answers():
        model = mvae_tf.MixtureVAE(
            (10, 12, 3), 2, 2, (4,), network=network, prior_concentration=2.0, seed=0
        )
        model.compile(optimizer=keras.optimizers.SGD(0.001953125))  # the same in 16 bits
        logs = model.fit(images, epochs=2, shuffle=False, verbose=0).history
        return logs, model.predict(images, verbose=0), model.get_weights()

    logs, predicted, weights = answers()
    change()
    changed = answers()
    restore()
    assert predicted.shape == (6, 10, 12, 3)
    assert changed[0] == logs
    np.testing.assert_array_equal(changed[1], predicted)
    assert same(changed[2], weights)
    assert all(each.dtype == np.float32 for each in (*weights, changed[1]))


def test_a_legacy_file_is_read_as_its_docstring_says(tmp_path):
    model = make()
    model.encoder.weights[0].assign(model.encoder.weights[0] + 1)
    keras.saving.save_model(model, tmp_path / "model.h5")
    ours = {"MixtureVAE": mvae_tf.MixtureVAE}
    copy = keras.saving.load_model(tmp_path / "model.h5", custom_objects=ours)
    assert same(model.get_weights(), copy.get_weights())


# Threads ------------------------------------------------------------------------------------------


def test_threads_that_predict_at_the_same_time_do_not_see_each_other():
    model = make()
    expected = model.predict(IMAGES, batch_size=3, verbose=0)

    def predicted(_):
        return [model.predict(IMAGES, batch_size=3, verbose=0) for _ in range(10)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for answers in pool.map(predicted, range(4)):
            np.testing.assert_array_equal(answers, np.tile(expected, (10, 1, 1, 1, 1)))


# Memory -------------------------------------------------------------------------------------------


def test_a_model_that_is_let_go_of_leaves_nothing():
    def fitted():
        model = make.new()
        model.fit(IMAGES, batch_size=8, verbose=0)
        return weakref.ref(model)

    kept = fitted()
    gc.collect()
    assert kept() is None
