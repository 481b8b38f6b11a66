"""Hundreds of bad inputs: each is refused in a line that says what was expected and received."""

import itertools
import re

import keras
import numpy as np
import pytest

import mvae_tf
from mvae_tf import evaluation
from mvae_tf.commands import program

pytestmark = pytest.mark.slow

SHAPE = (8, 8, 1)
SETTINGS = {"image_shape": SHAPE, "num_components": 2, "latent_dim": 2, "hidden_units": (8,)}
GOOD = np.random.default_rng(0).uniform(size=[8, *SHAPE]).astype(np.float32)
# What is said to whoever gives it; a traceback's end is all that they read.
REFUSALS = (ValueError, OSError, TypeError, IndexError, FloatingPointError)

BAD_NUMBERS = (-1, 0, 2.5, "3", None, float("nan"), float("inf"), 10**20, [1], True)
BAD_ARGUMENTS = {
    "image_shape": (0, (), (8, 8, 0), (8, 8.5, 1), "8", None, (-8, 8, 1)),
    "num_components": tuple(each for each in BAD_NUMBERS if each is not True),
    "latent_dim": tuple(each for each in BAD_NUMBERS if each is not True),
    "hidden_units": ((0,), (8, -1), ("8",), (2.5,), 3, "many", (None,)),
    "activation": ("no such", 7, (), ("elu", "elu"), ("no such",), (7,)),
    "decoder_activation": ("no such", 7, (), ("elu", "elu"), ("no such",)),
    "dropout": (1, -0.1, float("nan"), float("inf"), "0.1", None, True),
    "initializer": ("he", None, 1),
    "network": ("cnn", None, 3),
    "likelihood": ("laplace", None, 1),
    "mixing": ("images", None, 1),
    "concentration": ("fixed", None, 1),
    "prior_concentration": (0, -1.0, float("nan"), float("inf"), "1"),
    "kl_weight": (-1, float("nan"), float("inf"), "1", None),
    "dhsic_weight": (-1, float("nan"), float("inf"), "1", None),
    "bandwidths": ("mean", (1.0,), (1.0, -1.0), (1.0, 0.0), (1.0, float("nan")), 3),
    "seed": (0.5, "0", float("nan")),
    "dtype": ("float16", "float64", "no such", 7),
}
BAD_IMAGES = {
    "bytes as floats": GOOD * 255,
    "negative": GOOD - 1,
    "NaN": np.where(GOOD > 0.5, np.nan, GOOD),
    "infinite": np.where(GOOD > 0.5, np.inf, GOOD),
    "no batch axis": GOOD[0],
    "no channels": GOOD[..., 0],
    "too large": np.zeros([2, 9, 8, 1], np.float32),
    "colour": np.zeros([2, 8, 8, 3], np.float32),
    "flat": GOOD.reshape(8, -1),
    "none": GOOD[:0],
    "words": np.full([2, *SHAPE], "x"),
    "int64": np.zeros([2, *SHAPE], np.int64),
    "complex": GOOD.astype(np.complex64),
    "nothing": None,
    "a number": 3,
    "a dict": {"images": GOOD},
}
METHODS = (
    "encode",
    "reconstruct",
    "component_reconstructions",
    "features",
    "log_likelihood",
    "elbo",
)
TRAINING = ("fit", "evaluate", "predict")

BAD_FLAGS = {
    "epochs": ("0", "-1", "2.5", "x", "1" * 20, ""),
    "batch_size": ("0", "-1", "2.5", "x", "1" * 20, "nan"),
    "learning_rate": ("0", "-1", "nan", "inf", "x", ""),
    "num_components": ("0", "-1", "2.5", "x", "1" * 20),
    "latent_dim": ("0", "-1", "2.5", "x", "1" * 20),
    "hidden_units": ("0", "-1", "8,x", "2.5", ","),
    "seed": ("x", "1.5", "1" * 20),
    "kl_weight": ("-1", "nan", "inf", "x"),
    "dhsic_weight": ("-1", "nan", "inf", "x"),
    "dropout": ("-1", "1", "nan", "inf", "x"),
    "activation": ("", ",", "no such", "no_such", "elu,", "elu,elu,elu"),
    "decoder_activation": ("", "elu;tanh", "no_such", "elu,elu,elu"),
    "initializer": ("he", ""),
    "prior_concentration": ("0", "-1", "nan", "inf", "x"),
    "network": ("cnn", ""),
    "likelihood": ("laplace", ""),
    "mixing": ("images", ""),
    "concentration": ("fixed", ""),
    "precision": ("float8", ""),
    "jit": ("maybe", ""),
    "decay": ("linear", ""),
    "preset": ("best", ""),
    "strategy": ("cluster", ""),
    "data": ("", "no such", "/no/such", "~nobody-here/x", "\\x00", "runs", "tfds:"),
    "output_dir": ("/dev/null/x", "/proc/x"),
    "no_such_flag": ("1",),
}


def refused(call):
    """Return what is wrong with how a bad input is met, None if it is refused in a line."""
    try:
        call()
    except REFUSALS as error:
        said = str(error)
        ours = "Expected" in said and "Received" in said
        # Python's own, of a path that it names, will do.
        if (ours or isinstance(error, OSError)) and len(said.splitlines()) == 1:
            return None
        return f"says {said!r}"
    except BaseException as error:
        return f"raises {type(error).__name__}: {error}"
    return "is taken"


def inputs():
    """Yield, of each bad input to Python, what it is and how it is given."""
    for name, values in BAD_ARGUMENTS.items():
        for value in values:
            yield (
                f"MixtureVAE({name}={value!r})",
                lambda n=name, v=value: mvae_tf.MixtureVAE(**{**SETTINGS, n: v}),
            )
    model = mvae_tf.MixtureVAE(**SETTINGS, seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    for (kind, images), method in itertools.product(BAD_IMAGES.items(), METHODS):
        yield f"{method}({kind})", lambda m=method, x=images: getattr(model, m)(x)
    for (kind, images), method in itertools.product(BAD_IMAGES.items(), TRAINING):
        yield f"{method}({kind})", lambda m=method, x=images: getattr(model, m)(x, verbose=0)
    for value in (0, -1, 2.5, "3", float("nan"), 10**20):
        for name in ("epochs", "batch_size", "steps_per_epoch", "validation_split"):
            if (name, value) == ("validation_split", 0):
                continue  # none
            settings = {name: value, "verbose": 0}
            yield f"fit({name}={value!r})", lambda s=settings: model.fit(GOOD, **s)
    for weights in (-np.ones(8), np.full(8, np.nan), np.ones(7), np.ones([8, 2]), "x", {0: 1.0}):
        yield (
            f"fit(sample_weight={weights!r})",
            lambda w=weights: model.fit(GOOD, sample_weight=w, verbose=0),
        )
    for weights in ([1.0], [0.5, 0.4], [-1.0, 2.0], [np.nan, 1.0], np.ones([8, 3]) / 3, "x"):
        yield f"reconstruct(weights={weights!r})", lambda w=weights: model.reconstruct(GOOD, w)
    for codes in (
        np.zeros([3, 2]),
        np.zeros([3, 2, 3]),
        np.zeros([0, 2, 2]),
        np.full([1, 2, 2], np.nan),
    ):
        yield f"decode({codes.shape})", lambda c=codes: model.decode(c)
    for n in (0, -1, 2.5, "3", None, float("nan")):
        yield f"sample({n!r})", lambda n=n: model.sample(n)
        yield f"log_likelihood(num_samples={n!r})", lambda n=n: model.log_likelihood(GOOD, n)
    for path in ("model.h5", "/dev/null/x.keras"):
        yield f"save({path!r})", lambda p=path: model.save(p)
    x = np.random.default_rng(0).normal(size=[30, 2])
    for variables in (
        [],
        [x],
        [x, x[:20]],
        [x, x[:, 0]],
        [x, x * np.nan],
        [x, np.zeros([30, 0])],
        "xy",
    ):
        yield f"dhsic_test({len(variables)})", lambda v=variables: mvae_tf.dhsic_test(v)
    for settings in (
        *({"bandwidths": each} for each in BAD_ARGUMENTS["bandwidths"]),
        *({"num_permutations": each} for each in (0, -1, 2.5, "3")),
        *({"method": each} for each in ("beta", None)),
    ):
        yield f"dhsic_test({settings})", lambda s=settings: mvae_tf.dhsic_test([x, x], **s)
    for data in ("", "no such", "/no/such", 3, None, np.zeros([3, 3]), {"x": 1}, b"digits"):
        yield f"load({data!r})", lambda d=data: mvae_tf.datasets.load(d)
    for source in (None, 3, GOOD[..., 0], GOOD[:0]):
        for measure in (evaluation.reconstruction_errors, evaluation.encode_split):
            yield f"{measure.__name__}", lambda m=measure, s=source: m(model, s)


def test_python_refuses_in_a_line():
    count, wrong = 0, []
    for what, call in inputs():
        count += 1
        answer = refused(call)
        if answer:
            wrong.append(f"{what} {answer[:300]}")
    print(f"Python: {count} bad inputs")
    assert count >= 200 and not wrong, "\n".join(wrong)


def test_the_command_line_refuses_in_a_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    count, wrong = 0, []
    calls = [
        ["train", "--data=digits", "--epochs=1", f"--{flag}={value}"]
        for flag, values in BAD_FLAGS.items()
        for value in values
    ]
    for command in ("evaluate", "reconstruct", "sample", "export", "info"):
        calls += [[command], [command, "--model=/no/such"], [command, "--model="], [command, "--x"]]
        calls += [[command, f"--model={tmp_path}"], [command, "--model=/dev/null"], [command, "a"]]
    calls += [["trian"], ["--help="], ["--no_such"], ["train", "digits"], ["", ""]]
    for argv in calls:
        count += 1
        status = program.main(argv)
        err = capsys.readouterr().err
        lines = [line for line in err.splitlines() if line.strip()]
        if status == 0 or "Traceback" in err or not lines or len(lines) > 3:
            wrong.append(f"{argv}: {status}, {err[:300]!r}")
        elif not re.search("Expected|Usage|usage|mvae-tf", err):
            wrong.append(f"{argv}: {err[:300]!r}")
    print(f"command line: {count} bad inputs")
    assert count >= 100 and not wrong, "\n".join(wrong)
