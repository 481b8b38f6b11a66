"""M-VAE's training step in JAX: batched products, many steps in one program by `lax.scan`.

It computes what `peers.pytorch` does, which says what that is.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

HIDDEN_UNITS = (500, 500)
PRIOR_CONCENTRATION = 100.0
STEPS_AT_ONCE = 64


def initial_parameters(key, pixels, num_components, latent_dim):
    """Return the kernels [K, in, out] and biases of encoders and decoders."""
    sizes = {
        "encoder": (pixels, *HIDDEN_UNITS, 2 * latent_dim + 1),
        "decoder": (latent_dim, *reversed(HIDDEN_UNITS), pixels),
    }
    initial = jax.nn.initializers.glorot_uniform(batch_axis=0)
    return {
        name: [
            (
                initial(jax.random.fold_in(key, index), (num_components, *pair)),
                jnp.zeros((num_components, 1, pair[1])),
            )
            for index, pair in enumerate(itertools.pairwise(each))
        ]
        for name, each in sizes.items()
    }


def mlp(layers, hidden, dtype):
    """Return what K multilayer perceptrons make of [K, n, in], products in a dtype."""
    for index, (kernel, bias) in enumerate(layers):
        product = jnp.matmul(hidden.astype(dtype), kernel.astype(dtype))
        hidden = product.astype(jnp.float32) + bias
        if index + 1 < len(layers):
            hidden = jax.nn.relu(hidden)
    return hidden


def dhsic(codes):
    """Return dHSIC of codes [K, n, d], with the bandwidth of mvae_tf's rule "dimension"."""
    dimension = codes.shape[-1]
    sigma = 2 * math.exp(math.lgamma((dimension + 1) / 2) - math.lgamma(dimension / 2))
    norms = jnp.square(codes).sum(-1)
    products = codes @ codes.transpose(0, 2, 1)
    squared = norms[:, :, None] + norms[:, None, :] - 2 * products
    kernels = jnp.exp(-jnp.maximum(squared, 0) / (2 * sigma**2))
    rows = kernels.mean(2)
    return kernels.prod(0).mean() + rows.mean(1).prod() - 2 * rows.prod(0).mean()


def kl_dirichlet(concentration, prior):
    """Return KL(Dirichlet(concentration) || Dirichlet(prior)), of [n, K]."""
    lgamma, digamma = jax.scipy.special.gammaln, jax.scipy.special.digamma
    total, prior_total = concentration.sum(-1, keepdims=True), prior * concentration.shape[-1]
    each = lgamma(prior) - lgamma(concentration)
    each += (concentration - prior) * (digamma(concentration) - digamma(total))
    return lgamma(total[:, 0]) - lgamma(prior_total) + each.sum(-1)


def loss(parameters, images, key, latent_dim, dtype):
    """Return eq. 14 of images [n, pixels]."""
    outputs = mlp(parameters["encoder"], images[None], dtype)
    loc, scale, concentration = jnp.split(outputs, [latent_dim, 2 * latent_dim], axis=-1)
    scale = jax.nn.softplus(scale) + 1e-7
    concentration = jnp.maximum(jax.nn.softplus(concentration[..., 0]).T, 1e-6)
    key_z, key_w = jax.random.split(key)
    codes = loc + scale * jax.random.normal(key_z, loc.shape)
    weights = jax.nn.softmax(jax.random.loggamma(key_w, concentration), axis=-1)
    reconstructed = jax.nn.sigmoid(mlp(parameters["decoder"], codes, dtype))
    errors = jnp.square(reconstructed - images).sum(-1)
    kl_z = 0.5 * (loc**2 + scale**2 - 1 - 2 * jnp.log(scale)).sum((0, 2))
    kl_w = kl_dirichlet(concentration, PRIOR_CONCENTRATION)
    bound = -(weights.T * errors).sum(0) - kl_z - kl_w
    return dhsic(codes) - bound.mean()


def trainer(images, *, num_components, latent_dim, batch_size, bfloat16):
    """Return a function that trains for a number of steps, or a few more, and returns how many.

    Args:
        images: uint8 [n, pixels]; they live on the device.
        num_components: K.
        latent_dim: d.
        batch_size: Images a step.
        bfloat16: Whether the networks' products are.
    """
    dtype = jnp.bfloat16 if bfloat16 else jnp.float32
    pixels = images.shape[1]
    optimizer = optax.adam(1e-3)
    parameters = initial_parameters(jax.random.key(0), pixels, num_components, latent_dim)
    state = (parameters, optimizer.init(parameters), jax.random.key(1))
    images = jax.device_put(images)

    def step(state, indices):
        parameters, moments, key = state
        key, used = jax.random.split(key)
        batch = images[indices].astype(jnp.float32) / 255
        value, gradients = jax.value_and_grad(loss)(parameters, batch, used, latent_dim, dtype)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(parameters, updates), moments, key), value

    @functools.partial(jax.jit, donate_argnums=0)
    def steps(state, indices):
        return jax.lax.scan(step, state, indices)

    rng = np.random.default_rng(0)

    def blocks():
        size = STEPS_AT_ONCE * batch_size
        while True:
            order = rng.permutation(len(images)).astype(np.int32)
            for start in range(0, len(images) - size + 1, size):
                yield order[start : start + size].reshape(STEPS_AT_ONCE, batch_size)

    source = blocks()

    def run(count):
        nonlocal state
        executions = -(-count // STEPS_AT_ONCE)
        for indices in itertools.islice(source, executions):
            state, values = steps(state, indices)
        values.block_until_ready()
        return executions * STEPS_AT_ONCE

    return run
