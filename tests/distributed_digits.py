"""Measures what several replicas compute, in processes of its own, for test_distribution.

`mirrored FOLDER`: on two logical devices of one process, and on one device for comparison.
`worker FOLDER KILL_AFTER`: one of several workers, which kills itself after so many batches (-1:
never).
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from train_digits import Kill

import mvae_tf
from mvae_tf import training
from mvae_tf.commands import program
from mvae_tf.devices import strategies
from mvae_tf.model import Posterior
from mvae_tf.training import run_folder
from mvae_tf.training.optimizers import FusedAdam

MODEL = {
    "image_shape": (8, 8, 1),
    "num_components": 3,
    "latent_dim": 2,
    "hidden_units": (16,),
    "dhsic_weight": 1000.0,  # so that its gradient counts beside the bound's
    "seed": 7,
}
BATCH_SIZE = 64
SMALL = "--data=digits --precision=float32 --batch_size=500 --num_components=2 --latent_dim=2"
SMALL = f"{SMALL} --hidden_units=16 --dhsic_weight=1000".split()
COUNTS = (64, 33, 1)  # images of a batch: equal parts, unequal ones, one replica with none


class Undrawn(mvae_tf.MixtureVAE):
    """Takes for its draws what each image alone decides; of a white image that is NaN."""

    def _posterior(self, images, training=False, compiled=False):
        z, w = super()._posterior(images, training, compiled)
        flat = tf.reshape(tf.cast(images, tf.float64), [-1, 64])
        directions = np.random.default_rng(0).normal(0.0, 3.0, [64, 6])
        noise = tf.cast(tf.sin(flat @ directions), tf.float32)
        noise = tf.where(tf.reduce_min(flat, axis=1, keepdims=True) == 1, np.nan, noise)
        noise = tf.reshape(noise, [-1, 3, 2])
        z.sample = lambda seed: z.mean() + z.stddev() * noise
        w.sample = lambda seed: w.mean()
        return Posterior(z, w)


def make(strategy, kind=Undrawn, **settings):
    with strategies.get(strategy).scope():
        model = kind(**{**MODEL, **settings})
        model.compile(optimizer=FusedAdam())
    return model


def flat_weights(model):
    return np.concatenate([np.ravel(weight.numpy()) for weight in model.trainable_variables])


def first(split, count):
    return dataclasses.replace(split, images=split.images[:count], labels=None)


def train(model, data, count, **kwargs):
    split, batch = first(data.train, count), BATCH_SIZE
    return training.train(model, split, batch_size=batch, progress=False, **kwargs)


def refusal(model, images):
    """Return the error that a step of images gives, and whether the weights are what they were."""
    before = flat_weights(model)
    try:
        # Of a dataset, so that nobody looks at the images beforehand.
        model.fit(tf.data.Dataset.from_tensors(images), verbose=0)
    except (ValueError, FloatingPointError) as error:
        unchanged = np.array_equal(before, flat_weights(model))
        return f"{type(error).__name__}: {error}", unchanged
    return None


def with_last(images, value):
    """Return 64 images of which the last, on the last replica, has a value everywhere."""
    return np.concatenate([images[:63], np.full_like(images[:1], value)])


def measure_strategy(strategy, data):
    """Return what is to be the same by any strategy: gradients, and a whole training."""
    model = make(strategy)
    start, gradients = model.get_weights(), {}
    for count in COUNTS:
        train(model, data, count, epochs=1)
        # After the first step the first moment is a tenth of the gradient.
        moments = [np.ravel(each.numpy()) for each in model.optimizer._momentums]
        gradients[f"{strategy}-gradient-{count}"] = 10 * np.concatenate(moments)
        model.set_weights(start)
        for variable in model.optimizer.variables:
            if variable is not model.optimizer._learning_rate:
                variable.assign(tf.zeros_like(variable))
    # The last batch is of one image, that of validation, too.
    history = train(model, data, 257, epochs=3, validation=first(data.test, 129))
    return model, history, {**gradients, f"{strategy}-weights": flat_weights(model)}


def dropping(rate, twins):
    """Return dHSIC of two images that differ in what is dropped alone, and the weights then."""
    model = make("mirrored", dropout=rate)
    return train(model, twins, 2, epochs=1)[0]["dhsic"], flat_weights(model).tolist()


def mirrored(folder):
    physical = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(physical, two)
    data = mvae_tf.datasets.load("digits")
    _, one_history, one_arrays = measure_strategy("none", data)
    model, history, arrays = measure_strategy("mirrored", data)
    images = data.train.float_images()
    results = {
        "replicas": model.distribute_strategy.num_replicas_in_sync,
        "histories": {"none": one_history, "mirrored": history},
        "too_bright": refusal(model, with_last(images, 3.0)),
        "not_finite": refusal(model, with_last(images, 1.0)),
    }
    flags = [*SMALL, "--epochs=1", "--strategy=mirrored", f"--output_dir={folder / 'run'}"]
    results["status"] = program.main(["train", *flags])
    convolutional = make(
        "mirrored", mvae_tf.MixtureVAE, num_components=2, network="convolutional", hidden_units=(2,)
    )
    same = np.repeat(data.train.images[:1], 2, axis=0)
    twins = dataclasses.replace(data, train=dataclasses.replace(data.train, images=same))
    results["dhsic_of_twins"] = train(convolutional, twins, 2, epochs=1)[0]["dhsic"]
    results["dropping"] = [dropping(rate, twins) for rate in (0.0, 0.5, 0.5)]
    train(convolutional, data, 65, epochs=1)
    copies = convolutional.distribute_strategy.experimental_local_results
    averages = [
        [copy.numpy() for copy in copies(each)] for each in convolutional._moving_averages()
    ]
    np.savez(
        folder / "arrays.npz", **one_arrays, **arrays, averages=np.concatenate(averages, axis=-1)
    )
    (folder / "results.json").write_text(json.dumps(results))


def worker(folder, kill_after):
    """One of several workers: `train`, a script, and a gradient that is not finite."""
    train = run_folder.train
    run_folder.train = lambda *args, callbacks=(), **kwargs: train(
        *args, callbacks=[*callbacks, Kill(kill_after)], **kwargs
    )
    begun = (folder / "run" / "settings.json").exists()
    flags = ["--resume"] if begun else [*SMALL, "--epochs=3"]
    flags += ["--strategy=multi_worker", f"--output_dir={folder / 'run'}"]
    status = program.main(["train", *flags])
    if status or not (folder / "script").exists():
        sys.exit(status)
    data = mvae_tf.datasets.load("digits")
    model = make("multi_worker")
    refused = refusal(model, with_last(data.train.float_images(), 1.0))
    strategy = model.distribute_strategy
    results = {"replicas": strategy.num_replicas_in_sync, "not_finite": refused}
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    (folder / f"worker-{index}.json").write_text(json.dumps(results))
    script(folder)


def script(folder):
    """Run a script like those of reproduce/, on digits."""
    from support import scripts, study

    digits = mvae_tf.datasets.load("digits")
    mvae_tf.datasets.load = lambda *args, **kwargs: digits
    study.EPOCHS["mnist"]["quick"] = 1
    sys.argv = ["table0.py", "--preset=quick", "--strategy=multi_worker", "--precision=float32"]
    sys.argv += [f"--output_dir={folder / 'script'}", f"--runs_dir={folder / 'runs'}"]

    def rebuild(of):
        run = of.run(0, image_shape=(8, 8, 1), hidden_units=(16,), num_components=2)
        return {"loss": run.history[-1]["loss"]}, {}

    scripts.run_script("table0", rebuild, lambda result: f"the loss is {result['loss']}")


if __name__ == "__main__":
    what, place, *numbers = sys.argv[1:]
    {"mirrored": mirrored, "worker": worker}[what](Path(place), *map(int, numbers))
