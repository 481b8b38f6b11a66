"""JPEG and PNG files sent to a served model, against Pillow and against what `datasets` reads."""

import base64
import io
import json
import os
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import config_pb2

import mvae_tf
from mvae_tf.serving import encoded

SIZE = (12, 10)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, [33, 47, 3], dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(NOISE[:5, :7]).resize((47, 33)))
GREY = SMOOTH[..., 0]
ALPHA = np.dstack([SMOOTH, NOISE[..., 0]])


def file_of(image, form="PNG", **options):
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, form, **options)
    return file.getvalue()


def turned(form, orientation, order="II", image=SMOOTH):
    exif = Image.Exif()
    exif.endian = {"II": "<", "MM": ">"}[order]
    exif[0x010F] = "a maker, so that the entry is not the first"
    exif[0x0112] = orientation
    return file_of(image, form, exif=exif)


FILES = {
    "noise": file_of(NOISE),
    "jpeg": file_of(SMOOTH, "JPEG"),
    "noisy jpeg": file_of(NOISE, "JPEG", quality=30),
    "progressive": file_of(SMOOTH, "JPEG", progressive=True, subsampling=0),
    "grey": file_of(GREY),
    "grey jpeg": file_of(GREY, "JPEG"),
    "alpha": file_of(ALPHA),
    "grey and alpha": file_of(Image.fromarray(ALPHA[..., 2:], "LA")),
    "palette": file_of(Image.fromarray(SMOOTH).quantize(40)),
    "palette of 4 bits": file_of(Image.fromarray(SMOOTH).quantize(11)),
    "transparent palette": file_of(Image.fromarray(SMOOTH).quantize(11), transparency=3),
    "1 bit": file_of(Image.fromarray(GREY > 128)),
    "1 bit, white": file_of(Image.fromarray(GREY >= 0)),
    "transparent 1 bit": file_of(Image.fromarray(GREY > 128), transparency=0),
    "interlaced": file_of(SMOOTH, optimize=True, dpi=(300, 300)),
    "fits": file_of(NOISE[: SIZE[0], : SIZE[1]]),
    "smaller": file_of(NOISE[:5, :4]),
    "one pixel": file_of(NOISE[:1, :1]),
    "flat": file_of(NOISE[:1]),
    "png turned": turned("PNG", 6),
    **{f"turned {way}": turned("JPEG", way) for way in range(10)},
    **{f"turned {way}, big endian": turned("JPEG", way, "MM") for way in (1, 6, 7)},
}


@pytest.fixture(scope="module")
def decoders():
    return {channels: encoded.decoder((*SIZE, channels)) for channels in (1, 3)}


@pytest.fixture(scope="module")
def answers(decoders):
    rows = tf.constant(list(FILES.values()))
    return {
        channels: dict(zip(FILES, decode(rows).numpy() * 255, strict=True))
        for channels, decode in decoders.items()
    }


@pytest.mark.parametrize("name", FILES)
def test_colour_is_what_a_folder_gives(name, answers, tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "image.png").write_bytes(FILES[name])
    expected = mvae_tf.datasets.load(tmp_path, image_size=SIZE).train.images[0]
    assert answers[3][name].shape == (*SIZE, 3)
    off = np.abs(answers[3][name] - expected)
    # Pillow's filter has weights of 22 bits, which may fall differently half way between levels.
    assert off.max() < 1.01 and np.mean(off > 0.01) < 0.01


@pytest.mark.parametrize("name", FILES)
def test_colour_makes_grey(name, answers):
    colour = answers[3][name].round(3).astype(np.float64)
    grey = answers[1][name][..., 0].round(3)
    np.testing.assert_array_equal(grey, np.rint(grey))
    np.testing.assert_allclose(grey, colour @ [0.299, 0.587, 0.114], rtol=0, atol=0.5 + 1e-9)


def png(pixels, kind):
    """A PNG of 16 bits a channel, which Pillow doesn't write; kind 0 grey, 2 RGB, 6 RGBA."""
    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = b"".join(int(n).to_bytes(4, "big") for n in (width, height)) + bytes([16, kind])
    chunks = (b"IHDR", header + bytes(3)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )


def test_sixteen_bits_are_kept(decoders):
    deep = RNG.integers(0, 65536, [*SIZE, 4], dtype=np.uint16)
    files = [png(deep[..., :1], 0), png(deep[..., :3], 2), png(deep, 6)]
    grey, colour, laid = 65535 * decoders[3](tf.constant(files)).numpy()
    np.testing.assert_allclose(grey, np.repeat(deep[..., :1], 3, axis=-1), atol=0.02)
    np.testing.assert_allclose(colour, deep[..., :3], atol=0.02)
    share = deep[..., 3:] / 65535
    np.testing.assert_allclose(laid, deep[..., :3] * share + 65535 * (1 - share), atol=0.52)
    large = png(RNG.integers(0, 65536, [30, 40, 1], dtype=np.uint16), 0)
    (small,) = 65535 * decoders[1](tf.constant([large])).numpy()
    values = np.frombuffer(zlib.decompress(large[41:-16]), np.uint8).reshape(30, 81)[:, 1:]
    image = Image.fromarray(values.copy().view(">u2").astype(np.float32))
    expected = np.asarray(image.resize(SIZE[::-1], Image.Resampling.LANCZOS))
    np.testing.assert_allclose(small[..., 0], expected.clip(0, 65535), atol=0.7)


def huge():
    """A few bytes that would be 33 million pixels and a few more."""
    file = bytearray(png(np.zeros([1, 1, 1], np.uint16), 0))
    file[16:24] = (2**13).to_bytes(4, "big") + (2**12 + 1).to_bytes(4, "big")
    file[29:33] = zlib.crc32(file[12:29]).to_bytes(4, "big")
    return bytes(file)


DAMAGED = {
    "nothing": b"",
    "words": b"a line of text\n",
    "another format": file_of(SMOOTH, "GIF"),
    "half a jpeg": FILES["jpeg"][: len(FILES["jpeg"]) // 2],
    "head of a jpeg": FILES["jpeg"][:11],
    "half a png": FILES["noise"][: len(FILES["noise"]) // 2],
    "a changed byte": FILES["noise"][:500] + b"?" + FILES["noise"][501:],
    "the mark alone": FILES["noise"][:8],
    "too many pixels": huge(),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_by_row(name, decoders):
    good, bad = FILES["jpeg"], DAMAGED[name]
    for row, rows in ((0, [bad]), (2, [good, good, bad, good, bad])):
        message = rf"JPEG or PNG files of at most .* in row\] \[{row}\] \[of\] \[{len(bad)}\]"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            decoders[3](tf.constant(rows))


@pytest.mark.parametrize(
    "exif",
    [
        b"II*\0\xff\xff\xff\xff\x01\0",  # the directory far behind the end
        b"MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",  # a long one, way 9
        b"II*\0\x08\0\0\0\x01\0\x12\x01",  # ends in an entry
        b"II*\0",
    ],
)
def test_damaged_exif_turns_nothing(exif, decoders):
    file = FILES["jpeg"]
    segment = b"Exif\0\0" + exif
    hurt = file[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + file[2:]
    received, expected = decoders[3](tf.constant([hurt, file])).numpy()
    np.testing.assert_array_equal(received, expected)


# The signatures -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return mvae_tf.MixtureVAE((*SIZE, 3), 2, 2, (4,), seed=0)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return mvae_tf.export_saved_model(model, tmp_path_factory.mktemp("files"), score_samples=2)


NAMES = ("reconstruct", "encode", "component_reconstructions", "features", "score")


def test_signatures_answer_as_for_the_decoded_images(model, folder, decoders):
    served = tf.saved_model.load(folder)
    rows = [FILES[name] for name in ("jpeg", "alpha", "turned 6")]
    # As TensorFlow Serving decodes them from a request by REST.
    sent = json.loads(json.dumps([{"b64": base64.b64encode(row).decode()} for row in rows]))
    rows = tf.constant([base64.b64decode(row["b64"]) for row in sent])
    images = decoders[3](rows)
    for name in NAMES:
        expected = served.signatures[name](images=images)
        for received in (
            served.signatures[f"{name}_bytes"](images=rows),
            getattr(served, name)(rows),
        ):
            for each in expected:
                np.testing.assert_array_equal(received[each], expected[each])
    np.testing.assert_allclose(served.features(rows)["features"], model.features(images), atol=1e-5)


def test_a_session_answers_and_refuses(folder):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], os.fspath(folder))
        signature = graph.signature_def["encode_bytes"]
        assert tf.as_dtype(signature.inputs["images"].dtype) == tf.string
        assert [dim.size for dim in signature.inputs["images"].tensor_shape.dim] == [-1]

        options = config_pb2.CallableOptions(
            feed=[signature.inputs["images"].name], fetch=[signature.outputs["weights"].name]
        )
        function = session._make_callable_from_options(options)  # without Python's checks

        def call(rows):
            return function(np.array(rows, object))[0]

        assert call([FILES["jpeg"]] * 5).shape == (5, 2)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"in row\] \[1\]"):
            call([FILES["jpeg"], b"?"])
        expected = r"Expected images to be string of shape \[n\], n at least 1, each a JPEG"
        for rows in ([], [[FILES["jpeg"]]], FILES["jpeg"]):
            with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
                call(rows)


def test_other_models_have_no_such_signatures():
    assert encoded.takes((12, 10, 1)) and encoded.takes((12, 10, 3))
    assert not any(encoded.takes(shape) for shape in [(12, 10, 2), (12, 10, 4), (12, 10), (5,)])
