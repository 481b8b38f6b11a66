"""The choice of a precision on made-up hardware, as /proc/cpuinfo and TensorFlow tell of it."""

import sys

import keras
import pytest
import tensorflow as tf

from mvae_tf.training import precision

X86 = "fpu sse2 avx avx2 fma avx512f"


def processor(vendor, flags):
    """One processor's part of /proc/cpuinfo on x86."""
    return f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: Some: CPU\nflags\t\t: {flags}\n\n"


AMD, INTEL = "AuthenticAMD", "GenuineIntel"
ZEN_5 = processor(AMD, f"{X86} avx512_bf16 avx512_vnni")
SAPPHIRE_RAPIDS = processor(INTEL, f"{X86} avx512_bf16 amx_tile amx_bf16 amx_int8")
WITHOUT_AMX = processor(INTEL, f"{X86} avx512_bf16 avx512_fp16")
NEOVERSE_V2 = "processor\t: 0\nFeatures\t: fp asimd sve2 svebf16 i8mm bf16\nCPU part\t: 0xd4f\n\n"


@pytest.mark.parametrize(
    ("cpuinfo", "policy", "reason"),
    [
        (2 * ZEN_5, "mixed_bfloat16", "AVX512_BF16"),
        (2 * SAPPHIRE_RAPIDS, "mixed_bfloat16", "AMX"),
        (processor("Another", f"{X86} amx_bf16"), "mixed_bfloat16", "AMX"),
        (2 * WITHOUT_AMX, "float32", "not known to be faster"),
        (processor("Another", f"{X86} avx512_bf16"), "float32", "not known to be faster"),
        (4 * NEOVERSE_V2, "float32", "not known to be faster"),
        (processor(AMD, X86), "float32", "no bfloat16"),
        (processor(INTEL, f"{X86} amx_tile amx_int8"), "float32", "no bfloat16"),
        ("Features\t: fp asimd\n", "float32", "no bfloat16"),
        # A process may run on any of them.
        (ZEN_5 + processor(AMD, X86), "float32", "no bfloat16"),
        (SAPPHIRE_RAPIDS + WITHOUT_AMX, "float32", "not known to be faster"),
        (ZEN_5 + WITHOUT_AMX, "float32", "not known to be faster"),
        # What is no flag.
        (processor("avx512_bf16", X86), "float32", "no bfloat16"),
        (f"{processor(INTEL, X86)}bugs\t: amx_bf16\n", "float32", "no bfloat16"),
        (processor(AMD, "xavx512_bf16 amx_bf16_ AMX_BF16"), "float32", "no bfloat16"),
        ("model name\t: with AuthenticAMD avx512_bf16\n", "float32", "not known"),
        ("", "float32", "is not known"),
        ("flags", "float32", "is not known"),
        ("flags\t: \n", "float32", "is not known"),
        ("\0\ufffd:\n:::\n amx_bf16", "float32", "is not known"),
    ],
)
def test_processors(cpuinfo, policy, reason):
    choice = precision.for_processor(cpuinfo)
    assert choice.policy == policy and reason in choice.reason
    assert str(choice) == f"{policy} ({choice.reason})"


H100, A100, T4 = (9, 0), (8, 0), (7, 5)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes this machine one with those GPUs, None for one that tells nothing, and a processor."""

    def make(capabilities, cpuinfo):
        gpus = dict(enumerate(capabilities))

        def details(gpu):
            told = {} if gpus[gpu] is None else {"compute_capability": gpus[gpu]}
            return {"device_name": "GPU", **told}

        path = tmp_path / "cpuinfo"
        if cpuinfo is not None:
            path.write_bytes(cpuinfo)
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(gpus))
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
        monkeypatch.setattr(precision, "_CPUINFO", path)

    return make


@pytest.mark.parametrize(
    ("capabilities", "cpuinfo", "policy"),
    [
        ([H100], b"", "mixed_bfloat16"),
        ([A100], b"", "mixed_bfloat16"),
        ([A100, H100], b"", "mixed_bfloat16"),
        ([(12, 0)], b"", "mixed_bfloat16"),
        ([T4], ZEN_5.encode(), "float32"),  # the processor doesn't compute them
        ([H100, T4], b"", "float32"),
        ([None], ZEN_5.encode(), "float32"),
        ([H100, None], b"", "float32"),
        ([], ZEN_5.encode(), "mixed_bfloat16"),
        ([], WITHOUT_AMX.encode(), "float32"),
        ([], b"model name\t: \xff\xfe\n" + SAPPHIRE_RAPIDS.encode(), "mixed_bfloat16"),
        ([], None, "float32"),
    ],
)
def test_auto_asks_the_hardware(machine, capabilities, cpuinfo, policy):
    machine(capabilities, cpuinfo)
    assert precision.resolve("auto").policy == policy
    assert precision.resolve() == precision.resolve("auto")
    for given in ("float32", "mixed_bfloat16"):
        assert precision.resolve(given).policy == given


def test_on_this_machine_it_is_a_policy_of_keras():
    policy, reason = precision.resolve()
    assert keras.DTypePolicy(policy).variable_dtype == "float32"
    assert policy in precision.PRECISIONS and reason


def test_what_is_given_starts_no_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # cannot be imported
    assert precision.resolve("mixed_bfloat16").policy == "mixed_bfloat16"


@pytest.mark.parametrize("name", ["bfloat16", "mixed_float16", "AUTO", "", None, 32])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="Expected precision to be one of .*'auto'.* Received: "):
        precision.resolve(name)
