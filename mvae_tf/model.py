"""MixtureVAE: K variational autoencoders trained jointly under eq. 14.

One image's way: encoder bank -> posterior q(z, w | x) -> one draw -> decoder bank -> terms of eq. 8
-> loss = -melbo + dhsic_weight * dHSIC. The mathematics lives in `objective` and `hsic`, the
networks in `networks`; this module wires them to Keras.
"""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf import bounds, checks, presets
from mvae_tf.devices import distribution
from mvae_tf.fitting import ImageTrainer
from mvae_tf.networks import activations, banks, contract
from mvae_tf.objective import melbo, seeds, step
from mvae_tf.objective.dirichlet import sample_log_weights
from mvae_tf.objective.posterior import Posterior, posterior, symmetric_prior

tfd = tfp.distributions

# Of the constructor, kept as attributes of the same names, which can't be set anew.
_OF_BANKS = (
    *("image_shape", "num_components", "latent_dim", "hidden_units", "activation"),
    *("decoder_activation", "dropout", "initializer"),
)
_ARGUMENTS = (
    *(*_OF_BANKS, "network", "likelihood", "mixing", "concentration", "prior_concentration"),
    *("kl_weight", "dhsic_weight", "dhsic_root", "bandwidths", "seed"),
)


@keras.saving.register_keras_serializable(package="mvae_tf")
class MixtureVAE(ImageTrainer):
    """A mixture of K variational autoencoders (Ye & Bors, 2020). One component is a plain VAE.

    Compile it with an optimizer alone; made in the scope of a `tf.distribute.Strategy` it trains on
    several devices, see `distribution`; `fit` and `evaluate` take images without targets. Images
    are floats in [0, 1], or uint8, which are divided by 255; others are refused, inside a graph as
    well, unless XLA compiles it. Keras's image data format, floatx and epsilon change nothing.

    Metrics: loss, melbo, reconstruction, kl_z, kl_w (nats an image), dhsic, and mse: the squared
    error of the mixture image, summed over pixels, of a posterior draw in training and of posterior
    means in evaluation. melbo is eq. 8, which is not a bound of log p(x) in general; `elbo` is one.

    Args:
        image_shape: shape of one image, such as (28, 28, 1).
        num_components: K.
        latent_dim: d, of each component's latent code.
        hidden_units: sizes of the hidden layers, the same in encoders and decoders; channels in
            convolutions, and reversed in the decoders. None: (500, 500), or (32, 32, 32, 32, 16).
        activation: of the hidden layers: one, or one for each of the encoders', from the image on.
        network: "dense", or "convolutional" with batch normalisation: images (h, w, c), h and w at
            least 8.
        likelihood: "gaussian" (eq. 4, variance 1/2 in each pixel) or "bernoulli".
        mixing: "likelihood" (eq. 8 as printed) or "image" (the likelihood of the mixture image).
        concentration: "free": the encoders' softplus outputs are the Dirichlet's parameters (eq.
            2); "normalized": they are divided by their sum.
        prior_concentration: of the symmetric Dirichlet prior, for each component. None: 100 where
            the concentration is free, 1 / K where it is normalized.
        kl_weight: factor of both KL terms.
        dhsic_weight: beta of eq. 14.
        dhsic_root: whether the penalty is the root of dHSIC rather than dHSIC.
        bandwidths: of dHSIC's kernels, see `dhsic`.
        seed: int; same seed, same weights and draws. None takes a new one.
        encoder: a bank of your own in place of the network's, see `networks`; its layers' classes
            registered (`keras.saving.register_keras_serializable`), if the model is to be saved.
        decoder: likewise.
        decoder_activation: of the decoders' hidden layers, likewise, from the code on. None: the
            encoders' in reverse.
        dropout: share of the outputs of each hidden layer of dense networks that a training step
            drops. Elsewhere none is, unless `encode` and `decode` are given a `dropout_seed`.
        initializer: of weights, "glorot_uniform" or "he_normal".
        dtype: "float32", "mixed_bfloat16" or "mixed_float16". None: that of
            `keras.config.set_dtype_policy` if it is one of these, or else "float32".

    What a model is made with is kept in attributes of the same names, and stays as it is. Layers of
    its banks can be frozen, and are in its files as well: whole layers, not single variables.

    Raises:
        ValueError: for an argument outside what is said above.

    Example:
        >>> model = MixtureVAE(image_shape=(28, 28, 1), num_components=4, latent_dim=20)
        >>> model.compile(optimizer=keras.optimizers.Adam(1e-3))
        >>> model.fit(images, batch_size=128, epochs=10)   # float images [n, 28, 28, 1] in [0, 1]
        >>> model.reconstruct(images[:8])                  # [8, 28, 28, 1]
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_components: int = 4,
        latent_dim: int = 20,
        hidden_units: Sequence[int] | None = None,
        activation: str | Sequence[str] = "relu",
        network: str = "dense",
        likelihood: str = "gaussian",
        mixing: str = "likelihood",
        concentration: str = "free",
        prior_concentration: float | None = None,
        kl_weight: float = 1.0,
        dhsic_weight: float = 1.0,
        dhsic_root: bool = False,
        bandwidths: str | Sequence[float] = "dimension",
        seed: int | None = None,
        encoder: keras.layers.Layer | None = None,
        decoder: keras.layers.Layer | None = None,
        decoder_activation: str | Sequence[str] | None = None,
        dropout: float = 0.0,
        initializer: str = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": checks.policy(kwargs.get("dtype"))})
        self.image_shape = checks.sizes("image_shape", image_shape)
        self.num_components = checks.size("num_components", num_components)
        self.latent_dim = checks.size("latent_dim", latent_dim)
        self.network = checks.choice("network", network, tuple(banks.NETWORKS))
        if hidden_units is None:
            hidden_units = banks.NETWORKS[network].hidden_units
        self.hidden_units = checks.sizes("hidden_units", hidden_units)
        layers = len(self.hidden_units)
        self.activation = activations.checked("activation", activation, layers)
        self.decoder_activation = activations.checked(
            "decoder_activation", decoder_activation, layers
        )
        self.dropout = checks.share("dropout", dropout)
        self.initializer = checks.choice("initializer", initializer, contract.INITIALIZERS)
        self.likelihood = checks.choice("likelihood", likelihood, melbo.LIKELIHOODS)
        self.mixing = checks.choice("mixing", mixing, melbo.MIXINGS)
        self.concentration = checks.choice("concentration", concentration, ("free", "normalized"))
        if prior_concentration is None:
            prior_concentration = 100.0 if concentration == "free" else 1.0 / num_components
        self.prior_concentration = checks.positive("prior_concentration", prior_concentration)
        self.kl_weight = checks.not_negative("kl_weight", kl_weight)
        self.dhsic_weight = checks.not_negative("dhsic_weight", dhsic_weight)
        self.dhsic_root = bool(dhsic_root)
        self.bandwidths = checks.bandwidths(bandwidths, num_components)
        self.seed = None if seed is None else checks.seed(seed)
        self._own_encoder, self._own_decoder = encoder is not None, decoder is not None

        self._seeds = keras.random.SeedGenerator(self.seed)
        sizes = {name: getattr(self, name) for name in _OF_BANKS}
        architecture = contract.Architecture(**sizes, seed=self._seeds, dtype=self.dtype_policy)
        self.encoder, self.decoder = banks.made(network, architecture, encoder, decoder)
        names = ("loss", "melbo", *step.TERMS, "mse")
        self._trackers = {name: keras.metrics.Mean(name=name, dtype="float32") for name in names}
        self.built = True

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "MixtureVAE":
        """Return a model with a preset's settings, such as "paper_mnist"; overrides win."""
        return cls(**{**presets.get(name).model, **overrides})

    def __setattr__(self, name, value):
        if name in (*_ARGUMENTS, "encoder", "decoder") and self.__dict__.get("built"):
            raise AttributeError(
                f"Expected {name} to stay as it is: what has been traced would go on with it. "
                f"Received: {value!r}; make a model of model.get_config() with another {name}, and "
                "give it model.get_weights()."
            )
        super().__setattr__(name, value)

    def get_config(self):
        """Return the constructor's arguments, and which layers of the banks are frozen.

        Of the network's own banks, which are made thawed, only if any is.
        """
        saved = keras.saving.serialize_keras_object
        frozen = banks.frozen((self.encoder, self.decoder))
        has_own = self._own_encoder or self._own_decoder
        return {
            **super().get_config(),
            **({"frozen": frozen} if frozen or has_own else {}),
            **{name: getattr(self, name) for name in _ARGUMENTS},
            "encoder": saved(self.encoder) if self._own_encoder else None,
            "decoder": saved(self.decoder) if self._own_decoder else None,
        }

    @classmethod
    def from_config(cls, config):
        """Return a model of the settings that `get_config` gives."""
        restored = keras.saving.deserialize_keras_object
        own = {name: restored(config[name]) for name in ("encoder", "decoder") if config.get(name)}
        given = {**config, **own}
        frozen = given.pop("frozen", None)
        model = cls(**given)
        if frozen is not None:
            banks.freeze((model.encoder, model.decoder), frozen)
        return model

    # The model's answers -------------------------------------------------------------------------

    def call(self, images):
        """Return `reconstruct(images)`."""
        return self.reconstruct(images)

    def encode(self, images, dropout_seed: int | None = None) -> Posterior:
        """Return the posterior q(z, w | x) of images [n, *image].

        With a `dropout_seed`, of its draws, dropout is on as in training.
        """
        of_encoder, _ = self._calls(dropout_seed)
        return self._posterior(checks.images(images, self.image_shape), of_encoder)

    def decode(self, codes, dropout_seed: int | None = None) -> tf.Tensor:
        """Return each component's image of its latent code: [n, K, d] -> [n, K, *image].

        With a `dropout_seed`, of its draws, dropout is on as in training.
        """
        _, of_decoder = self._calls(dropout_seed)
        codes = checks.array("codes", codes, (self.num_components, self.latent_dim))
        return tf.sigmoid(self.decoder(codes, **of_decoder))

    def reconstruct(self, images, weights=None) -> tf.Tensor:
        """Return the mixture image of the posterior means (eq. 5).

        Args:
            images: [n, *image].
            weights: [K] or [n, K], non-negative with sum 1: mixing weights that take the place of
                the expected ones, such as a row of the identity for one component alone.

        Returns:
            [n, *image].
        """
        posterior = self.encode(images)
        if weights is None:
            weights = posterior.w.mean()
        else:
            weights = checks.mixing_weights(weights, self.num_components)
            weights = tf.broadcast_to(weights, posterior.w.concentration.shape)
        return melbo.mix(weights, self.decode(posterior.z.mean()))

    def component_reconstructions(self, images) -> tf.Tensor:
        """Return each component's own reconstruction from its posterior mean, [n, K, *image]."""
        return self.decode(self.encode(images).z.mean())

    def features(self, images) -> tf.Tensor:
        """Return the latent codes' posterior means, component after component, [n, K * d]."""
        means = self.encode(images).z.mean()
        return tf.reshape(means, [-1, self.num_components * self.latent_dim])

    def sample(self, n: int, seed: int = 0) -> tf.Tensor:
        """Draw images from the prior, [n, *image].

        Under mixing "image" a draw is the mixture of all components' images with w ~
        Dirichlet(prior); under "likelihood" p(x) is a mixture of densities, so a draw comes from
        one component. Inside a graph, n and seed may be int32 scalars.
        """
        n = n if tf.is_symbolic_tensor(n) else checks.size("n", n)
        seed = seed if tf.is_symbolic_tensor(seed) else checks.seed(seed)
        seed_z, seed_w, seed_k = tf.unstack(tf.random.split(seeds.apart([seed, 0]), 3))
        codes = tf.random.stateless_normal([n, self.num_components, self.latent_dim], seed_z)
        weights = tf.exp(sample_log_weights(self._prior_w().concentration, seed_w, shape=[n]))
        if self.mixing == "likelihood":
            chosen = tfd.Categorical(probs=weights).sample(seed=seed_k)
            weights = tf.one_hot(chosen, self.num_components)
        return melbo.mix(weights, self.decode(codes))

    def log_likelihood(self, images, num_samples: int = 64, seed: int = 0) -> tf.Tensor:
        """Estimate log p(x) by importance weighting: in expectation a lower bound, tight as
        num_samples grows.

        Under mixing "image": log mean_s p(x | z_s, w_s) p(z_s) p(w_s) / q(z_s, w_s | x). Under
        "likelihood", p(x) = (1/K) sum_k p_k(x), the prior's mean weights being 1/K, and each p_k is
        estimated by its own component's posterior. Not inside a function that XLA compiles.

        Args:
            images: [n, *image].
            num_samples: draws from the posterior for each image; memory does not grow with it.
            seed: of the draws.

        Returns:
            [n], nats. Of the density where the likelihood is Gaussian; for "bernoulli" a true
            log-probability only of binary images.
        """  # noqa: D205
        return bounds.log_likelihood(self, images, num_samples, seed)

    def elbo(self, images, seed: int = 0) -> tf.Tensor:
        """Estimate the evidence lower bound of log p(x), at one draw: in expectation a true bound.

        The metric melbo is eq. 8, which is none: see `objective.melbo`. `kl_weight` has no part in
        it.

        Args:
            images: [n, *image].
            seed: of the draws.

        Returns:
            [n], nats, of the same p(x) as `log_likelihood`.
        """
        return bounds.elbo(self, images, seed)

    # Parts ---------------------------------------------------------------------------------------

    def _calls(self, dropout_seed):
        """Return the arguments of encoder and decoder outside training; a seed may be an int32."""
        if dropout_seed is not None:
            if not tf.is_tensor(dropout_seed):
                dropout_seed = checks.seed(dropout_seed)
            dropout_seed = seeds.apart([dropout_seed, 0])
        return banks.arguments((self.encoder, self.decoder), dropout_seed)

    def _posterior(self, images, arguments=None, compiled=False) -> Posterior:
        return posterior(
            *self.encoder(images, **(arguments or {})),
            normalized=self.concentration == "normalized",
            compiled=compiled,
        )

    def _prior_w(self):
        return symmetric_prior(self.num_components, self.prior_concentration)

    def _objective(self, images, count, seed, training=False, weights=None):
        """Return eq. 14 of the whole batch, and by name its terms and mse (all [n] but dhsic)."""
        compiled = self._is_compiled()
        both = self.encoder, self.decoder
        of_encoder, of_decoder = banks.arguments(both, seed if training else None, training)
        return step.loss_and_terms(
            images,
            seed,
            self._posterior(images, of_encoder, compiled),
            self._prior_w(),
            functools.partial(self.decoder, **of_decoder),
            step.Objective(*(getattr(self, name) for name in step.Objective._fields)),
            at_means=not training,
            compiled=compiled,
            gather=functools.partial(distribution.gather, count),
            weights=weights,
        )
