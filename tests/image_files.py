"""PNG and TIFF files written by hand, of kinds that Pillow doesn't write."""

import struct
import zlib

import numpy as np

_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}


def write_png(path, values, transparent=None):
    """Write uint16 [h, w, c], c of 1 (grey), 2 (and alpha), 3 (colour) or 4 (and alpha)."""
    height, width, channels = values.shape

    def chunk(kind, content):
        summed = kind + content
        return struct.pack(">I", len(content)) + summed + struct.pack(">I", zlib.crc32(summed))

    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOURS[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if transparent is not None:
        content += chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    path.write_bytes(content + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_tiff(path, values, order="<", white_is_zero=False, alpha=None, bits=None):
    """Write [h, w, c] of any dtype, uncompressed; `order` is that of the bytes.

    Args:
        path: Where.
        values: c of 1, 3, or 4 with `alpha`.
        order: "<" or ">".
        white_is_zero: Whether 0 is said to be white.
        alpha: What TIFF says of the fourth channel: 0 for nothing, 2 for an alpha.
        bits: Of a value, where they are said to be fewer than the dtype's, and packed.
    """
    height, width, channels = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    content = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if bits == 12:  # two values in three bytes, the first one's upper bits first
        pairs = values.reshape(-1, 2).astype(int)
        packed = (pairs[:, 0] << 12) | pairs[:, 1]
        content = b"".join(int(each).to_bytes(3, "big") for each in packed)
    photometric = 2 if channels > 1 else int(not white_is_zero)
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits or 8 * values.dtype.itemsize] * channels),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", [1024]),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [len(content)]),
        **({} if alpha is None else {338: ("H", [alpha])}),
        339: ("H", [kind] * channels),
    }
    entries, beside = b"", b""
    for tag, (letter, numbers) in tags.items():
        field = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(field) > 4:
            place = 512 + len(beside)
            beside += field
            field = struct.pack(f"{order}I", place)
        size = {"H": 3, "I": 4}[letter]
        entries += struct.pack(f"{order}HHI", tag, size, len(numbers)) + field.ljust(4, b"\0")
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    head = magic + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    path.write_bytes((head.ljust(512, b"\0") + beside).ljust(1024, b"\0") + content)
