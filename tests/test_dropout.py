"""Dropout in dense networks: what is dropped, by whose draws, and when."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from recycled import recycled, take_back

import mvae_tf
from mvae_tf import training
from mvae_tf.datasets.splits import Split
from mvae_tf.networks import banks, dense
from mvae_tf.networks.contract import Architecture
from mvae_tf.objective import seeds

SHAPE, K, RATE = (8, 8, 1), 3, 0.25
IMAGES = np.random.default_rng(0).uniform(size=[20, *SHAPE]).astype("float32")


@recycled
def make(dropout=RATE, **settings):
    model = mvae_tf.MixtureVAE(
        SHAPE, K, 2, (16, 12), **{"activation": "linear", "seed": 0, **settings}, dropout=dropout
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    return model


# A bank -------------------------------------------------------------------------------------------


def passing_on(layers):
    """A decoder bank of which each layer passes its input on, so that ones become its masks."""
    architecture = Architecture((4, 4, 4), K, 64, (64,) * layers, "linear", 0, dropout=RATE)
    bank = dense.DenseDecoderBank(architecture)
    for layer in bank.stack:
        layer.kernel.assign(tf.eye(64, batch_shape=[K]))
    return bank


def masks(bank, seed, jit_compile=False):
    call = tf.function(lambda codes, seed: bank(codes, seed=seed), jit_compile=jit_compile)
    return call(tf.ones([50, K, 64]), tf.constant(seed)).numpy().reshape(50, K, 64)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_each_hidden_layer_drops_its_share_and_makes_up_for_it(layers, jit_compile):
    drawn = masks(passing_on(layers), [3, 4], jit_compile)
    kept = (1 - RATE) ** layers  # of masks that are independent
    np.testing.assert_allclose(np.unique(drawn), [0, 1 / kept], rtol=1e-6)
    noise = np.sqrt(kept * (1 - kept) / drawn.size)
    assert (drawn > 0).mean() == pytest.approx(kept, abs=4 * noise)
    # Each image, component and unit has its own: of two the same are kept by chance alone.
    for other in (np.roll(drawn, 1, axis=0), np.roll(drawn, 1, axis=1), np.roll(drawn, 1, axis=2)):
        both = ((drawn > 0) & (other > 0)).mean()
        assert both == pytest.approx(kept**2, abs=0.02)


def test_the_same_seed_drops_the_same_and_without_one_nothing_is_dropped():
    bank = passing_on(2)
    np.testing.assert_array_equal(masks(bank, [3, 4]), masks(bank, [3, 4]))
    assert np.any(masks(bank, [3, 4]) != masks(bank, [3, 5]))
    np.testing.assert_array_equal(bank(tf.ones([2, K, 64])), np.ones([2, K, 4, 4, 4]))


def test_the_encoders_drop_too():
    """Without an activation the mean over draws is the answer without dropout."""
    model = make()
    many = np.repeat(IMAGES[:1], 20000, axis=0)
    with_dropout = model.encode(many, dropout_seed=1).z.mean().numpy()
    noise = with_dropout.std(axis=0) / np.sqrt(len(many))
    assert noise.min() > 1e-4
    means = model.encode(IMAGES[:1]).z.mean()[0]
    assert np.abs(with_dropout.mean(axis=0) - means).max() < 5 * noise.max()


# A model ------------------------------------------------------------------------------------------


def test_a_training_step_drops_by_its_own_seed_and_evaluation_not_at_all(monkeypatch):
    model, seen = make.new(), []
    run = dense.DenseBank._run

    def spied(bank, hidden, seed):
        seen.append((bank.name, None if seed is None else seed.numpy().tolist()))
        return run(bank, hidden, seed)

    monkeypatch.setattr(dense.DenseBank, "_run", spied)
    for seed in ([0, 7], [0, 8]):
        model._objective(IMAGES, None, tf.constant(seed), training=True)
    expected = [seeds.of_dropout(tf.constant(seed)).numpy().tolist() for seed in ([0, 7], [0, 8])]
    assert seen == [
        *zip(("encoder", "decoder"), expected[0], strict=True),
        *zip(("encoder", "decoder"), expected[1], strict=True),
    ]
    others = [tf.random.split(tf.constant(seed), 2).numpy() for seed in ([0, 7], [0, 8])]
    assert len(np.unique(np.reshape([*expected, *others], [8, 2]), axis=0)) == 8
    seen.clear()
    model._objective(IMAGES, None, tf.constant([0, 7]))
    model.sample(2)
    assert seen and all(seed is None for _, seed in seen)


def test_without_training_a_model_is_as_without_dropout():
    model, plain = make(), make(dropout=0.0)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    evaluate = functools.partial(
        keras.Model.evaluate, x=IMAGES, batch_size=8, verbose=0, return_dict=True
    )
    assert evaluate(model) == evaluate(plain)
    np.testing.assert_array_equal(model.reconstruct(IMAGES), plain.reconstruct(IMAGES))
    np.testing.assert_array_equal(model.elbo(IMAGES), plain.elbo(IMAGES))
    assert model.train_on_batch(IMAGES) != plain.train_on_batch(IMAGES)


def test_a_dropout_seed_turns_it_on_for_measuring():
    model, plain = make(), make(dropout=0.0)
    codes = model.encode(IMAGES).z.mean()
    for answer in (
        lambda model, **seed: model.encode(IMAGES, **seed).z.mean().numpy(),
        lambda model, **seed: model.decode(codes, **seed).numpy(),
    ):
        off, on = answer(model), answer(model, dropout_seed=1)
        assert np.abs(on - off).max() > 1e-2
        np.testing.assert_array_equal(answer(model, dropout_seed=1), on)
        assert np.abs(answer(model, dropout_seed=2) - on).max() > 1e-2
        np.testing.assert_array_equal(answer(plain, dropout_seed=1), off)
    for wrong in ("1", 0.5, 2**31):
        with pytest.raises(ValueError, match="Expected seed to be a 32-bit integer"):
            model.encode(IMAGES, dropout_seed=wrong)


def test_a_bank_of_ones_own_is_not_given_a_seed():
    encoder = mvae_tf.networks.EncoderBank(
        [keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5)]) for _ in range(K)]
    )
    model = mvae_tf.MixtureVAE(SHAPE, K, 2, (16,), encoder=encoder, dropout=0.5, seed=0)
    of_encoder, of_decoder = banks.arguments((model.encoder, model.decoder), tf.constant([1, 2]))
    assert of_encoder == {"training": False} and of_decoder.keys() == {"training", "seed"}
    np.testing.assert_array_equal(
        model.encode(IMAGES, dropout_seed=1).z.mean(), model.encode(IMAGES).z.mean()
    )


def test_a_training_goes_on_from_a_checkpoint_bit_for_bit(tmp_path):
    split = Split((IMAGES * 255).astype(np.uint8), None, is_train=True)

    def train(model, epochs, directory=None):
        training.train(
            model, split, epochs=epochs, batch_size=8, directory=directory, progress=False
        )
        return model.get_weights()

    straight = train(make(), 2)
    take_back()
    train(make(), 1, tmp_path)
    take_back()
    for one, other in zip(straight, train(make(), 2, tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_new_is_kept_in_files(tmp_path):
    chosen = {
        "activation": ("elu", "tanh"),
        "decoder_activation": ("relu", "elu"),
        "dropout": 0.1,
        "initializer": "he_normal",
    }
    model = mvae_tf.MixtureVAE(SHAPE, K, 2, (16, 12), **chosen, seed=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {name: getattr(loaded, name) for name in chosen} == chosen
    np.testing.assert_array_equal(
        loaded.encode(IMAGES, dropout_seed=3).z.mean(),
        model.encode(IMAGES, dropout_seed=3).z.mean(),
    )
    functions = {"activation": keras.activations.elu, "decoder_activation": ("tanh", tf.nn.relu)}
    mvae_tf.MixtureVAE(SHAPE, K, 2, (16, 12), **functions).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.activation is keras.activations.elu
    assert loaded.decoder_activation == ("tanh", keras.activations.relu)
    older = {name: value for name, value in model.get_config().items() if name not in chosen}
    old = mvae_tf.MixtureVAE.from_config(older)
    assert {name: getattr(old, name) for name in chosen} == {
        "activation": "relu",
        "decoder_activation": None,
        "dropout": 0.0,
        "initializer": "glorot_uniform",
    }
