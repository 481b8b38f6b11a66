"""In which precision networks compute: bfloat16 where it is native and faster, float32 elsewhere.

It is faster on GPUs from compute capability 8.0, on processors with AMX, and on AMD's with
AVX512_BF16, whose instruction does twice the multiplications of float32's at the same rate. Intel's
runs at half the rate, so that without AMX nothing is gained. The choice follows from what the
hardware says of itself, never from a timing: on one machine it is always the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PRECISIONS = ("auto", "float32", "mixed_bfloat16")

_CPUINFO = Path("/proc/cpuinfo")  # of Linux
_FAST_CAPABILITY = (8, 0)


class Choice(NamedTuple):
    """A precision and what it was chosen for; as text, both.

    Attributes:
        policy: Keras's name of the dtype policy.
        reason: In a few words.
    """

    policy: str
    reason: str

    def __str__(self):
        return f"{self.policy} ({self.reason})"


def resolve(precision: str = "auto") -> Choice:
    """Return the dtype policy that a precision stands for on this machine.

    Args:
        precision: "auto", what is fastest here, or the name of a policy, which stays what it is.

    Raises:
        ValueError: it is none of `PRECISIONS`.

    Example:
        ```python
        policy, reason = mvae_tf.training.precision.resolve()
        model = mvae_tf.MixtureVAE((28, 28, 1), num_components=4, latent_dim=20, dtype=policy)
        ```
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Expected precision to be one of {PRECISIONS}. Received: {precision!r}.")
    if precision != "auto":
        return Choice(precision, "as asked for")
    capabilities = _gpu_capabilities()
    return for_gpus(capabilities) if capabilities else for_processor(_cpuinfo())


def for_gpus(capabilities: Sequence[tuple[int, int] | None]) -> Choice:
    """Return the choice for GPUs, all of which are to be fast at it.

    Args:
        capabilities: The compute capability of each, major and minor; None where it says none.
    """
    if None in capabilities:
        return Choice("float32", "a GPU without a compute capability")
    least = min(capabilities)
    policy = "mixed_bfloat16" if least >= _FAST_CAPABILITY else "float32"
    return Choice(policy, f"GPU of compute capability {least[0]}.{least[1]}")


def for_processor(cpuinfo: str) -> Choice:
    """Return the choice for processors described as Linux does in /proc/cpuinfo.

    Args:
        cpuinfo: The description; "" where there is none.
    """
    vendors, flags = _parsed(cpuinfo)
    if not flags:
        return Choice("float32", "what this processor can do is not known")
    if "amx_bf16" in flags:
        return Choice("mixed_bfloat16", "this processor has AMX")
    if "avx512_bf16" in flags and vendors == {"AuthenticAMD"}:
        return Choice("mixed_bfloat16", "this processor has a fast AVX512_BF16")
    if flags & {"avx512_bf16", "bf16"}:  # the second is Arm's
        return Choice("float32", "this processor is not known to be faster in bfloat16")
    return Choice("float32", "this processor has no bfloat16 products")


def _parsed(cpuinfo):
    """Return the processors' vendors, and the flags that all of them have."""
    vendors, flags = set(), []
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "vendor_id":
            vendors.add(value.strip())
        elif name.strip() in ("flags", "Features"):
            flags.append(set(value.split()))
    return vendors, set.intersection(*flags) if flags else set()


def _cpuinfo():
    try:
        return _CPUINFO.read_text(errors="replace")
    except OSError:
        return ""


def _gpu_capabilities():
    import tensorflow as tf  # only where it has to be asked

    details = tf.config.experimental.get_device_details
    return [details(gpu).get("compute_capability") for gpu in tf.config.get_visible_devices("GPU")]
