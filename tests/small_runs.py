"""Runs of the command line on digits, small enough to be trained by the dozen."""

import numpy as np

from mvae_tf.training import run_folder

SMALL = ["--num_components=2", "--latent_dim=3", "--hidden_units=16", "--batch_size=100"]


def weights(folder):
    """Return all weights of a run's model, one after another."""
    return np.concatenate([np.ravel(each) for each in run_folder.load(folder).model.get_weights()])
