"""The MLP of the first author's published script, of which the paper says nothing.

One hidden layer of 100 ReLU units of which half are dropped, Adam, ten epochs in batches of 128, on
codes as they are. The script holds the last tenth of the training codes out, looks at the accuracy
on them, and decides nothing by it.
"""

import numpy as np

HIDDEN_UNITS, DROPOUT = 100, 0.5
EPOCHS, BATCH_SIZE = 10, 128
TRAINED_SHARE = 0.9
_STEPS_AT_ONCE = 8  # for speed alone


def fit(codes: np.ndarray, labels: np.ndarray, *, seed: int = 0):
    """Return a Keras model, trained on the first nine tenths of the codes.

    Args:
        codes: Float32 [n, d].
        labels: Integers from 0, [n].
        seed: Of the initial weights, what is dropped and the order of the codes.

    Returns:
        A model of float32 [n, d] to the classes' probabilities [n, classes].
    """
    # Scripts look at their flags and at what is stored before they import Keras.
    import keras
    import tensorflow as tf

    def dense(units, activation, end):
        initial = keras.initializers.GlorotUniform(2 * seed + end)
        return keras.layers.Dense(units, activation, kernel_initializer=initial, dtype="float32")

    model = keras.Sequential(
        [
            dense(HIDDEN_UNITS, "relu", 0),
            keras.layers.Dropout(DROPOUT, seed=seed, dtype="float32"),
            dense(int(labels.max()) + 1, "softmax", 1),
        ]
    )
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        steps_per_execution=_STEPS_AT_ONCE,
        jit_compile=False,
    )
    trained = int(TRAINED_SHARE * len(codes))
    pairs = tf.data.Dataset.from_tensor_slices((codes[:trained], labels[:trained]))
    batches = pairs.shuffle(trained, seed=seed).batch(BATCH_SIZE)
    model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


def accuracy(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    *,
    seed: int = 0,
) -> float:
    """Fit it on training codes and return its accuracy in % on test codes; arguments as `fit`'s."""
    model = fit(train_codes, train_labels, seed=seed)
    predicted = model.predict(test_codes, batch_size=1000, verbose=0).argmax(axis=1)
    return 100.0 * float(np.mean(predicted == test_labels))
