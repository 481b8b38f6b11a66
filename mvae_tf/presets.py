"""Named settings: what the paper says, what the first author's published code does, our best."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Preset:
    """Arguments of `MixtureVAE` and the protocol of its training.

    Attributes:
        model: arguments of `MixtureVAE`.
        epochs, batch_size, learning_rate: of `training.train` and of Adam.
        decay: "none", or "cosine": the learning rate falls along half a cosine, to 0 at the end.
    """

    model: Mapping[str, Any]
    epochs: int
    batch_size: int
    learning_rate: float
    decay: str = "none"


# Section V.C; channels and activation, which it leaves open, are the best found on a validation
# part of the training images at equal time.
_CIFAR10_NETWORKS = {
    "image_shape": (32, 32, 3),
    "num_components": 4,
    "latent_dim": 256,
    "network": "convolutional",
    "hidden_units": (32, 32, 32, 32, 16),
    "activation": "elu",
    "likelihood": "gaussian",
    # Not in the text; at weight 1 even the best linear model has twice the printed error.
    "kl_weight": 0.05,
    "dhsic_weight": 1.0,
    "bandwidths": "dimension",
}

_CIFAR10_PROTOCOL = {"epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "decay": "cosine"}

_MNIST_NETWORKS = {
    "image_shape": (28, 28, 1),
    "num_components": 4,
    "latent_dim": 20,
    "hidden_units": (500, 500),
    "activation": "relu",
    "kl_weight": 1.0,
    "dhsic_weight": 1.0,
    "bandwidths": "dimension",
}

_MNIST_PROTOCOL = {"epochs": 100, "batch_size": 128, "learning_rate": 1e-3}

# Where the text is silent (mixing, prior), the reading under which the printed Table II's pattern
# appears: near-uniform weights, every component a good VAE. It was chosen for its likeness to print
# on test images: that it is close to print there is no evidence. On training images held out the
# choice stays (reproduce/readings_heldout.py).
_PAPER_READING = {
    "mixing": "likelihood",
    "concentration": "free",
    "prior_concentration": 100.0,
    "dhsic_root": False,
}

# The settings of the published code, which differ from the paper's text.
_AUTHORS_READING = {
    "mixing": "image",
    "concentration": "normalized",
    "prior_concentration": None,
    "dhsic_root": True,
}

PRESETS: dict[str, Preset] = {
    # Section V.A; what it leaves open as _PAPER_READING and _MNIST_PROTOCOL's batches have it.
    "paper_mnist": Preset(
        model=_MNIST_NETWORKS | _PAPER_READING | {"likelihood": "gaussian"},
        **_MNIST_PROTOCOL,
    ),
    # Network sizes, epochs and eq. 14 are the paper's, the rest is what reproduce/search_mnist.py
    # chose on training images held out.
    "best_mnist": Preset(
        model=_MNIST_NETWORKS
        | _PAPER_READING
        | {"mixing": "image", "likelihood": "bernoulli", "activation": "elu"},
        epochs=100,
        batch_size=64,
        learning_rate=2e-3,
        decay="cosine",
    ),
    # Section V.C, which gives no number of epochs, nor says whether the learning rate stays at
    # 0.001.
    "paper_cifar10": Preset(
        model=_CIFAR10_NETWORKS | _PAPER_READING,
        **_CIFAR10_PROTOCOL,
    ),
    # The published script for MNIST, at the text's d = 20 where it has 50. It trains on 55,000 of
    # the images, which is no setting of a model: `dataset.with_train(55_000)`.
    "authors_mnist": Preset(
        model=_MNIST_NETWORKS
        | _AUTHORS_READING
        | {
            "likelihood": "bernoulli",
            "activation": ("elu", "tanh"),  # and in the decoders tanh, then ELU
            "dropout": 0.1,
            "initializer": "he_normal",
        },
        **_MNIST_PROTOCOL,
    ),
    # What reproduce/search_cifar10.py chose on training images held out; networks, d, epochs and
    # the KL weight are those of paper_cifar10.
    "best_cifar10": Preset(
        model=_CIFAR10_NETWORKS | _PAPER_READING | {"mixing": "image"},
        **_CIFAR10_PROTOCOL | {"learning_rate": 2e-3},
    ),
    # Its script for CIFAR-10, but for a slip: there the third component's image also stands in for
    # the fourth's. It trains on all 50,000 images.
    "authors_cifar10": Preset(
        model=_CIFAR10_NETWORKS | _AUTHORS_READING,
        **_CIFAR10_PROTOCOL,
    ),
}


def get(name: str) -> Preset:
    """Return a preset by name; a ValueError names those there are."""
    if name not in PRESETS:
        raise ValueError(f"Expected a preset among {sorted(PRESETS)}. Received: {name!r}.")
    return PRESETS[name]
