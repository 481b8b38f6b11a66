"""Refuse what would not fit into memory, before any of it is read."""


def require(needed: int, what: str, advice: str) -> None:
    """Refuse what needs more memory than there is.

    Args:
        needed: Bytes.
        what: That needs them.
        advice: What makes it smaller, as a sentence.

    Raises:
        MemoryError: they are not available.
    """
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        raise MemoryError(
            f"Expected images that fit into the {available / 2**30:.1f} GiB of memory available. "
            f"Received: {what}, for which {needed / 2**30:.1f} GiB are needed. {advice}"
        )
