import keras
import numpy as np
import pytest
import tensorflow as tf

from mvae_tf.training.optimizers import FusedAdam


def steps(optimizer, gradients, shape=(3, 4)):
    variable = keras.Variable(np.ones(shape, "float32"))
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    for gradient in gradients:
        apply(tf.constant(gradient))
    return variable.numpy()


GRADIENTS = np.random.default_rng(0).normal(size=[30, 3, 4]).astype("float32")


def test_is_adam_as_published():
    """Kingma & Ba (2015), in the order of computation that its Section 2 recommends."""
    value, first, second = np.ones([3, 4]), 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS.astype(np.float64), start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        value -= rate * first / (np.sqrt(second) + 1e-7)
    np.testing.assert_allclose(steps(FusedAdam(0.01), GRADIENTS), value, rtol=1e-4)


def test_is_keras_adam_with_other_settings_too():
    settings = {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1, "clipnorm": 1.0}
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    np.testing.assert_allclose(
        steps(FusedAdam(schedule, **settings), GRADIENTS),
        steps(keras.optimizers.Adam(schedule, **settings), GRADIENTS),
        rtol=1e-5,
    )


def test_config_round_trip_and_amsgrad():
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(FusedAdam(0.02, beta_1=0.8))
    )
    assert isinstance(copy, FusedAdam)
    assert copy.beta_1 == 0.8 and float(copy.learning_rate) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="amsgrad=False"):
        FusedAdam(amsgrad=True)
