"""Blocks of steps compiled by XLA; each program takes seconds to compile, so that few are made."""

import functools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf.commands import program
from mvae_tf.devices import compiled, feeds
from mvae_tf.evaluation import reconstruction_errors
from mvae_tf.objective import compiled_gamma, melbo, posterior, step
from mvae_tf.training import jit, loop, run_folder

IMAGES = np.random.default_rng(0).uniform(size=[20, 4, 4, 1]).astype("float32")


def make(optimizer=None, **kwargs):
    shape = kwargs.pop("image_shape", (4, 4, 1))
    model = mvae_tf.MixtureVAE(shape, **{"num_components": 2, "latent_dim": 2, **kwargs}, seed=0)
    model.compile(optimizer=optimizer or keras.optimizers.Adam(1e-3), jit_compile=True)
    return model


# Feeds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most_steps", [1, 2, 3, 64])
@pytest.mark.parametrize(("count", "batch_size"), [(20, 8), (16, 8), (5, 8), (7, 1)])
@pytest.mark.parametrize("is_resident", [True, False])
def test_blocks_are_the_batches_of_the_same_order(
    count, batch_size, most_steps, is_resident, monkeypatch
):
    if not is_resident:
        monkeypatch.setattr(feeds, "memory", lambda: 0)
    images = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2, 1)
    orders = loop._orders(count, 3, 0, 2)
    expected = [each.numpy() for each in feeds.gather(images, feeds.batches(orders, batch_size))]
    feed = feeds.BlockFeed(images, orders, batch_size, most_steps)
    assert (feed.source is not None) == is_resident
    taken, blocks = [], list(feed.blocks)
    for block in blocks:
        assert len(block.batches) == feed.steps_per_block <= most_steps
        batches = [*block.batches[: block.size], *(block.rest if block.rest.shape[1] else [])]
        taken += [tf.gather(images, batch) if is_resident else batch for batch in batches]
    assert len(blocks) == 2 * feed.blocks_per_epoch
    assert len(taken) == 2 * feed.steps_per_epoch
    for one, other in zip(taken, expected, strict=True):
        np.testing.assert_array_equal(feeds.as_floats(one), other)


# Steps, without Keras -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk():
    """Steps that add up their images' sums, and fail on an image that holds 0.5."""
    total, refused = tf.Variable(0.0), []

    def one(images):
        total.assign_add(tf.reduce_sum(images))
        finite = tf.reduce_all(tf.not_equal(images, 0.5))
        return compiled.Verdict.of(images, finite)

    steps = compiled.Steps(
        one,
        lambda: {"total": tf.identity(total)},
        lambda: [total],
        lambda *refusal: refused.append(refusal),
    )
    return types.SimpleNamespace(total=total, steps=steps, refused=refused)


@pytest.fixture
def begun(walk):
    walk.total.assign(0.0)
    walk.refused.clear()
    walk.steps.forget()
    return walk


def test_steps_beyond_the_size_of_a_block_change_nothing(begun):
    logs = begun.steps(None, tf.constant([[0.25], [0.25], [1.0]]), tf.constant(2))
    begun.steps.finish()
    assert float(logs["total"]) == float(begun.total) == 0.5
    assert not begun.refused


@pytest.mark.parametrize("bad", [0.5, 7.0, -1.0, np.nan])
def test_from_the_first_failure_on_nothing_changes_also_in_blocks_already_begun(begun, bad):
    begun.steps(None, tf.constant([[0.25], [bad], [0.125]]), tf.constant(3))
    assert not begun.refused  # looked at when the next block is under way
    begun.steps(None, tf.constant([[0.125], [0.125], [0.125]]), tf.constant(3))
    assert float(begun.total) == 0.25
    ((verdict, images),) = begun.refused
    np.testing.assert_array_equal(images, [bad])
    assert bool(verdict.in_range()) == (bad == 0.5)
    assert bool(verdict.finite) == (bad != 0.5)
    begun.steps(None, tf.constant([[0.125], [0.125], [0.125]]), tf.constant(3))
    begun.steps.finish()
    assert float(begun.total) == 0.625


def test_bytes_are_divided_by_255_and_taken_by_index(begun):
    source = tf.constant([[51], [255], [0]], tf.uint8)
    begun.steps(source, tf.constant([[0], [1], [1]]), tf.constant(3))
    begun.steps.finish()
    assert float(begun.total) == pytest.approx(0.2 + 1 + 1)


# The mathematics ----------------------------------------------------------------------------------


def test_the_draws_compile_without_a_loop():
    """A loop whose end depends on data would have a GPU wait for its host."""

    def draw(concentration):
        return compiled_gamma.sample_log_gamma(concentration, tf.constant([1, 2]))

    concentration = tf.fill([4000], tf.constant(0.7, tf.float64))
    program = tf.function(draw, jit_compile=True)
    hlo = program.experimental_get_compiler_ir(concentration)(stage="optimized_hlo")
    assert "fusion" in hlo
    assert " while(" not in hlo
    draws = np.exp(program(concentration))
    assert draws.mean() == pytest.approx(0.7, abs=5 * np.sqrt(0.7 / 4000))


@pytest.mark.parametrize(
    ("likelihood", "mixing", "root"),
    [("gaussian", "likelihood", False), ("bernoulli", "image", True)],
)
def test_terms_and_gradients_are_those_of_the_plain_step_for_the_same_draws(
    likelihood, mixing, root
):
    rng = np.random.default_rng(1)
    noise = tf.constant(rng.normal(size=[20, 2, 3]), tf.float32)
    drawn = tf.constant(rng.dirichlet([2.0, 3.0], size=20), tf.float32)
    kernel = tf.constant(rng.normal(size=[3, 16]), tf.float32)
    chosen = step.Objective(likelihood, mixing, 0.7, 1.0, root, "dimension")
    parameters = [
        tf.constant(rng.normal(size=[20, 2, 3]), tf.float32),
        tf.constant(rng.uniform(0.1, 2, size=[20, 2, 3]), tf.float32),
        tf.constant(rng.uniform(0.1, 5, size=[20, 2]), tf.float32),
    ]

    def value_and_gradients(*parameters, compiled):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            q = posterior.posterior(*parameters, normalized=False, compiled=compiled)
            q.z.sample = lambda seed: parameters[0] + parameters[1] * noise
            q.w.sample = lambda seed: drawn + 0.01 * tf.reduce_sum(parameters[2] ** 2)
            loss, terms = step.loss_and_terms(
                tf.constant(IMAGES),
                tf.constant([0, 0]),
                q,
                posterior.symmetric_prior(2, 3.0),
                lambda codes: tf.reshape(codes @ kernel, [-1, 2, 4, 4, 1]),
                chosen,
                compiled=compiled,
            )
        return loss, terms, tape.gradient(loss, parameters)

    plain = value_and_gradients(*parameters, compiled=False)
    of_xla = functools.partial(value_and_gradients, compiled=True)
    fast = tf.function(of_xla, jit_compile=True)(*parameters)
    for one, other in zip(tf.nest.flatten(fast), tf.nest.flatten(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-5)


# Through Keras ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled_once():
    model = make()
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def model(compiled_once):
    """The one model, whose programs are compiled once, as it was in the beginning."""
    variables = [each.value for each in compiled_once.variables + compiled_once.optimizer.variables]
    if not hasattr(compiled_once, "beginning"):
        compiled_once.beginning = [each.numpy() for each in variables]
    for variable, value in zip(variables, compiled_once.beginning, strict=True):
        variable.assign(value)
    return compiled_once


def test_fit_takes_every_image_once_an_epoch(model):
    history = model.fit(IMAGES, batch_size=8, epochs=2, validation_data=IMAGES, verbose=0).history
    assert int(model.optimizer.iterations) == 6
    assert model._trackers["loss"].count == 20
    assert np.isfinite(history["loss"]).all()
    assert model.steps_per_execution == 1
    assert set(model._running.feeds.values()) == {None}  # the device's memory is given back
    batches = tf.data.Dataset.from_tensor_slices(IMAGES).batch(8)
    mse = reconstruction_errors(model, batches).mse
    assert history["val_mse"][-1] == pytest.approx(mse, rel=1e-4)
    evaluated = model.evaluate(IMAGES, batch_size=8, verbose=0, return_dict=True)
    assert evaluated["mse"] == pytest.approx(mse, rel=1e-4)
    assert evaluated["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-4)


def test_an_array_and_batches_of_it_give_the_same_weights(model):
    """A user's own batches, step by step, are the same steps as blocks of a fed array's."""
    whole = IMAGES[:16]
    model.fit(whole, batch_size=8, shuffle=False, epochs=2, verbose=0)
    fed = model.get_weights()
    assert int(model.optimizer.iterations) == 4
    variables = [each.value for each in model.variables + model.optimizer.variables]
    for variable, value in zip(variables, model.beginning, strict=True):
        variable.assign(value)
    model.fit(tf.data.Dataset.from_tensor_slices(whole).batch(8), epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 4
    for one, another in zip(fed, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-5, atol=1e-6)


def test_all_of_a_users_batches_are_taken_also_beside_an_array_in_blocks(model):
    batches = tf.data.Dataset.from_tensor_slices(IMAGES[:16]).batch(8)
    model.fit(IMAGES[:16], batch_size=8, epochs=2, validation_data=batches, verbose=0)
    assert int(model.optimizer.iterations) == 4
    assert model._trackers["loss"].count == 16  # of the validation


def test_steps_per_epoch_are_as_many_as_asked_for(model):
    model.fit(IMAGES[:16], batch_size=8, epochs=3, steps_per_epoch=1, verbose=0)
    assert int(model.optimizer.iterations) == 3
    batches = tf.data.Dataset.from_tensor_slices(IMAGES[:16]).batch(8)
    model.fit(IMAGES[:16], batch_size=8, validation_data=batches, validation_steps=1, verbose=0)
    assert model._trackers["loss"].count == 8  # of the validation


def test_a_callback_may_evaluate_a_users_batches_amid_a_fit(model):
    batches = tf.data.Dataset.from_tensor_slices(IMAGES[:16]).batch(8)
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.evaluate(batches, verbose=0)[0])
    )
    model.fit(IMAGES[:16], batch_size=8, validation_data=IMAGES[:16], callbacks=callback, verbose=0)
    assert np.isfinite(seen).all() and len(seen) == 1


def test_a_bad_batch_is_named_although_a_callback_evaluates_before_it_is_looked_at(model):
    images = IMAGES[:16].copy()
    images[9] = 1.5
    batches = tf.data.Dataset.from_tensor_slices(images).batch(8)
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: model.evaluate(IMAGES[:16], batch_size=8, verbose=0)
    )
    with pytest.raises(ValueError, match=r"Expected images in \[0, 1\]. Received: values from"):
        model.fit(batches, callbacks=callback, verbose=0)
    assert int(model.optimizer.iterations) == 1


def test_validation_split_takes_the_last_images_of_a_loaded_dataset(digits):
    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 2, (4,), seed=0)
    model.compile("adam")
    model.fit(digits.with_train(100), batch_size=50, validation_split=0.2, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert model._trackers["loss"].count == 20


@pytest.mark.parametrize("bad", [np.nan, 1.5])
def test_images_out_of_range_stop_training_before_they_do_harm(model, bad):
    images = IMAGES[:16].copy()
    images[9] = bad
    batches = tf.data.Dataset.from_tensor_slices(images).batch(8)
    with pytest.raises(ValueError, match=r"Expected images in \[0, 1\]. Received: values from"):
        model.fit(batches, verbose=0)
    assert int(model.optimizer.iterations) == 1
    assert all(np.isfinite(each).all() for each in model.get_weights())


def test_a_gradient_that_is_not_finite_names_term_and_step(monkeypatch):
    original = melbo.reconstruction

    def broken_by_black(images, *args, **kwargs):
        value = original(images, *args, **kwargs)
        return value + tf.sqrt(value * 0.0 + tf.reduce_max(images))  # its slope at 0 is infinite

    monkeypatch.setattr(melbo, "reconstruction", broken_by_black)
    images = np.concatenate([IMAGES[:16], np.zeros([8, 4, 4, 1], "float32"), IMAGES[:8]])
    model = make()
    before = [each.numpy() for each in model.variables]
    with pytest.raises(FloatingPointError, match=r"of reconstruction, at step 3\. The weights are"):
        model.fit(images, batch_size=8, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 2
    variables = [each.value for each in model.variables + model.optimizer.variables]
    assert all(np.all(np.isfinite(each)) for each in variables)  # the optimizer's moments, too
    stopped = [each.numpy() for each in variables]
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    for variable in model.optimizer.variables:
        variable.assign(tf.zeros_like(variable) if variable.path.count("learning") == 0 else 1e-3)
    with pytest.raises(FloatingPointError, match=r"at step 3\."):
        model.fit(images, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(stopped, variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_devices_are_refused():
    cpus = tf.config.list_logical_devices("CPU")
    with tf.distribute.MirroredStrategy([cpus[0].name]).scope():
        model = make()
    strategy = types.SimpleNamespace(num_replicas_in_sync=2)
    model.__class__ = type("Several", (type(model),), {"distribute_strategy": strategy})
    with pytest.raises(ValueError, match="jit_compile=False for a model on several devices"):
        model.make_train_function()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"num_components": 1},
        {"num_components": 10, "mixing": "image", "likelihood": "bernoulli"},
        {"concentration": "normalized", "dhsic_root": True, "bandwidths": "median"},
        {"dtype": "mixed_bfloat16"},
        {"dropout": 0.1, "hidden_units": (8, 8), "activation": ("elu", "tanh")},
        {"network": "convolutional", "image_shape": (8, 8, 3), "hidden_units": (4, 4)},
        {
            "network": "convolutional",
            "image_shape": (8, 8, 3),
            "hidden_units": (4, 4),
            "dtype": "mixed_bfloat16",
        },
        {"optimizer": keras.optimizers.SGD(1e-3)},
        {"optimizer": mvae_tf.training.FusedAdam(1e-3)},
        {"optimizer": keras.optimizers.AdamW(1e-3, clipnorm=1.0)},
        {"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))},
    ],
    ids=str,
)
def test_every_kind_of_model_learns_compiled(settings):
    model = make(**settings)
    images = np.random.default_rng(0).uniform(size=[20, *model.image_shape]).astype("float32")
    history = model.fit(images, batch_size=8, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]


# The choice ---------------------------------------------------------------------------------------


def test_auto_is_on_where_there_is_a_gpu_and_one_device(monkeypatch):
    assert jit.resolve() == ("off", "no GPU")
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"])
    assert jit.resolve() == ("on", "a GPU")
    assert jit.resolve(strategy="mirrored") == ("off", "several devices")
    assert jit.resolve("off").jit == "off"


@pytest.mark.parametrize("arguments", [("yes", "none"), ("on", "mirrored")])
def test_choices_that_cannot_be_are_refused(arguments):
    with pytest.raises(ValueError, match="Expected jit"):
        jit.resolve(*arguments)


@pytest.mark.parametrize(("settings", "expected"), [({}, False), ({"jit": "on"}, True)])
def test_a_run_is_compiled_where_its_settings_say_so(settings, expected):
    protocol = {"batch_size": 8, "learning_rate": 1e-3, "decay": "none", "precision": "float32"}
    model = {"image_shape": (4, 4, 1), "num_components": 2, "latent_dim": 2, "hidden_units": (4,)}
    built = run_folder.build({"model": model, "training": {**protocol, **settings}}, 20)
    assert built.jit_compile is expected
    assert built.steps_per_execution == (1 if expected else 3)


def test_the_command_refuses_compiled_steps_on_several_devices(capsys):
    flags = ["--data=digits", "--jit=on", "--strategy=mirrored"]
    assert program.main(["train", *flags]) == program.USAGE
    assert 'Expected jit "on" on one device alone.' in capsys.readouterr().err
