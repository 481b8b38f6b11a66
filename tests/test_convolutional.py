"""The convolutional banks, against plain Keras layers and by what they must do in training."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from recycled import recycled, take_back

import mvae_tf
from mvae_tf import training
from mvae_tf.datasets.splits import Split
from mvae_tf.evaluation import resnet
from mvae_tf.networks import convolutional
from mvae_tf.networks.contract import Architecture

BANK = {"num_components": 3, "latent_dim": 2, "hidden_units": (4, 5, 6)}


def images(shape, count=6, seed=0):
    return np.random.default_rng(seed).uniform(size=[count, *shape]).astype("float32")


@recycled
def small_model(shape=(9, 10, 2), **kwargs):
    settings = {"num_components": 2, "latent_dim": 3, "hidden_units": (4, 5), "seed": 0}
    model = mvae_tf.MixtureVAE(shape, network="convolutional", **{**settings, **kwargs})
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    return model


def moving_averages(model):
    return {
        variable.path: variable.numpy() for variable in model.variables if "moving" in variable.path
    }


def correlated(inputs, kernel, stride):
    """A 3x3 convolution with "same" padding by a plain loop over output pixels."""
    height, width = inputs.shape[1:3]
    out = [-(-height // stride), -(-width // stride)]
    pads = [
        max(0, (side - 1) * stride + 3 - size)
        for side, size in zip(out, (height, width), strict=True)
    ]
    padded = np.pad(inputs, [(0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)])
    result = np.empty([len(inputs), *out, kernel.shape[-1]])
    for i in range(out[0]):
        for j in range(out[1]):
            window = padded[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
            result[:, i, j] = np.einsum("nhwc,hwcd->nd", window, kernel)
    return result


def by_hand(stack, inputs, strides):
    """An encoder's stack in NumPy: convolution, normalisation, activation, and the linear layer."""
    convolutions = [layer for layer in stack.layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in stack.layers if "normalization" in layer.name]
    for convolution, norm, stride in zip(convolutions, norms, strides, strict=True):
        inputs = correlated(inputs, convolution.kernel.numpy(), stride)
        mean, variance = inputs.mean(axis=(0, 1, 2)), inputs.var(axis=(0, 1, 2))
        inputs = (inputs - mean) / np.sqrt(variance + norm.epsilon)
        inputs = np.maximum(inputs * norm.gamma.numpy() + norm.beta.numpy(), 0)
    linear = stack.layers[-1]
    return inputs.reshape(len(inputs), -1) @ linear.kernel.numpy() + linear.bias.numpy()


@pytest.mark.parametrize(
    ("shape", "strides"),
    [((8, 11, 2), (1, 1, 1)), ((17, 20, 1), (2, 1, 1)), ((9, 33, 3), (2, 2, 1))],
)
def test_encoder_bank_is_k_stacks_of_convolutions(shape, strides):
    bank = convolutional.encoder_bank(Architecture(shape, **BANK, seed=0))
    inputs = images(shape)
    loc, scale, concentration = bank(inputs, training=True)
    for k in range(3):
        outputs = by_hand(bank.components[k], inputs, strides)
        np.testing.assert_allclose(loc[:, k], outputs[:, :2], atol=1e-4)
        softplus = np.logaddexp(outputs[:, 2:], 0)
        np.testing.assert_allclose(scale[:, k], softplus[:, :2], atol=1e-4)
        np.testing.assert_allclose(concentration[:, k], softplus[:, 2], atol=1e-4)


def test_transposed_convolutions_are_adjoint_to_the_encoders():
    """<conv(x), y> = <x, conv'(y)>, for a decoder layer given an encoder layer's kernel."""
    shape, rng = (17, 18, 3), np.random.default_rng(0)
    one_layer = {"num_components": 1, "latent_dim": 2, "hidden_units": (4,)}
    encoder = convolutional.encoder_bank(Architecture(shape, **one_layer, seed=0)).components[0]
    decoder = convolutional.decoder_bank(Architecture(shape, **one_layer, seed=0)).components[0]
    transposed, cropping = decoder.layers[-2:]
    transposed.kernel.assign(encoder.layers[0].kernel)
    x = rng.normal(size=[2, *shape]).astype("float32")
    y = rng.normal(size=[2, 9, 9, 4]).astype("float32")
    # The transposed layer gives 18 rows, of which the last is cut: the encoder sees a row of zeros.
    down = encoder.layers[0](np.pad(x, [(0, 0), (0, 1), (0, 0), (0, 0)])).numpy()
    up = cropping(transposed(y)).numpy()
    assert np.sum(down * y) == pytest.approx(np.sum(x * up), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "num_components"), [((8, 8, 1), 1), ((9, 33, 2), 2), ((65, 31, 4), 1)]
)
def test_any_size_and_number_of_channels(shape, num_components):
    model = small_model(shape, num_components=num_components, hidden_units=(3, 2, 2))
    inputs = images(shape, 5)
    history = model.fit(inputs, batch_size=4, epochs=1, verbose=0).history  # a batch of one, too
    assert np.all(np.isfinite([values[-1] for values in history.values()]))
    assert model.reconstruct(inputs).shape == (5, *shape)
    assert model.component_reconstructions(inputs).shape == (5, num_components, *shape)
    assert model.sample(3).shape == (3, *shape)


@pytest.mark.parametrize("shape", [(7, 8, 1), (8, 7, 1), (8, 8), (64,), (8, 8, 1, 1)])
def test_other_images_are_refused(shape):
    with pytest.raises(ValueError, match="h and w at least 8, for convolutional"):
        small_model(shape)


def test_components_do_not_touch_one_another():
    model = small_model()
    inputs = images((9, 10, 2))
    before = model.component_reconstructions(inputs).numpy()
    for bank in (model.encoder, model.decoder):
        for variable in bank.components[1].trainable_variables:
            variable.assign(variable + 0.1)
    after = model.component_reconstructions(inputs).numpy()
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert np.abs(after[:, 1] - before[:, 1]).max() > 1e-3


def test_initial_weights_differ_between_components_and_follow_the_seed():
    one, same, other = small_model(seed=1), small_model(seed=1), small_model(seed=2)
    kernels = [stack.layers[0].kernel.numpy() for stack in one.encoder.components]
    assert not np.array_equal(*kernels)
    for a, b in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(kernels[0], other.encoder.components[0].layers[0].kernel.numpy())


# Batch statistics ---------------------------------------------------------------------------------


def test_training_takes_the_batchs_statistics_and_answers_take_the_averages():
    model = small_model()
    inputs = images((9, 10, 2))
    one_by_one = np.concatenate([model.reconstruct(inputs[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(model.reconstruct(inputs), one_by_one, atol=1e-5)
    trained = model.encoder(inputs, training=True).loc
    alone = model.encoder(inputs[:3], training=True).loc
    assert np.abs(trained[:3] - alone).max() > 1e-3


def test_moving_averages_follow_training_alone():
    model = small_model()
    inputs = images((9, 10, 2), 8)
    initial = moving_averages(model)
    assert len(initial) == 2 * 2 * (2 + 2)  # mean and variance of K components' 2 + 2 layers
    model.evaluate(inputs, verbose=0)
    model.reconstruct(inputs)
    model.log_likelihood(inputs, num_samples=2)
    for path, value in moving_averages(model).items():
        np.testing.assert_array_equal(value, initial[path])
    first = (
        model.encoder.components[0].layers[0](inputs).numpy()
    )  # before the step changes its kernel
    model.fit(inputs, batch_size=8, epochs=1, verbose=0)
    norm = model.encoder.components[0].layers[1]
    np.testing.assert_allclose(norm.moving_mean, 0.1 * first.mean(axis=(0, 1, 2)), atol=1e-5)
    assert all(not np.array_equal(moving_averages(model)[path], initial[path]) for path in initial)


def test_many_steps_bring_evaluation_near_training():
    model = small_model()
    inputs = images((9, 10, 2), 8)
    model.fit(inputs, batch_size=8, epochs=10, verbose=0)
    model.optimizer.learning_rate.assign(0.0)  # the weights stay, and the averages come near
    model.fit(inputs, batch_size=8, epochs=100, verbose=0)
    loc = model.encoder(inputs).loc
    np.testing.assert_allclose(model.encoder(inputs, training=True).loc, loc, atol=5e-3)


def test_a_broken_step_leaves_the_averages_as_they_were():
    model = small_model()
    inputs = images((9, 10, 2), 8)
    model.fit(inputs, batch_size=8, verbose=0)
    before = moving_averages(model)
    model.decoder.components[0].layers[0].kernel.assign_add(
        tf.fill(model.decoder.components[0].layers[0].kernel.shape, np.inf)
    )
    with pytest.raises(FloatingPointError, match="of reconstruction, at step 2"):
        model.fit(inputs, batch_size=8, verbose=0)
    for path, value in moving_averages(model).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)


class Reset:
    """Lets values in a step's graph come late: if they can, after a stopped step's reset.

    As on a busy machine. Where the reset waits for such a value, it goes on after a second.
    """

    def __init__(self, model, monkeypatch):
        self._begun, self._done = threading.Event(), threading.Event()
        reset = type(model)._broken_terms

        def observed(model, *arguments):
            self._begun.set()
            try:
                return reset(model, *arguments)
            finally:
                self._done.set()

        monkeypatch.setattr(type(model), "_broken_terms", observed)

    def delays(self, value):
        def wait(value):
            if self._begun.wait(timeout=1):
                self._done.wait(timeout=60)
            return value

        value = tf.convert_to_tensor(value)
        late = tf.numpy_function(wait, [value], value.dtype, stateful=False)
        return tf.ensure_shape(late, value.shape)


def before_a_step_that_stops():
    """A model whose next step stops, images, and its moving averages."""
    model = small_model()
    inputs = images((9, 10, 2), 8)
    model.fit(inputs, batch_size=8, verbose=0)
    averages = moving_averages(model)
    kernel = model.decoder.components[0].layers[0].kernel
    kernel.assign_add(tf.fill(kernel.shape, np.inf))
    return model, inputs, averages


def require_stop(model, inputs, averages, **arguments):
    model.make_train_function(force=True)
    with pytest.raises(FloatingPointError, match="of reconstruction, at step 2"):
        model.fit(inputs, batch_size=8, verbose=0, **arguments)
    for path, value in moving_averages(model).items():
        np.testing.assert_array_equal(value, averages[path], err_msg=path)


def test_averages_that_are_updated_late_are_reset_all_the_same(monkeypatch):
    model, inputs, averages = before_a_step_that_stops()
    reset, late = Reset(model, monkeypatch), []
    layers = model.encoder.components[-1].layers
    *_, last = (each for each in layers if isinstance(each, keras.layers.BatchNormalization))
    assign = last.moving_variance.assign

    def assign_late(value):
        if tf.executing_eagerly():
            return assign(value)
        late.append(value)
        return assign(reset.delays(value))

    monkeypatch.setattr(last.moving_variance, "assign", assign_late)
    require_stop(model, inputs, averages)
    assert late


def test_averages_that_weights_might_take_back_are_reset_all_the_same(monkeypatch):
    """A step with weights writes all variables once more, where its images may weigh nothing."""
    model, inputs, averages = before_a_step_that_stops()
    reset, before = Reset(model, monkeypatch), model._before
    late = []

    def before_late(weights):
        late.extend((each, reset.delays(value)) for each, value in before(weights))
        return late

    monkeypatch.setattr(model, "_before", before_late)
    require_stop(model, inputs, averages, sample_weight=np.linspace(0.5, 2, 8))
    assert late


def test_checkpoints_hold_the_averages(tmp_path):
    def train(model, epochs, directory=None):
        training.train(
            model, split, epochs=epochs, batch_size=8, directory=directory, progress=False
        )
        return model

    small = {"num_components": 1, "hidden_units": (4,), "seed": 0}
    split = Split((images((8, 8, 1), 20) * 255).astype(np.uint8), None, is_train=True)
    straight = train(small_model((8, 8, 1), **small), 2).get_weights()
    take_back()
    train(small_model((8, 8, 1), **small), 1, tmp_path)
    resumed = train(small_model((8, 8, 1), **{**small, "seed": 5}), 2, tmp_path)
    for a, b in zip(straight, resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_ends_in_float32(policy):
    model = small_model(dtype=policy)
    inputs = images((9, 10, 2))
    exact = small_model()
    exact.set_weights(model.get_weights())
    outputs = [*model.encoder(inputs), model.decoder(tf.zeros([2, 2, 3]))]
    assert {output.dtype for output in outputs} == {tf.float32}
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    np.testing.assert_allclose(model.reconstruct(inputs), exact.reconstruct(inputs), atol=0.02)
    model.fit(inputs, batch_size=3, verbose=0)
    assert np.all(np.isfinite(model.reconstruct(inputs)))


def test_learns_digits_better_than_their_mean(digits):
    model = small_model(
        (8, 8, 1), num_components=1, latent_dim=8, hidden_units=(16, 8), kl_weight=0.05
    )
    model.fit(digits, batch_size=64, epochs=3, verbose=0)
    mean = digits.train.float_images().mean(axis=0)
    spread = np.sum((digits.test.float_images() - mean) ** 2, axis=(1, 2, 3)).mean()
    assert model.evaluate(digits, verbose=0, return_dict=True)["mse"] < 0.6 * spread


def test_an_exported_model_answers_with_the_averages(tmp_path):
    model = small_model()
    inputs = images((9, 10, 2), 8)
    model.fit(inputs, batch_size=8, epochs=3, verbose=0)
    served = tf.saved_model.load(model.export(tmp_path / "exported", score_samples=1))
    for part in (inputs, inputs[:1]):  # statistics of the batch would differ
        answer = served.reconstruct(part)["reconstructions"]
        np.testing.assert_allclose(answer, model.reconstruct(part), atol=1e-6)


def test_the_processors_gradients_are_right_for_all_convolutions_that_programs_train():
    """oneDNN's are wrong for some others, see benchmarks/gradients.py."""
    model = mvae_tf.MixtureVAE.from_preset("paper_cifar10", num_components=1)
    stacks = [model.encoder.components[0], model.decoder.components[0]]
    layers = [
        layer for stack in [*stacks, resnet.build_resnet((32, 32, 3), 10)] for layer in stack.layers
    ]
    layers = [
        each
        for each in layers
        if isinstance(each, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))
    ]
    assert len(layers) > 15
    rng = np.random.default_rng(0)
    for layer in layers:
        values = rng.normal(size=[8, *layer.input.shape[1:]])
        kernel = rng.normal(size=layer.kernel.shape)

        def gradient(dtype, layer=layer, values=values, kernel=kernel):
            inputs, weights = tf.constant(values, dtype), tf.constant(kernel, dtype)
            with tf.GradientTape() as tape:
                tape.watch([inputs, weights])
                if isinstance(layer, keras.layers.Conv2DTranspose):
                    shape = [8, *layer.output.shape[1:]]
                    result = tf.nn.conv2d_transpose(inputs, weights, shape, layer.strides)
                else:
                    result = tf.nn.conv2d(inputs, weights, layer.strides, "SAME")
                total = tf.reduce_sum(tf.sin(result))
            return tape.gradient(total, [inputs, weights])

        for one, other in zip(gradient("float32"), gradient("float64"), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3 * np.max(np.abs(other)))


@pytest.mark.parametrize(
    ("settings", "encoders", "decoders"),
    [
        ({"activation": ("elu", "tanh", "relu")}, "elu tanh relu", "relu tanh elu"),
        (
            {"activation": "elu", "decoder_activation": ("tanh", "relu", "silu")},
            "elu elu elu",
            "tanh relu silu",
        ),
    ],
)
def test_an_activation_a_layer(settings, encoders, decoders):
    settings |= {"num_components": 2, "latent_dim": 2, "hidden_units": (4, 3, 2), "seed": 0}
    architecture = Architecture((8, 8, 1), **settings)
    for bank, names in (
        (convolutional.encoder_bank(architecture), encoders),
        (convolutional.decoder_bank(architecture), decoders),
    ):
        for stack in bank.components:
            layers = [each for each in stack.layers if isinstance(each, keras.layers.Activation)]
            assert [layer.activation.__name__ for layer in layers] == names.split()


def test_initial_weights_are_hes_where_asked_for():
    settings = {"num_components": 1, "latent_dim": 2, "hidden_units": (64, 64), "seed": 0}
    architecture = Architecture((8, 8, 1), **settings, initializer="he_normal")
    second = convolutional.encoder_bank(architecture).components[0].layers[3]
    assert second.kernel.shape == (3, 3, 64, 64)
    np.testing.assert_allclose(np.std(second.kernel), np.sqrt(2 / (9 * 64)), rtol=0.02)


def test_dropout_is_refused():
    with pytest.raises(ValueError, match=r"dropout=0 for convolutional .* Received: 0\.1"):
        small_model((8, 8, 1), dropout=0.1)
