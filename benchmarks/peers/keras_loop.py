"""M-VAE's training step as a plain Keras loop over K sub-models, with Keras's own Adam."""

import keras

import mvae_tf


def model(*, num_components: int, latent_dim: int, precision: str):
    """Return a compiled `mvae_tf.MixtureVAE` of 2 K `keras.Sequential` networks.

    Args:
        num_components: K.
        latent_dim: d.
        precision: Name of a dtype policy.
    """
    keras.config.set_dtype_policy(precision)
    settings = mvae_tf.presets.get("paper_mnist").model
    shape, units = settings["image_shape"], settings["hidden_units"]

    def hidden(sizes):
        return [keras.layers.Dense(size, "relu") for size in sizes]

    def encoder():
        outputs = keras.layers.Dense(mvae_tf.networks.num_outputs(latent_dim))
        return keras.Sequential([keras.layers.Flatten(), *hidden(units), outputs])

    def decoder():
        pixels = shape[0] * shape[1] * shape[2]
        last = [keras.layers.Dense(pixels), keras.layers.Reshape(shape)]
        return keras.Sequential([*hidden(reversed(units)), *last])

    built = mvae_tf.MixtureVAE.from_preset(
        "paper_mnist",
        num_components=num_components,
        latent_dim=latent_dim,
        encoder=mvae_tf.networks.EncoderBank([encoder() for _ in range(num_components)]),
        decoder=mvae_tf.networks.DecoderBank([decoder() for _ in range(num_components)]),
    )
    built.compile(optimizer=keras.optimizers.Adam(1e-3))
    return built
