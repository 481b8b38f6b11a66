"""Small trainings of every kind, and what they gave when the training version was declared.

  python tests/golden_trainings.py              # says what differs from the stored values
  python tests/golden_trainings.py --compiled   # likewise of steps compiled by XLA, in a minute
  python tests/golden_trainings.py --write      # stores what is computed now, see training.version
  python tests/golden_trainings.py --add        # likewise, of kinds of which nothing is stored yet

Of each training the terms of every epoch are compared, and of each variable its initial value and
its change: their norm and their product with a fixed random vector. `test_training_version` does so
in a process that sees no GPU, whose rounding is another.
"""

import dataclasses
import json
import math
import re
import sys
from pathlib import Path

STORED = Path(__file__).parent / "golden" / "trainings.json"
EPOCHS, IMAGES, BATCH_SIZE = 2, 40, 16  # the last batch of an epoch is a smaller one
CLASSIFIED = 200  # images, in batches of 128
SEED = 3

# Network, precision, K, mixing, likelihood and concentration: in the first eight, any two of them
# meet in all their values. With them, a few of what is seldom set.
_COLUMNS = ("network", "precision", "num_components", "mixing", "likelihood", "concentration")
_ROWS = (
    ("dense", "float32", 3, "likelihood", "gaussian", "free", {}),
    ("dense", "float32", 1, "likelihood", "bernoulli", "normalized", {"kl_weight": 0.5}),
    ("dense", "mixed_bfloat16", 3, "image", "gaussian", "normalized", {}),
    ("dense", "mixed_bfloat16", 1, "image", "bernoulli", "free", {}),
    ("convolutional", "float32", 3, "image", "bernoulli", "normalized", {"dhsic_root": True}),
    ("convolutional", "float32", 1, "image", "gaussian", "free", {"decay": "cosine"}),
    ("convolutional", "mixed_bfloat16", 3, "likelihood", "bernoulli", "free", {}),
    ("convolutional", "mixed_bfloat16", 1, "likelihood", "gaussian", "normalized", {}),
    ("dense", "float32", 3, "image", "gaussian", "free", {"dhsic_weight": 1000.0}),
    ("dense", "float32", 3, "likelihood", "bernoulli", "normalized", {"bandwidths": "median"}),
    ("dense", "float32", 3, "image", "bernoulli", "free", {"activation": "elu"}),
    # The published code's networks, and all that came with them elsewhere.
    (
        *("dense", "float32", 3, "image", "bernoulli", "normalized"),
        {"activation": ("elu", "tanh"), "dropout": 0.1, "initializer": "he_normal"},
    ),
    (
        *("dense", "mixed_bfloat16", 3, "likelihood", "gaussian", "free"),
        {"decoder_activation": ("tanh", "elu"), "dropout": 0.5},
    ),
    (
        *("convolutional", "float32", 1, "image", "gaussian", "free"),
        {"activation": ("elu", "tanh"), "initializer": "he_normal"},
    ),
)
# Compiled by XLA, whose draws of the weights are others.
_COMPILED_ROWS = (
    ("dense", "float32", 3, "image", "bernoulli", "normalized", {"jit": "on"}),
    ("dense", "float32", 2, "image", "bernoulli", "normalized", {"jit": "on", "dropout": 0.1}),
)


def _cases(rows):
    return {
        ", ".join(map(str, [*row, *(f"{name} {value}" for name, value in others.items())])): {
            **dict(zip(_COLUMNS, row, strict=True)),
            **others,
        }
        for *row, others in rows
    }


CASES, COMPILED = _cases(_ROWS), _cases(_COMPILED_ROWS)

# Trained as users do, in a graph; the others step by step, which saves most of their time.
_IN_GRAPH = (0, 7)

# Relative, of terms, initial values and changes. Processors and libraries round sums in another
# order, and Adam amplifies it where gradients are small. Between Eigen and oneDNN, SSE4.1 and AVX2,
# one thread and two, graph and eager, terms differed by up to 6e-6 and changes by up to 5e-5 in
# float32; in bfloat16 by 1e-4 and 0.02, and by 0.02 and 0.4 if a quarter of all products is rounded
# the other way.
TOLERANCES = {
    "float32": {"terms": 5e-5, "initial": 1e-5, "change": 2e-3},
    "mixed_bfloat16": {"terms": 2e-2, "initial": 1e-5, "change": 0.4},
}


def measured() -> dict:
    """Train all but the compiled; return what is stored of them."""
    from mvae_tf.training import version

    return {
        "training_version": version.TRAINING_VERSION,
        "classifier_version": version.CLASSIFIER_VERSION,
        "optimizer": {decay: _optimizer(decay) for decay in ("none", "cosine")},
        "trainings": {
            name: _training(case, in_graph=index in _IN_GRAPH)
            for index, (name, case) in enumerate(CASES.items())
        },
        "classifier": _classifier(),
    }


def measured_compiled() -> dict:
    """Train the compiled; return what is stored of them."""
    return {"compiled": {name: _training(case, in_graph=True) for name, case in COMPILED.items()}}


def added(stored: dict) -> dict:
    """Train those of which nothing is stored; return all that is to be stored."""
    new = {}
    for part, cases, in_graph in (("trainings", CASES, False), ("compiled", COMPILED, True)):
        new[part] = {
            name: stored[part].get(name) or _training(case, in_graph)
            for name, case in cases.items()
        }
    return stored | new


def _settings(case):
    """Return the settings of a case as `run_folder` takes them."""
    case = dict(case)
    is_dense = case["network"] == "dense"
    training = {
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "optimizer": "Adam",
        "learning_rate": 1e-3,
        "decay": case.pop("decay", "none"),
        "seed": SEED,
        "precision": case.pop("precision"),
        "jit": case.pop("jit", "off"),
    }
    model = {
        "image_shape": (8, 8, 1) if is_dense else (17, 17, 3),
        "latent_dim": 2,
        "hidden_units": (12, 10) if is_dense else (4, 6),
        "seed": SEED,
        **case,
    }
    return {"model": model, "training": training}


def _images(image_shape):
    """Return a split of digits: as they are, or three of them as one larger image's colours.

    No photographs: their decoders differ by a level here and there.
    """
    import numpy as np

    from mvae_tf import datasets

    train = datasets.load("digits").train
    images = train.images[: IMAGES + 2]
    if image_shape[-1] == 3:
        images = np.concatenate([images[:-2], images[1:-1], images[2:]], axis=-1)
        images = images.repeat(2, axis=1).repeat(2, axis=2)
        images = np.pad(images, [(0, 0), (1, 0), (0, 1), (0, 0)])
    return dataclasses.replace(train, images=images[:IMAGES], labels=None)


def _training(case, in_graph):
    from mvae_tf import training
    from mvae_tf.training import run_folder

    settings = _settings(case)
    protocol = settings["training"]
    model = run_folder.build(settings, IMAGES)
    model.run_eagerly = not in_graph
    initial = [weight.numpy() for weight in model.weights]
    history = training.train(
        model,
        _images(settings["model"]["image_shape"]),
        epochs=EPOCHS,
        batch_size=protocol["batch_size"],
        seed=protocol["seed"],
        progress=False,
    )
    terms = [
        {name: _rounded(value) for name, value in epoch.items() if name not in ("epoch", "seconds")}
        for epoch in history
    ]
    return {"terms": terms, "variables": _variables(model, initial)}


def _classifier():
    """Train the network that judges images."""
    import keras

    from mvae_tf import datasets
    from mvae_tf.evaluation import resnet

    data = datasets.load("digits")
    few = dataclasses.replace(
        data.train, images=data.train.images[:CLASSIFIED], labels=data.train.labels[:CLASSIFIED]
    )
    initial = [weight.numpy() for weight in resnet.build_resnet((8, 8, 1), 10, seed=SEED).weights]
    model, _ = resnet.train_classifier(few, few, epochs=EPOCHS, seed=SEED, progress=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    terms = [{"loss": _rounded(loss(few.labels, model(few.float_images(), training=False)))}]
    return {"terms": terms, "variables": _variables(model, initial)}


def _optimizer(decay):
    """Return what the optimizer makes of gradients of all sizes, down to its epsilon."""
    import keras
    import numpy as np

    from mvae_tf.training import run_folder

    settings = _settings({**next(iter(CASES.values())), "decay": decay})
    optimizer = run_folder.build(settings, IMAGES).optimizer
    gradients = np.logspace(0, -9, 10, dtype=np.float32)
    variable = keras.Variable(np.zeros_like(gradients))
    for step in range(4):
        optimizer.apply([keras.ops.convert_to_tensor(gradients / (1 + step))], [variable])
    return [_rounded(value) for value in variable.numpy()]


def _variables(model, initial):
    """Return of each variable its shape, and norm and product of initial value and change."""
    rows = []
    for index, (weight, before) in enumerate(zip(model.weights, initial, strict=True)):
        change = weight.numpy() - before
        row = {"shape": list(before.shape)}
        rows.append(row | {"initial": _sketch(before, index), "change": _sketch(change, index)})
    return rows


def _sketch(array, index):
    import numpy as np

    values = array.astype(np.float64).ravel()
    direction = np.random.default_rng(index).normal(size=values.size)
    return [_rounded(np.linalg.norm(values)), _rounded(values @ direction)]


def _rounded(value):
    return float(f"{float(value):.8g}")


def differences(now: dict, stored: dict) -> list[str]:
    """Return what differs by more than rounding, in words."""
    told = []
    for decay, values in stored["optimizer"].items():
        for value, expected in zip(now["optimizer"][decay], values, strict=True):
            told += _differs(f"optimizer, decay {decay}: update", value, expected, 1e-5 * -expected)
    for name, values in stored["trainings"].items():
        tolerances = TOLERANCES[CASES[name]["precision"]]
        told += _of_training(name, now["trainings"][name], values, tolerances)
    return told


def compiled_differences(now: dict, stored: dict) -> list[str]:
    """Likewise of compiled steps."""
    told = []
    for name, values in stored["compiled"].items():
        told += _of_training(name, now["compiled"][name], values, TOLERANCES["float32"])
    return told


def classifier_differences(now: dict, stored: dict) -> list[str]:
    """Likewise of the classifier of images."""
    return _of_training(
        "classifier", now["classifier"], stored["classifier"], TOLERANCES["float32"]
    )


def _of_training(name, now, stored, tolerances):
    told = []
    for epoch, terms in enumerate(stored["terms"], start=1):
        for term, expected in terms.items():
            where, value = f"{name}: epoch {epoch}, {term}", now["terms"][epoch - 1].get(term)
            # What is 0 up to rounding, such as the KL of equal distributions, has no size.
            told += _differs(where, value, expected, tolerances["terms"] * max(abs(expected), 1e-3))
    shapes = [[row["shape"] for row in each["variables"]] for each in (now, stored)]
    if shapes[0] != shapes[1]:
        return [*told, f"{name}: variables of shapes {shapes[0]} in place of {shapes[1]}"]
    for index, before in enumerate(stored["variables"]):
        for part in ("initial", "change"):
            norm = before[part][0]
            for value, expected in zip(now["variables"][index][part], before[part], strict=True):
                where = f"{name}: variable {index} {before['shape']}, {part}"
                told += _differs(where, value, expected, tolerances[part] * norm)
    return told


def _differs(where, value, expected, most):
    if value is not None and math.isfinite(value) and abs(value - expected) <= most:
        return []
    return [f"{where}: {value} in place of {expected}, to {most:.2g}"]


def _on_one_line(numbers):
    return f"[{' '.join(numbers[0].strip('[]').split())}]"


def main(arguments: list[str]) -> None:
    """Store the values, or print what differs; --json prints what is computed now."""
    if {"--write", "--add"} & {*arguments}:
        is_new = "--write" in arguments
        values = (
            measured() | measured_compiled() if is_new else added(json.loads(STORED.read_text()))
        )
        text = json.dumps(values, indent=1)
        STORED.write_text(re.sub(r"\[[-+.\de,\s]+\]", _on_one_line, text) + "\n")
        return
    is_compiled = "--compiled" in arguments
    now = measured_compiled() if is_compiled else measured()
    if "--json" in arguments:
        print(json.dumps(now))
        return
    stored = json.loads(STORED.read_text())
    if is_compiled:
        told = compiled_differences(now, stored)
    else:
        told = differences(now, stored) + classifier_differences(now, stored)
    print("\n".join(told or ["Nothing differs."]))


if __name__ == "__main__":
    from mvae_tf.startup import import_tensorflow

    import_tensorflow()
    main(sys.argv[1:])
