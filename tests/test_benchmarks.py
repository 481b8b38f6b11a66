"""That the benchmarks still fit the code they measure."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def training():
    # Under a name of its own: there is mvae_tf.training, too.
    spec = importlib.util.spec_from_file_location("training_benchmark", FOLDER / "training.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    import mvae_tf

    model = mvae_tf.MixtureVAE.from_preset("paper_mnist", num_components=1)
    banks = (model.encoder, model.decoder)
    kernels = [layer.kernel for bank in banks for layer in bank.stack]
    products = 3 * sum(kernel.numpy().size for kernel in kernels) - kernels[0].numpy().size
    assert training._operations() == 2 * products
