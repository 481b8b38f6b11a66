"""Trains a small mixture on digits in a process of its own, to be killed: folder, epochs, batches
after which to kill itself (-1: never)."""

import os
import signal
import sys

import keras
import numpy as np

import mvae_tf
from mvae_tf.training.optimizers import FusedAdam


class Kill(keras.callbacks.Callback):
    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class Model(mvae_tf.MixtureVAE):
    def fit(self, *args, callbacks=(), **kwargs):
        return super().fit(*args, callbacks=[Kill(int(sys.argv[3])), *callbacks], **kwargs)


if __name__ == "__main__":
    folder, epochs = sys.argv[1], int(sys.argv[2])
    data = mvae_tf.datasets.load("digits")
    model = Model((8, 8, 1), 3, 4, (32, 32), seed=7)
    model.compile(optimizer=FusedAdam(1e-3))
    history = mvae_tf.training.train(
        model, data.train, epochs=epochs, batch_size=64, seed=3, directory=f"{folder}/checkpoints"
    )
    assert [epoch["epoch"] for epoch in history] == list(range(1, epochs + 1))
    weights = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    np.save(f"{folder}/weights.npy", weights)
