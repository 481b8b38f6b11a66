"""Both banks of a model by the name of its network, or of its user's own."""

from typing import NamedTuple

import tensorflow as tf

from mvae_tf.networks import contract, convolutional, dense
from mvae_tf.objective import seeds


class _Network(NamedTuple):
    encoder: object
    decoder: object
    hidden_units: tuple[int, ...]  # the usual ones


NETWORKS = {
    "dense": _Network(dense.DenseEncoderBank, dense.DenseDecoderBank, (500, 500)),
    "convolutional": _Network(
        convolutional.encoder_bank, convolutional.decoder_bank, (32, 32, 32, 32, 16)
    ),
}


def made(network: str, architecture: contract.Architecture, encoder=None, decoder=None) -> tuple:
    """Return the encoder and the decoder bank of a model.

    Args:
        network: Of `NETWORKS`.
        architecture: Of the banks that are made.
        encoder: A bank in place of the network's own.
        decoder: Likewise.

    Raises:
        ValueError: the network can't be as the architecture says, or a given bank doesn't keep the
            contract.
    """
    named = NETWORKS[network]
    shapes = architecture.image_shape, architecture.num_components, architecture.latent_dim
    if encoder is None:
        encoder = named.encoder(architecture, name="encoder")
    else:
        encoder = contract.checked_encoder(encoder, *shapes)
    if decoder is None:
        return encoder, named.decoder(architecture, name="decoder")
    decoder = contract.checked_decoder(decoder, *shapes)
    _require_separate(encoder, decoder)
    return encoder, decoder


def arguments(banks, dropout_seed: tf.Tensor | None, training: bool = False) -> list[dict]:
    """Return what each of a model's banks is called with beside its input.

    Args:
        banks: Encoder and decoder.
        dropout_seed: int32 [2], of the draws of what is dropped; None: dropout is off.
        training: Whether in training.
    """
    given = [{"training": training} for _ in banks]
    # A bank of the user's own has draws of its own.
    dropping = [isinstance(bank, dense.DenseBank) and bank.dropout > 0 for bank in banks]
    if dropout_seed is not None and any(dropping):
        drawn = tf.unstack(seeds.of_dropout(dropout_seed))
        for each, drops, seed in zip(given, dropping, drawn, strict=True):
            each |= {"seed": seed} if drops else {}
    return given


def frozen(banks) -> list[int]:
    """Return which layers of banks don't train, by their place among all, however deep."""
    return [place for place, layer in enumerate(_layers(banks)) if not layer.trainable]


def freeze(banks, places: list[int]) -> None:
    """Let those layers train that aren't at one of these places, see `frozen`."""
    for place, layer in enumerate(_layers(banks)):
        layer.trainable = place not in places  # and those within it, which come later


def _layers(banks):
    """Return all layers of banks, each after the one that it is in, in the order of Keras's own.

    One that several hold, as components may share one without weights, is there for each of them:
    so a file makes it again.
    """
    parts = ([bank, *map(_within, bank._layers)] for bank in banks)
    return tf.nest.flatten(list(parts))


def _within(layer):
    """Return a layer and those within it, the last first, nested."""
    return [layer, *map(_within, reversed(layer._layers))]


def _require_separate(encoder, decoder):
    """Refuse banks with variables in common: a file would not keep that."""
    if {id(each) for each in encoder.variables} & {id(each) for each in decoder.variables}:
        raise ValueError(
            "Expected encoder and decoder to share no variables, such as weights, which a file "
            "would not keep. Received: two that do."
        )
