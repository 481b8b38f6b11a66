"""A page of a user's code, for a type checker to read (see test_types); it is never run."""

from typing import reveal_type

import numpy as np

import mvae_tf
from mvae_tf import datasets, plots, training

data = datasets.load("digits", seed=1)
images = data.train.float_images()
labels = data.train.labels

model = mvae_tf.MixtureVAE((8, 8, 1), num_components=2, latent_dim=4, hidden_units=(32,), seed=0)
preset = mvae_tf.MixtureVAE.from_preset("paper_mnist", num_components=10)
model.fit(data, batch_size=64, epochs=2)
history = training.train(model, data.train, epochs=2, batch_size=64)

posterior = model.encode(images)
reconstructions = model.reconstruct(images, weights=np.array([1.0, 0.0]))

codes = [np.zeros((50, 2), np.float32), np.ones((50, 3), np.float32)]
criterion = mvae_tf.dhsic(codes, bandwidths="median")
test = mvae_tf.dhsic_test(codes, num_permutations=99, seed=0)
folder = mvae_tf.export_saved_model(model, "serving/digits", score_samples=8)

reveal_type(data)
reveal_type(data.train)
reveal_type(images)
reveal_type(labels)
reveal_type(model)
reveal_type(preset)
reveal_type(model.fit)
reveal_type(history)
reveal_type(posterior)
reveal_type(model.reconstruct)
reveal_type(mvae_tf.dhsic)
reveal_type(test)
reveal_type(folder)
reveal_type(plots.image_rows)

model.fit(images, epocs=2)  # the one mistake
