"""Whether training steps are compiled by XLA: many in one program on a GPU, none elsewhere.

On a GPU a step of small networks is hundreds of kernels, each of which takes longer to launch than
to run; compiled they are few. On processors XLA's matrix products are slower than TensorFlow's own.
The choice follows from the hardware, never from a timing: on one machine it is always the same.
"""

from typing import NamedTuple

JITS = ("auto", "on", "off")


class Choice(NamedTuple):
    """A choice and what it was made for; as text, both.

    Attributes:
        jit: "on" or "off".
        reason: In a few words.
    """

    jit: str
    reason: str

    def __str__(self):
        return f"{self.jit} ({self.reason})"


def check(jit: str, strategy: str = "none") -> None:
    """Refuse a choice that can't be, before TensorFlow starts.

    Raises:
        ValueError: it is none of `JITS`, or "on" with several devices.
    """
    if jit not in JITS:
        raise ValueError(f"Expected jit to be one of {JITS}. Received: {jit!r}.")
    if jit == "on" and strategy != "none":
        raise ValueError(f'Expected jit "on" on one device alone. Received: strategy {strategy!r}.')


def resolve(jit: str = "auto", strategy: str = "none") -> Choice:
    """Return what a choice stands for on this machine.

    Args:
        jit: One of `JITS`; "auto": what is fastest here.
        strategy: Of `mvae_tf.devices.strategies`, by which is trained.

    Raises:
        ValueError: see `check`.
    """
    check(jit, strategy)
    if jit != "auto":
        return Choice(jit, "as asked for")
    if strategy != "none":
        return Choice("off", "several devices")
    import tensorflow as tf  # only where it has to be asked

    if tf.config.get_visible_devices("GPU"):
        return Choice("on", "a GPU")
    return Choice("off", "no GPU")
