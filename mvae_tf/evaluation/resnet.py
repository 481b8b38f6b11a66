"""A small residual network that learns to classify a dataset's images, on a CPU in minutes.

After a change by which it learns other weights, `CLASSIFIER_VERSION` is to be raised, see
`mvae_tf.training.version`.
"""

import keras
import numpy as np
import tensorflow as tf

from mvae_tf import checks, training

_WIDTHS = (32, 64, 128, 256)
_BATCH_SIZE = 128
_LEARNING_RATE = 0.2
_WARM_UP = 0.1  # of all steps
_WEIGHT_DECAY = 1e-3


def train_classifier(
    train_split,
    test_split,
    *,
    epochs: int = 30,
    seed: int = 0,
    flips: bool = True,
    progress: bool = True,
) -> tuple[keras.Model, float]:
    """Train the network of `build_resnet` on labelled images.

    Nesterov's SGD, batches of 128, the rate warmed up linearly and decayed along a cosine. Every
    image is shifted by up to an eighth of its sides, anew in each epoch. Labels are not smoothed:
    that would cap every p(y | x), and with it every score, well below the number of classes.

    Args:
        train_split: Images of at least 8x8 and labels 0 to C - 1, as `datasets.load` gives them.
        test_split: Images and labels that only the accuracy is measured on.
        epochs: Passes over the training images.
        seed: Of the initial weights, the images' order, the shifts and the flips: the same seed
            gives the same weights on the same machine.
        flips: Whether to mirror half of the images: right for photographs, wrong for digits.
        progress: As for `mvae_tf.training.train`.

    Returns:
        The model, not compiled, and its accuracy on the test images in %.

    Raises:
        ValueError: There are no labels, labels of one class only, or test labels of other classes.
    """
    checks.size("epochs", epochs)
    num_classes = _num_classes(train_split, test_split)
    model = build_resnet(train_split.images.shape[1:], num_classes, seed=seed)
    steps = epochs * -(-len(train_split) // _BATCH_SIZE)
    warm_up = int(_WARM_UP * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=_LEARNING_RATE, warmup_steps=warm_up
    )
    # Another model of the same layers, so that the one returned carries no optimizer.
    trained = keras.Model(model.input, model.output)
    trained.compile(
        optimizer=keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=_WEIGHT_DECAY
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA's convolutions are slower on CPUs
    )
    training.train(
        trained,
        _Augmented(train_split, flips, seed),
        epochs=epochs,
        batch_size=_BATCH_SIZE,
        seed=seed,
        progress=progress,
    )
    logits = trained.predict(test_split.dataset(500, shuffle=False), verbose=0)
    return model, 100.0 * float(np.mean(np.argmax(logits, axis=1) == test_split.labels))


def build_resnet(image_shape: tuple[int, int, int], num_classes: int, *, seed: int = 0):
    """Build a residual network of 8 layers (He et al., 2016), small enough to train on a CPU.

    Args:
        image_shape: (h, w, c), h and w at least 8.
        num_classes: C, at least 2.
        seed: Of the initial weights.

    Returns:
        A Keras model: images [b, h, w, c] in [0, 1] to logits [b, C]. After the first convolution
        there are three blocks, each at half the side and twice the channels of the one before.
    """
    image_shape = checks.sizes("image_shape", tuple(image_shape))
    if len(image_shape) != 3 or min(image_shape[:2]) < 8:
        raise ValueError(f"Expected image_shape (h, w, c), h, w >= 8. Received: {image_shape}.")
    if checks.size("num_classes", num_classes) < 2:
        raise ValueError(f"Expected num_classes of at least 2. Received: {num_classes}.")
    seeds = np.random.default_rng(checks.seed(seed) % 2**32)

    def convolution(x, width, size, stride, gamma="ones"):
        initial = keras.initializers.HeNormal(seed=int(seeds.integers(2**31)))
        x = keras.layers.Conv2D(
            width, size, stride, "same", use_bias=False, kernel_initializer=initial
        )(x)
        return keras.layers.BatchNormalization(momentum=0.9, gamma_initializer=gamma)(x)

    inputs = keras.Input(image_shape)
    x = keras.layers.Rescaling(2.0, offset=-1.0)(inputs)
    x = keras.layers.ReLU()(convolution(x, _WIDTHS[0], 3, 1))
    for width in _WIDTHS[1:]:
        inner = keras.layers.ReLU()(convolution(x, width, 3, 2))
        # A block begins as its shortcut alone, which lets the first steps be large.
        inner = convolution(inner, width, 3, 1, gamma="zeros")
        x = keras.layers.ReLU()(keras.layers.Add()([convolution(x, width, 1, 2), inner]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    initial = keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31)))
    return keras.Model(inputs, keras.layers.Dense(num_classes, kernel_initializer=initial)(x))


def settings(epochs: int, seed: int, flips: bool) -> dict:
    """Return everything `train_classifier` trains with, as JSON takes it."""
    return {
        "network": "ResNet-8",
        "widths": list(_WIDTHS),
        "epochs": epochs,
        "batch_size": _BATCH_SIZE,
        "optimizer": "SGD, Nesterov momentum 0.9, cosine decay",
        "learning_rate": _LEARNING_RATE,
        "warm_up": _WARM_UP,
        "weight_decay": _WEIGHT_DECAY,
        "flips": flips,
        "seed": seed,
    }


class _Augmented:
    """A split as `training.train` takes it, of shifted and mirrored images with their labels."""

    def __init__(self, split, flips, seed):
        self._split, self._flips, self._seed = split, flips, seed

    def __len__(self):
        return len(self._split)

    def gather(self, indices):
        height, width = self._split.images.shape[1:3]
        most = height // 8, width // 8

        def augment(step, batch):
            images, labels = batch
            count = tf.shape(images)[0]
            seeds = tf.random.split([tf.constant(self._seed, tf.int64), step], 3)
            images = tf.pad(images, [[0, 0], [most[0]] * 2, [most[1]] * 2, [0, 0]])
            for axis, size in ((1, height), (2, width)):
                first = tf.random.stateless_uniform(
                    [count, 1], seeds[axis], 0, 2 * most[axis - 1] + 1, tf.int32
                )
                images = tf.gather(images, first + tf.range(size), axis=axis, batch_dims=1)
            if self._flips:
                mirrored = tf.random.stateless_uniform([count, 1, 1, 1], seeds[0]) < 0.5
                images = tf.where(mirrored, images[:, :, ::-1], images)
            return images, labels

        batches = self._split.gather(indices, labels=True).enumerate()
        return batches.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _num_classes(train_split, test_split):
    if train_split.labels is None or test_split.labels is None:
        raise ValueError("Expected images with labels. Received: images without labels.")
    classes = np.unique(train_split.labels)
    if len(classes) < 2 or classes[0] < 0:
        raise ValueError(
            f"Expected training labels of two or more classes, from 0. Received: {classes}."
        )
    unknown = np.setdiff1d(test_split.labels, classes)
    if unknown.size:
        raise ValueError(
            "Expected test labels among the training labels. "
            f"Received: {unknown.tolist()} in the test labels alone."
        )
    return int(classes[-1]) + 1
