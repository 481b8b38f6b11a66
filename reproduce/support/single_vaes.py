"""The single VAEs that a mixture is held against, and how many parameters they have."""

import itertools
import math

from mvae_tf import presets

VAE = "VAE"


def others(preset: str, count: int) -> dict[str, dict]:
    """Return the controls that are one VAE: the settings in which each differs, by name."""
    model = presets.get(preset).model
    latent_dim, weight = model["latent_dim"], model["kl_weight"]
    return {
        VAE: {},
        "VAE, d times K": {"latent_dim": count * latent_dim},
        "VAE, KL weight 1/K": {"kl_weight": weight / count},
        "VAE, KL weight 1/K, d times K": {
            "kl_weight": weight / count,
            "latent_dim": count * latent_dim,
        },
        "VAE of as many parameters": {"hidden_units": as_many_units(preset, count)},
    }


def as_many_units(preset: str, count: int) -> tuple[int, ...]:
    """Return a VAE's hidden units by which it has as many parameters as `count` components."""
    model = presets.get(preset).model
    depth, usual = len(model["hidden_units"]), parameters(preset, model["hidden_units"])
    sizes = range(1, count * max(model["hidden_units"]) + 1)
    return (
        min(sizes, key=lambda s: abs(parameters(preset, (s,) * depth) - count * usual)),
    ) * depth


def parameters(preset: str, hidden_units: tuple[int, ...]) -> int:
    """Return the number of parameters of one VAE of a preset's other settings."""
    model = presets.get(preset).model
    pixels, latent_dim = math.prod(model["image_shape"]), model["latent_dim"]
    encoder = (pixels, *hidden_units, 2 * latent_dim + 1)
    decoder = (latent_dim, *hidden_units, pixels)
    return sum(
        (inputs + 1) * outputs
        for sizes in (encoder, decoder)
        for inputs, outputs in itertools.pairwise(sizes)
    )
