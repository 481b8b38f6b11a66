"""Image files of every mode and depth; what they hold is written by hand or by other means."""

import os
import shutil

import numpy as np
import pytest
from image_files import write_png, write_tiff
from PIL import Image, ImageCms, features

from mvae_tf import datasets
from mvae_tf.datasets.formats import pixels

RANDOM = np.random.default_rng(0)
WHITE = 65535


def words(channels, largest=WHITE):
    return RANDOM.integers(0, largest + 1, (5, 6, channels), dtype=np.uint16)


# Depth


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_of_a_png_are_all_read(tmp_path, channels):
    values = words(channels)
    write_png(tmp_path / "a.png", values)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.png"), values)
    assert pixels.read(tmp_path / "a.png").dtype == np.uint16


@pytest.mark.parametrize("channels", [2, 4])
def test_16_bits_with_an_alpha_are_laid_on_white(tmp_path, channels):
    values = words(channels)
    write_png(tmp_path / "a.png", values)
    colour, alpha = values[..., :-1].astype(float), values[..., -1:] / WHITE
    expected = colour * alpha + WHITE * (1 - alpha)
    np.testing.assert_allclose(pixels.read(tmp_path / "a.png"), expected, atol=0.5001)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_16_bits_is_white(tmp_path, channels):
    values = words(channels)
    values[1, 2] = 1000
    values[2, 3] = 1000
    values[2, 3, 0] = 1001  # nearly that colour
    write_png(tmp_path / "a.png", values, transparent=[1000] * channels)
    expected = values.copy()
    expected[1, 2] = WHITE
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("channels", "alpha"), [(1, None), (3, None), (4, 0)])
def test_16_bits_of_a_tiff_are_all_read(tmp_path, order, channels, alpha):
    values = words(channels)
    write_tiff(tmp_path / "a.tif", values, order, alpha=alpha)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.tif"), values[..., :3])


@pytest.mark.skipif(not features.check("libtiff"), reason="Pillow without libtiff")
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_16_bits_of_a_packed_tiff_are_all_read(tmp_path, compression):
    values = words(1)
    Image.fromarray(values[..., 0]).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.tif"), values)


def test_small_values_of_16_bits_stay_as_they_are(tmp_path):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for index in range(4):
        Image.fromarray(values).save(tmp_path / f"{index}.tif")
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.train.images[0, ..., 0], values)
    np.testing.assert_allclose(data.train.float_images()[0, ..., 0], values / WHITE, rtol=1e-6)
    batch = next(data.train.dataset(1, shuffle=False).as_numpy_iterator())
    np.testing.assert_array_equal(batch, data.train.float_images(0, 1))


def test_12_bits_are_spread_over_16(tmp_path):
    values = words(1, 4095)
    values[0, :2, 0] = 0, 4095
    write_tiff(tmp_path / "a.tif", values, bits=12)
    image = pixels.read(tmp_path / "a.tif")
    assert image[0, :2, 0].tolist() == [0, WHITE]
    np.testing.assert_allclose(image / WHITE, values / 4095, atol=1e-5)


def test_white_may_be_zero(tmp_path):
    values = words(1)
    write_tiff(tmp_path / "a.tif", values, white_is_zero=True)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.tif"), WHITE - values)


@pytest.mark.parametrize("dtype", ["uint32", "int32", "int16"])
def test_other_integers_are_divided_by_the_largest(tmp_path, dtype):
    largest = np.iinfo(dtype).max
    values = RANDOM.integers(0, largest, (5, 6, 1), endpoint=True).astype(dtype)
    values[0, :2, 0] = 0, largest
    write_tiff(tmp_path / "a.tif", values)
    image = pixels.read(tmp_path / "a.tif")
    assert image.dtype == np.float32 and image[0, :2, 0].tolist() == [0, 1]
    np.testing.assert_allclose(image, values / largest, rtol=1e-6)


def test_pgm_of_16_bits_is_read_as_such(tmp_path):
    values = words(1)
    header = b"P5 6 5 65535\n"
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.pgm"), values)


def test_floats_keep_their_values(tmp_path):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for index in range(4):
        Image.fromarray(values).save(tmp_path / f"{index}.tif")
    data = datasets.load(tmp_path)
    assert data.train.images.dtype == np.float32
    np.testing.assert_array_equal(data.train.images[0, ..., 0], values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.full((4, 4, 1), 255, np.float32), "floats from 255.0 to 255.0"),
        (np.full((4, 4, 1), np.nan, np.float32), "floats from nan"),
        (np.full((4, 4, 1), -0.5, np.float32), "floats from -0.5"),
        (np.full((4, 4, 1), -3, np.int32), "from -3 to -3"),
        (np.full((4, 4, 1), -3, np.int16), "from -3 to -3"),
    ],
)
def test_numbers_without_a_rule_are_refused_with_their_range(tmp_path, values, told):
    write_tiff(tmp_path / "a.tif", values)
    with pytest.raises(ValueError, match=f"a.tif.*{told}"):
        pixels.read(tmp_path / "a.tif")


def test_a_set_has_the_depth_of_its_deepest_image(tmp_path):
    grey = RANDOM.integers(0, 256, (4, 4), dtype=np.uint8)
    for name in "ab":
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "c.tif")
    write_png(tmp_path / "d.png", grey[..., np.newaxis].astype(np.uint16) * 257)
    data = datasets.load(tmp_path)
    assert data.train.images.dtype == np.float32
    for image in (*data.train.images, *data.test.images):
        np.testing.assert_allclose(image[..., 0], grey / 255, rtol=1e-6)


def test_colour_of_8_bits_is_as_pillow_reads_it(tmp_path):
    colour = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    for name in ("a.png", "b.bmp", "c.tif", "d.ppm", "e.tga", "f.qoi", "g.pcx", "h.sgi"):
        if name == "f.qoi" and "QOI" not in Image.SAVE:
            continue
        Image.fromarray(colour).save(tmp_path / name)
        np.testing.assert_array_equal(pixels.read(tmp_path / name), colour)


def test_depth_that_pillow_drops_is_told(tmp_path, capfd):
    values = words(3)
    for name in "abc":
        header = b"P6 6 5 65535\n"
        (tmp_path / f"{name}.ppm").write_bytes(header + values.astype(">u2").tobytes())
    assert pixels.read_picture(tmp_path / "a.ppm").notes == (pixels.MORE_BITS,)
    data = datasets.load(tmp_path)
    assert data.train.images.dtype == np.uint8
    np.testing.assert_allclose(data.train.images[0], values / 257, atol=1)
    assert f"3 of 3 files {pixels.MORE_BITS}" in capfd.readouterr().err


# Shape


def test_size_and_channels_are_put_right(tmp_path):
    colour = RANDOM.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(colour[..., 0]).save(tmp_path / "grey.png")
    grey = pixels.read(tmp_path / "colour.png", (8, 9, 1))
    np.testing.assert_allclose(grey[..., 0], colour @ [0.299, 0.587, 0.114], atol=0.5001)
    three = pixels.read(tmp_path / "grey.png", (8, 9, 3))
    np.testing.assert_array_equal(three, np.stack([colour[..., 0]] * 3, -1))
    resized = pixels.read(tmp_path / "colour.png", (4, 3))
    expected = Image.fromarray(colour).resize((3, 4), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(resized, np.asarray(expected))
    with pytest.raises(ValueError, match="1 channel or 3.*Received: 4 for images of 1"):
        pixels.read(tmp_path / "grey.png", (8, 9, 4))


@pytest.mark.parametrize("largest", [1, WHITE])
def test_deep_images_are_resized_within_their_range(tmp_path, largest):
    edge = np.zeros((16, 16), np.float32 if largest == 1 else np.uint16)
    edge[:, 8:] = largest
    Image.fromarray(edge).save(tmp_path / "a.tif")
    image = pixels.read(tmp_path / "a.tif", (7, 7))[..., 0]
    assert image.dtype == edge.dtype
    assert image.min() == 0 and image.max() == largest
    bytes_ = Image.fromarray((edge / largest * 255).astype(np.uint8))
    expected = np.asarray(bytes_.resize((7, 7), Image.Resampling.LANCZOS)) / 255
    np.testing.assert_allclose(image / largest, expected, atol=0.51 / 255)


def test_photographs_are_turned_at_any_depth(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the right side is up: turned by 90 degrees, clockwise
    values = words(1)[..., 0]
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    turned = np.rot90(values, -1)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.png")[..., 0], turned)
    Image.fromarray((values >> 8).astype(np.uint8)).save(tmp_path / "b.png", exif=exif)
    np.testing.assert_array_equal(pixels.read(tmp_path / "b.png")[..., 0], turned >> 8)


# Formats


def test_no_image_starts_another_program(tmp_path, monkeypatch):
    """Where there is Ghostscript, Pillow starts it for what begins as PostScript does."""
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(gs.parent), prepend=os.pathsep)
    assert shutil.which("gs") == str(gs)
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"
    for name in ("a.png", "b.eps"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            pixels.read(tmp_path / name)
    assert not (tmp_path / "started").exists()
    assert not {".eps", ".ps", ".wmf", ".emf", ".mpg", ".h5", ".pdf"} & pixels.suffixes()


def test_every_ending_is_one_of_a_format_that_is_opened():
    """The list of formats is this project's; those left out are so for a reason."""
    Image.init()
    left_out = {
        *("EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"),  # read by other programs
        *("IPTC",),  # holds any format
        *("FITS",),  # whose numbers need its header
        *("PDF", "PALM"),  # which Pillow only writes
    }
    known = {name for suffix, name in Image.EXTENSION.items() if suffix in pixels.suffixes()}
    assert set(Image.EXTENSION.values()) - known == left_out & set(Image.EXTENSION.values())
    assert {".jfif", ".jpe", ".apng", ".mpo", ".tga", ".jp2", ".webp"} <= pixels.suffixes()


def test_what_a_name_says_is_not_what_a_file_is(tmp_path):
    colour = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.jpg"), colour)


def test_frames_that_are_not_read_are_told(tmp_path, capfd):
    frames = [Image.fromarray(RANDOM.integers(0, 256, (5, 5), dtype=np.uint8)) for _ in range(3)]
    for name in ("a.gif", "b.tif", "c.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    for name in ("d.png", "e.gif", "f.tif"):
        frames[0].save(tmp_path / name)
    data = datasets.load(tmp_path)
    assert len(data.train) + len(data.test) == 6
    assert f"3 of 6 files {pixels.MORE_FRAMES}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.arange(16).reshape(4, 4) % 2, "use 2 levels, from 0 to 1 of 255"),
        (np.arange(16).reshape(4, 4) % 15, "use 15 levels, from 0 to 14 of 255"),
        (np.arange(16).reshape(4, 4), "are dark: no value is above 15 of 255"),
        (np.arange(16).reshape(4, 4) + 1, None),
    ],
)
def test_a_scale_that_is_probably_wrong_is_told(tmp_path, capfd, values, told):
    for name in "abc":
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / f"{name}.png")
    datasets.load(tmp_path)
    err = capfd.readouterr().err
    assert (told in err) if told else not err


def test_profiles_do_not_matter(tmp_path):
    """They are no part of the values, and never have been."""
    colour = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colour).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.png"), colour)
