"""One image file as an array, whatever its format, its mode and its depth.

Values keep their depth: uint8; uint16, where a file has 9 to 16 bits a channel (fewer than 16
are spread over the range); float32 in [0, 1], where it has floats, which must be in [0, 1], or
integers of 32 or with a sign, which are divided by the largest that their type can hold. Negative
numbers and other floats have no such rule, and are refused with their range.
"""

import functools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mvae_tf.files import shown

# Formats that Pillow reads by itself. EPS, WMF, MPEG, BUFR, GRIB and HDF5 it hands to other
# programs, what an IPTC file holds may be one of those, and the numbers of FITS mean what Pillow
# doesn't read.
FORMATS = (
    *("AVIF", "BLP", "BMP", "CUR", "DCX", "DDS", "DIB", "FLI", "FTEX", "GBR", "GIF", "ICNS"),
    *("ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCD", "PCX", "PIXAR", "PNG", "PPM"),
    *("PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
MORE_FRAMES = "hold more than one image, of which the first is read"
MORE_BITS = "have more than 8 bits a channel, of which Pillow reads the upper 8"

# Of red, green and blue in grey (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
# Tags of TIFF: bits of a sample, what 0 stands for, how channels lie, of which kind samples are.
_BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339
_PLANAR, _SIGNED = 2, 2


class Picture(NamedTuple):
    """What was read of a file, and what was not.

    Attributes:
        pixels: [h, w, c], uint8, uint16, or float32 in [0, 1].
        notes: `MORE_FRAMES` and `MORE_BITS`, as far as they are true of the file.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]


@functools.cache
def suffixes() -> frozenset[str]:
    """Names' endings, in small letters, of the formats that the installed Pillow reads."""
    from PIL import Image

    known = {*_installed(), "MPO"}  # which is opened as the JPEG that it begins with
    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in known
    )


def read(path: Path, image_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Read an image file; see `read_picture`."""
    return read_picture(path, image_shape).pixels


def read_picture(path: Path, image_shape: tuple[int, ...] | None = None) -> Picture:
    """Read an image file and what is to be said of it.

    A photograph is turned as its EXIF data says, and a transparent image is laid on white.

    Args:
        path: The file. Its content, not its name, says which of `FORMATS` it has.
        image_shape: (height, width) to resize to, or (height, width, channels), with 1 or 3
            channels, of which grey ones make colour by three and colour makes grey by 0.299 red +
            0.587 green + 0.114 blue. None: as the image is.

    Returns:
        The `Picture`. Without `channels`: of 1 channel, where it is grey in every pixel, else 3.

    Raises:
        ValueError: the file is none that can be read; it is named.
    """
    # Decoders raise nearly everything on damaged files.
    try:
        pixels, notes = _decoded(path)
    except Exception as error:
        reason = error if isinstance(error, _RangeError) else f"{type(error).__name__}: {error}"
        if type(error).__name__ == "DecompressionBombError":
            reason = f"{error}; a smaller copy can be read"
        raise ValueError(
            f"Expected a readable image. Received: {shown(path)} ({reason})."
        ) from error
    pixels = resized(pixels, image_shape and image_shape[:2])
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1].copy()
    if image_shape and len(image_shape) == 3:
        pixels = with_channels(pixels, image_shape[2])
    return Picture(pixels, notes)


def resized(pixels: np.ndarray, image_size: tuple[int, int] | None) -> np.ndarray:
    """Resize an image, each channel for itself.

    Args:
        pixels: [h, w, c], uint8, uint16, or float32 in [0, 1].
        image_size: (height, width) to resize to, or None to leave the image as it is.

    Returns:
        [height, width, c] of the same dtype.
    """
    from PIL import Image

    if image_size is None:
        return pixels
    size = (image_size[1], image_size[0])
    bytes_ = pixels.dtype == np.uint8
    given = pixels if bytes_ else pixels.astype(np.float32)
    if bytes_ and pixels.shape[-1] == 3:  # the same, in one go
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    channels = (Image.fromarray(channel) for channel in np.moveaxis(given, -1, 0))
    result = np.stack(
        [np.asarray(channel.resize(size, Image.Resampling.LANCZOS)) for channel in channels], -1
    )
    if bytes_:
        return result
    # The filter overshoots at edges; bytes are clipped by Pillow.
    if pixels.dtype == np.uint16:
        return np.rint(np.clip(result, 0, 65535)).astype(np.uint16)
    return np.clip(result, 0, 1)


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Make grey images of colour ones or the other way round; [..., c] gives [..., channels]."""
    if channels == pixels.shape[-1]:
        return pixels
    if channels == 3 and pixels.shape[-1] == 1:
        return np.repeat(pixels, 3, axis=-1)
    if channels == 1 and pixels.shape[-1] == 3:
        grey = (pixels @ np.array(_LUMA))[..., np.newaxis]
        grey = grey if pixels.dtype.kind == "f" else np.rint(grey)
        return grey.astype(pixels.dtype)
    raise ValueError(
        f"Expected 1 channel or 3 to be made of image files. Received: {channels} for images of "
        f"{pixels.shape[-1]}."
    )


def with_dtype(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return images at another depth, the same or greater, of the same value in [0, 1]."""
    if pixels.dtype == dtype:
        return pixels
    if dtype == np.uint16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


@functools.cache
def _installed():
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


class _RangeError(ValueError):
    """Values that no rule makes an image of."""


def _decoded(path):
    """Return an image's pixels, [h, w, 1 or 3], at their depth, and the notes on it."""
    from PIL import ImageOps

    with _opened(path) as opened:
        notes = (MORE_FRAMES,) if getattr(opened, "is_animated", False) else ()
        tags = getattr(opened, "tag_v2", {})
        raw_mode = _deep_mode(opened)
        _require_no_planes(opened, tags)
        if opened.mode == "L" and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
            values = np.asarray(ImageOps.exif_transpose(opened)).view(np.int8)
            return _in_range(values, "integers with a sign", 127)[..., np.newaxis], notes
        if opened.mode.startswith(("I", "F")):
            return _of_numbers(opened, tags)[..., np.newaxis], notes
        if raw_mode and opened.format in ("PNG", "TIFF"):
            pixels = _two_bytes(path, raw_mode)
            if pixels is not None:
                return _on_white(pixels, opened.info.get("transparency")), notes
        if raw_mode or _is_deep_elsewhere(opened, path):
            notes = (*notes, MORE_BITS)
        return _of_bytes(opened), notes


def _opened(path, raw_mode=None, mode=None):
    """Open a file; with another way than Pillow's own to unpack its pixels, where one is given."""
    from PIL import Image

    opened = Image.open(path, formats=_installed())
    if raw_mode:
        opened.tile = [
            (codec, box, offset, _replaced(arguments, raw_mode))
            for codec, box, offset, arguments in opened.tile
        ]
    return opened


def _of_bytes(opened):
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(opened)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _of_numbers(opened, tags):
    """Return the one channel of an image of integers beyond 8 bits or of floats."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(opened)
    values = np.asarray(image)
    if opened.mode == "F":
        values = _in_range(values.astype(np.float32), "floats", 1)
        return 1 - values if tags.get(_PHOTOMETRIC) == 0 else values
    signed = _SIGNED in tags.get(_SAMPLE_FORMAT, ())
    if opened.mode == "I" and (opened.format not in ("PNG", "PPM")):
        bits = tags.get(_BITS, (32,))[0]
        if opened.format == "TIFF" and not signed:
            values = values.view(np.uint32)  # Pillow has no mode for them
        else:
            bits -= 1
        return _in_range(values, "integers with a sign", 2**bits - 1)
    values = values.astype(np.uint16)
    if opened.format == "TIFF":
        largest = 2 ** tags.get(_BITS, (16,))[0] - 1
        if largest != 65535:
            values = np.rint(values * (65535 / largest)).astype(np.uint16)
        if tags.get(_PHOTOMETRIC) == 0:
            values = 65535 - values  # 0 is white, which Pillow minds in bytes only
    transparent = opened.info.get("transparency")
    return values if transparent is None else np.where(values == transparent, 65535, values)


def _in_range(values, what, largest):
    low, high = values.min(), values.max()
    # Written so that NaN, which is neither above nor below anything, fails too.
    if not (low >= 0 and high <= largest):
        raise _RangeError(f"{what} from {low} to {high}, where 0 to {largest} are taken")
    return values if largest == 1 else (values / largest).astype(np.float32)


def _require_no_planes(opened, tags):
    """Refuse channels of 16 bits in planes of their own, which Pillow reads as if they had 8."""
    if tags.get(_PLANES) == _PLANAR and max(tags.get(_BITS, (8,))) > 8 and len(tags[_BITS]) > 1:
        raise _RangeError(
            "a TIFF of more than 8 bits whose channels lie in planes of their own, where they are "
            "taken pixel by pixel"
        )


def _deep_mode(opened):
    """Return Pillow's name of how 16 bits a channel lie in a file, if it drops half of them."""
    for _, _, _, arguments in opened.tile:
        for each in arguments if isinstance(arguments, tuple) else (arguments,):
            deep = isinstance(each, str) and each.endswith((";16L", ";16B", ";16N"))
            if deep and not opened.mode.startswith("I"):
                return each
    return None


def _two_bytes(path, raw_mode):
    """Return uint16 [h, w, c] of a file of which Pillow gives bytes; None where it can't be."""
    from PIL import ImageOps

    kind, _, order = raw_mode.partition(";16")
    if raw_mode == "LA;16B":  # four bytes that Pillow takes for as many channels
        with _opened(path, "RGBA") as opened:
            values = np.asarray(ImageOps.exif_transpose(opened)).astype(np.uint16)
        return values[..., ::2] * 256 + values[..., 1::2]
    if kind not in ("RGB", "RGBA", "RGBX"):
        return None
    # In the other byte order the lower bytes are where Pillow looks for the upper ones.
    native = "L" if sys.byteorder == "little" else "B"
    other = "B" if (native if order == "N" else order) == "L" else "L"
    halves = []
    for mode in (raw_mode, f"{kind};16{other}"):
        with _opened(path, mode) as opened:
            halves.append(np.asarray(ImageOps.exif_transpose(opened)).astype(np.uint16))
    return halves[0] * 256 + halves[1]


def _on_white(pixels, transparent):
    """Lay uint16 [h, w, c] on white: c of 2 and 4 end in an alpha; [h, w, 1 or 3] comes back."""
    if transparent is not None:
        see_through = (pixels == np.asarray(transparent)).all(-1, keepdims=True)
        return np.where(see_through, 65535, pixels).astype(np.uint16)
    if pixels.shape[-1] % 2:
        return pixels
    colour, alpha = pixels[..., :-1].astype(np.float64), pixels[..., -1:] / 65535
    return np.rint(colour * alpha + 65535 * (1 - alpha)).astype(np.uint16)


def _replaced(arguments, raw_mode):
    if isinstance(arguments, tuple):
        return (raw_mode, *arguments[1:])
    return raw_mode


def _is_deep_elsewhere(opened, path):
    """Return whether a file has more bits than Pillow gives, by what its format says."""
    if opened.format == "SGI":
        return any(codec == "SGI16" for codec, *_ in opened.tile)
    if opened.format == "PPM":
        return any(
            isinstance(each, int) and each > 255
            for _, _, _, arguments in opened.tile
            for each in (arguments if isinstance(arguments, tuple) else (arguments,))
        )
    if opened.format not in ("AVIF", "JPEG2000"):
        return False
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if opened.format == "AVIF":
        start = head.find(b"av1C")
        return start >= 0 and bool(head[start + 6] & 0x40)
    start = head.find(b"\xff\x4f\xff\x51")
    return start >= 0 and (head[start + 42] & 0x7F) + 1 > 8
