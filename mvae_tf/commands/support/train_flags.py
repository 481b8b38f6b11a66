"""The flags of `train`. Those that say nothing unless given are the preset's, or the run's."""

from absl import flags

from mvae_tf import presets
from mvae_tf.commands.support import arguments
from mvae_tf.devices import strategies
from mvae_tf.training import jit, precision


def define(values: flags.FlagValues) -> None:
    """Define all of them."""
    arguments.define_data(values)
    _define_run(values)
    _define_model(values)
    _define_training(values)


def _define_run(values):
    flags.DEFINE_string(
        "output_dir",
        None,
        "The run folder (default: runs/ and the name of the data, see above).",
        flag_values=values,
    )
    flags.DEFINE_bool("resume", False, "Go on with the run in --output_dir.", flag_values=values)
    flags.DEFINE_bool(
        "tensorboard",
        False,
        "Write to tensorboard/ in the run folder; the test images are looked at after each epoch.",
        flag_values=values,
    )
    arguments.define_integer(
        values,
        "tensorboard_every",
        None,
        "Epochs from one set of TensorBoard's pictures to the next (default: 1).",
    )


def _define_model(values):
    def number(name, text):
        arguments.define_integer(values, name, None, text)

    def choice(name, choices, text):
        flags.DEFINE_enum(name, None, choices, text, flag_values=values)

    def weight(name, text):
        arguments.define_number(values, name, text)

    choice(
        "preset",
        sorted(presets.PRESETS),
        "Settings to start from, for images of any shape. Default: paper_mnist for small images, "
        "paper_cifar10 for others.",
    )
    number("num_components", "Components of the mixture.")
    number("latent_dim", "Size of each component's code.")
    flags.DEFINE(
        arguments.WholeNumbers(),
        "hidden_units",
        None,
        "Sizes of the encoders' hidden layers, in convolutions the channels; the decoders mirror "
        "them.",
        flag_values=values,
    )
    choice("network", ["dense", "convolutional"], "Kind of the networks.")
    for name, of in (("activation", "encoders'"), ("decoder_activation", "decoders'")):
        flags.DEFINE(
            arguments.Names(),
            name,
            None,
            f"Of the {of} hidden layers: one of Keras's, or one for each of them. Without "
            "--decoder_activation the decoders have the encoders' in reverse.",
            flag_values=values,
        )
    weight("dropout", "Share of the outputs of dense hidden layers that a training step drops.")
    choice("initializer", ["glorot_uniform", "he_normal"], "Of the weights.")
    choice(
        "likelihood",
        ["gaussian", "bernoulli"],
        "Of a pixel; bernoulli is for images that are nearly black and white.",
    )
    choice(
        "mixing",
        ["likelihood", "image"],
        "What is mixed: the components' likelihoods or their images.",
    )
    weight("kl_weight", "Factor of the KL terms.")
    weight("dhsic_weight", "Factor of the dHSIC penalty.")


def _define_training(values):
    arguments.define_integer(
        values,
        "epochs",
        None,
        "Passes over the training images. A resumed run can be given more of them.",
    )
    arguments.define_integer(values, "batch_size", None, "Images a step.")
    arguments.define_number(values, "learning_rate", "Of Adam, at the beginning.", zero=False)
    arguments.define_integer(
        values,
        "seed",
        None,
        "Of the initial weights, the draws and the images' order (default: 0).",
        least=0,
    )
    flags.DEFINE_enum(
        "precision",
        "auto",
        precision.PRECISIONS,
        "What the networks compute in; auto: bfloat16 where GPU or processor is faster at it, "
        "float32 elsewhere. A resumed run keeps its own.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "jit",
        "auto",
        jit.JITS,
        "Whether steps are compiled by XLA, many in one program; auto: on a GPU, not on "
        "processors. A resumed run keeps its own.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "strategy",
        "none",
        strategies.STRATEGIES,
        "Which devices share each batch: one; mirrored: all GPUs of this machine; multi_worker: "
        "those of all workers that TF_CONFIG names, each of which is given the same command.",
        flag_values=values,
    )
