"""That the benchmarks still fit the code they measure."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from absl import flags

import mvae_tf

FOLDER = Path(__file__).parent.parent / "benchmarks"


def loaded(name):
    """Yield a benchmark as a module; its flags have the names of other benchmarks' flags."""
    known = set(flags.FLAGS)
    # Under a name of its own: there is mvae_tf.training, too.
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for each in set(flags.FLAGS) - known:
        delattr(flags.FLAGS, each)


@pytest.fixture
def training():
    yield from loaded("training")


@pytest.fixture
def formats():
    yield from loaded("formats")


def test_our_step_is_trained_as_a_run_is(training, monkeypatch):
    monkeypatch.setattr(training, "IMAGES", 40)
    run = training.CONTENDERS["mvae_tf"]("float32", 1, 8)
    assert run(2) == 40 and run(7) == 80  # whole executions of five steps, beyond an epoch


@pytest.mark.parametrize("limit", ["limit", "limit and Adam"])
def test_the_limits_take_what_a_step_takes(training, limit):
    assert training.CONTENDERS[limit]("float32", 1, 8)(3) == 3 * 8


def test_ratios_across_precisions_are_to_the_best_peer(training):
    rates = {
        "float32": {"mvae_tf": 6, "PyTorch loop": 3, "PyTorch compiled": 4},
        "mixed_bfloat16": {"mvae_tf": 10, "PyTorch loop": 8, "PyTorch compiled": 5},
    }
    assert training._across(rates) == [
        "float32 over the best peer in float32: 1.50",
        "float32 over the best peer in mixed_bfloat16: 0.75",
        "mixed_bfloat16 over the best peer in float32: 2.50",
        "mixed_bfloat16 over the best peer in mixed_bfloat16: 1.25",
    ]
    assert training._across({"float32": {"limit": 1, "mvae_tf": 1}}) == []


def test_operations_are_those_of_the_models_kernels(training):
    model = mvae_tf.MixtureVAE.from_preset("paper_mnist", num_components=1)
    banks = (model.encoder, model.decoder)
    kernels = [layer.kernel for bank in banks for layer in bank.stack]
    products = 3 * sum(kernel.numpy().size for kernel in kernels) - kernels[0].numpy().size
    assert training._operations() == 2 * products


def test_an_error_is_the_largest_of_all_outputs(formats):
    expected = {"loc": np.zeros([2, 3]), "scale": np.ones(2)}
    assert formats._error({"loc": np.zeros([2, 3]), "scale": np.array([1.5, -1.0])}, expected) == 2


@pytest.mark.slow  # seven exports
def test_each_format_answers_as_the_model(formats, tmp_path):
    model = mvae_tf.MixtureVAE((4, 4, 1), 2, 3, (8,), seed=0)
    within = {"SavedModel": 1e-5, "TFLite, float32": 1e-5, "TFLite, float16": 1e-2}
    forms = []
    for form, runner in formats._runners(model, tmp_path):
        forms.append(form)
        for name in formats.SIGNATURES:
            size, call = runner(name)
            inputs = formats._inputs(name, model, 3)
            error = formats._error(call(inputs), formats._expected(model, name, inputs))
            assert size > 1000 and error < within.get(form, 0.1), (form, name)
    assert {*within, "TFLite, int8"} <= {*forms}
