"""Layers that one's own networks share, hold twice or freeze: what is refused, what files keep."""

import keras
import numpy as np
import pytest
from test_networks import IMAGES, SHAPE, D, K, LinearDecoders, make

import mvae_tf
from mvae_tf import networks
from mvae_tf.networks import banks


def with_trunk(trunk, activation=None):
    layers = [trunk, *([activation] if activation else []), keras.layers.Dense(2 * D + 1)]
    return keras.Sequential(layers)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_components_with_weights_in_common_are_refused_as_a_file_would_not_keep_them(is_frozen):
    trunk = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8, "relu")])
    trunk.trainable = not is_frozen
    bank = networks.EncoderBank([with_trunk(trunk) for _ in range(K)])
    with pytest.raises(ValueError, match="Expected encoder's components to share no variables"):
        make(encoder=bank)


def test_encoder_and_decoder_with_weights_in_common_are_refused():
    common = keras.layers.Dense(D)
    encoders = [with_trunk(keras.layers.Flatten(), keras.layers.Dense(D)) for _ in range(K)]
    encoders[1] = with_trunk(
        keras.layers.Flatten(), keras.Sequential([keras.layers.Dense(D), common])
    )
    decoders = [
        keras.Sequential([first, keras.layers.Dense(30), keras.layers.Reshape(SHAPE)])
        for first in (common, *(keras.layers.Dense(D) for _ in range(K - 1)))
    ]
    with pytest.raises(ValueError, match="Expected encoder and decoder to share no variables"):
        make(encoder=networks.EncoderBank(encoders), decoder=networks.DecoderBank(decoders))


def test_a_layer_twice_in_a_sequential_is_refused_in_a_functional_model_kept(tmp_path):
    """Keras's own file of a Sequential has it once, and another model."""
    flat, relu = keras.layers.Flatten(), keras.layers.ReLU()
    dense = [keras.layers.Dense(size) for size in (5, 6, 2 * D + 1)]
    twice = [flat, dense[0], relu, dense[1], relu, dense[2]]
    others = [with_trunk(keras.layers.Flatten()) for _ in range(K - 1)]
    for first in (keras.Sequential(twice), keras.Sequential([keras.Sequential(twice)])):
        with pytest.raises(ValueError, match="Expected encoder to hold a layer once in a Sequent"):
            make(encoder=networks.EncoderBank([first, *others]))
    image = outputs = keras.Input(SHAPE)
    for layer in twice:
        outputs = layer(outputs)
    model = make(encoder=networks.EncoderBank([keras.Model(image, outputs), *others]))
    model.fit(IMAGES, verbose=0)
    model.save(tmp_path / "own.keras")
    copy = keras.models.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), model.reconstruct(IMAGES))


def in_two_sequentials(common):
    return keras.Sequential([keras.Sequential([common]), keras.Sequential([common])])


def in_two_functional_models(common):
    inner = [keras.Model(each := keras.Input([D]), common(each)) for _ in range(2)]
    code = keras.Input([D])
    return keras.Model(code, inner[1](inner[0](code)))


def in_a_model_and_beside(common):
    code = keras.Input([D])
    return keras.Model(code, common(keras.Sequential([common])(code)))


def wrapped(*layers):
    """A functional model of layers that each take one code of one after another."""
    code = keras.Input([D])
    outputs = keras.layers.Reshape([1, D])(code)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(code, keras.layers.Flatten()(outputs))


def in_two_wrappers(common):
    return wrapped(*(keras.layers.TimeDistributed(common) for _ in range(2)))


def in_a_wrapper_and_beside(common):
    return wrapped(common, keras.layers.TimeDistributed(common))


def in_two_layers_of_ones_own(common):
    return wrapped(*(Held(common) for _ in range(2)))


def in_a_layer_of_ones_own_and_beside(common):
    return wrapped(common, Held(common))


def in_two_recurrent_layers(_):
    cell = keras.layers.GRUCell(D, dropout=0.5)
    return wrapped(*(keras.layers.RNN(cell, return_sequences=True) for _ in range(2)))


def in_one_layer_of_ones_own(common):
    return wrapped(*[Held(common)] * 2)


def in_one_that_makes_it(_):
    return wrapped(Makes())


@keras.saving.register_keras_serializable(package="tests")
class Held(keras.layers.Layer):
    """A layer of another, which its file has with it."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, codes):
        return codes + self.inner(codes)

    def get_config(self):
        return super().get_config() | {"inner": keras.saving.serialize_keras_object(self.inner)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("inner")), **config)


@keras.saving.register_keras_serializable(package="tests")
class Makes(keras.layers.Layer):
    """A layer that makes two layers of a common one, and does so anew from its file."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.common = keras.layers.Dense(D)
        self.first, self.second = Held(self.common), Held(self.common)

    def build(self, shape):
        self.common.build(shape)

    def call(self, codes):
        return self.second(self.first(codes))


def in_one_wrapper(common):
    return wrapped(*[keras.layers.TimeDistributed(common)] * 2)


def in_one_functional_model(common):
    code = keras.Input([D])
    return keras.Model(code, common(common(code)))


@pytest.mark.parametrize(
    "held",
    [
        in_two_sequentials,
        in_two_functional_models,
        in_a_model_and_beside,
        in_two_wrappers,
        in_a_wrapper_and_beside,
        in_two_layers_of_ones_own,
        in_a_layer_of_ones_own_and_beside,
        in_two_recurrent_layers,
    ],
)
@pytest.mark.parametrize("kind", ["weights", "seed"])
def test_a_layer_with_variables_in_two_models_is_refused(held, kind):
    """Keras's own files of such models can't be loaded, or hold another seed."""
    common = keras.layers.Dense(D) if kind == "weights" else keras.layers.Dropout(0.5)
    others = [with_trunk(keras.layers.Flatten()) for _ in range(K - 1)]
    first = with_trunk(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(D), held(common)])
    )
    with pytest.raises(ValueError, match="Expected encoder to hold no layer with variables"):
        make(encoder=networks.EncoderBank([first, *others]))


@pytest.mark.parametrize(
    ("held", "common"),
    [
        (in_one_functional_model, keras.layers.Dense(D)),
        (in_one_wrapper, keras.layers.Dense(D)),
        (in_one_layer_of_ones_own, keras.layers.Dense(D)),
        (in_one_that_makes_it, None),
        (in_two_wrappers, keras.layers.ReLU()),
        (in_two_sequentials, keras.layers.ReLU()),
        (in_two_functional_models, keras.layers.ReLU()),
    ],
)
def test_a_layer_without_variables_or_in_one_model_may_be_called_twice(held, common, tmp_path):
    others = [with_trunk(keras.layers.Flatten()) for _ in range(K - 1)]
    first = with_trunk(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(D), held(common)])
    )
    model = make(encoder=networks.EncoderBank([first, *others]))
    model.save(tmp_path / "own.keras")
    copy = keras.models.load_model(tmp_path / "own.keras", compile=False)
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), model.reconstruct(IMAGES))


@pytest.mark.parametrize("kind", ["dense", "convolutional", "own"])
def test_frozen_layers_have_the_places_of_keras_as_older_files_have_them(kind):
    shape = (8, 8, 1)
    if kind == "own":
        parts = [
            with_trunk(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]))
            for _ in "abc"
        ]
        own = {"encoder": networks.EncoderBank(parts)}
    model = mvae_tf.MixtureVAE(
        shape, K, D, hidden_units=(4, 3), **(own if kind == "own" else {"network": kind})
    )
    both = model.encoder, model.decoder
    layers = [layer for bank in both for layer in bank._flatten_layers()]
    for place, layer in enumerate(layers):
        if not layer._layers and layer.trainable:
            layer.trainable = False
            assert banks.frozen(both) == [place]
            layer.trainable = True


# Of a model that was never trained the optimizer has nothing to load yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
def test_layers_are_frozen_beside_shared_ones_without_weights(tmp_path):
    flat, relu = keras.layers.Flatten(), keras.layers.ReLU()
    encoders = [
        with_trunk(
            keras.Sequential([flat, keras.layers.Dense(5 + k), relu, keras.layers.Dense(7 + k)])
        )
        for k in range(K)
    ]
    model = make(encoder=networks.EncoderBank(encoders))
    encoders[-1].layers[0].layers[1].trainable = False
    encoders[0].layers[0].layers[3].trainable = False
    model.save(tmp_path / "own.keras")
    copy = keras.models.load_model(tmp_path / "own.keras")
    for one, other in zip(encoders, copy.encoder.components, strict=True):
        pairs = [[each.trainable for each in part.layers[0].layers] for part in (one, other)]
        assert pairs[0] == pairs[1]
    shapes = [[variable.shape for variable in each.trainable_variables] for each in (model, copy)]
    assert shapes[0] == shapes[1]


def test_components_may_share_a_layer_without_weights(tmp_path):
    flat, relu = keras.layers.Flatten(), keras.layers.ReLU()
    model = make(encoder=networks.EncoderBank([with_trunk(flat, relu) for _ in range(K)]))
    model.fit(IMAGES, verbose=0)
    model.save(tmp_path / "own.keras")
    copy = keras.models.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), model.reconstruct(IMAGES))


@keras.saving.register_keras_serializable(package="tests")
class MadeFrozen(networks.EncoderBank):
    """A bank whose class freezes its components, as those that were trained before."""

    def __init__(self, components, **kwargs):
        super().__init__(components, **kwargs)
        for component in self.components:
            component.trainable = False


def test_what_a_class_makes_frozen_and_is_thawed_stays_thawed(tmp_path):
    model = make(encoder=MadeFrozen([with_trunk(keras.layers.Flatten()) for _ in range(K)]))
    trained = len(model.trainable_variables)
    for component in model.encoder.components:
        component.trainable = True
    assert len(model.trainable_variables) == trained + 2 * K
    model.compile(optimizer="adam")
    model.fit(IMAGES, shuffle=False, verbose=0)
    model.save(tmp_path / "own.keras")
    copies = keras.models.load_model(tmp_path / "own.keras"), keras.models.clone_model(model)
    assert {len(copy.trainable_variables) for copy in copies} == {trained + 2 * K}
    for each in (model, copies[0]):  # with the optimizer's state
        each.fit(IMAGES, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), copies[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# Of a model that was never trained the optimizer has nothing to load yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
def test_a_class_that_is_not_registered_is_named_when_a_file_is_read(tmp_path):
    model = make(decoder=Unregistered())
    model.save(tmp_path / "own.keras")
    with pytest.raises(TypeError, match="Unregistered"):
        keras.models.load_model(tmp_path / "own.keras")
    copy = keras.models.load_model(
        tmp_path / "own.keras", custom_objects={"Unregistered": Unregistered}
    )
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), model.reconstruct(IMAGES))


class Unregistered(LinearDecoders):
    pass
