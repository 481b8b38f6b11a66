"""JPEG and PNG files, decoded within a graph as `datasets` reads them from a folder.

A photograph is turned as its EXIF data says, a transparent image is laid on white, 16 bits a
channel stay 16; then the size becomes the model's (Lanczos), and grey makes colour, or 0.299 red +
0.587 green + 0.114 blue grey.
"""

import tensorflow as tf

from mvae_tf.serving import exif

# Four images at once, of four bytes a pixel and three more for what is made of them: 1 GiB.
MAX_PIXELS = 2**25
_AT_ONCE = 4

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# In the header that each PNG begins with: width and height, bits a channel.
_PNG_SIZE, _PNG_BITS = 16, 24


def takes(image_shape) -> bool:
    """Return whether images of a shape can be made of files: (h, w, 1) or (h, w, 3)."""
    return len(image_shape) == 3 and image_shape[2] in (1, 3)


def decoder(image_shape):
    """Return a function of files of images, string [n], to float32 images in [0, 1], [n, h, w, c].

    What can't be read ends in an INVALID_ARGUMENT error that names the first such row.
    """
    spec = tf.TensorSpec([None], tf.string, name="images")

    @tf.function(input_signature=[spec], autograph=False)
    def decode(rows):
        numbers, images = _all_readable(rows, image_shape)
        is_read = tf.equal(numbers, tf.range(tf.size(rows, tf.int64)))
        first = tf.argmin(tf.cast(is_read, tf.int8))
        report = [
            f"Expected images to be JPEG or PNG files of at most {MAX_PIXELS} pixels. "
            "Received: one that can't be read, in row",
            *(first, "of", tf.strings.length(rows)[first], "bytes"),
        ]
        stop = tf.raw_ops.Assert(condition=tf.reduce_all(is_read), data=report, summarize=8)
        with tf.control_dependencies([stop]):
            return tf.identity(images)

    return decode


def _all_readable(rows, image_shape):
    """Return each row's number, -1 where it can't be read, and its image, then of zeros."""
    # A data set, because its way to pass over errors is the only one that a graph has.
    count = tf.size(rows, tf.int64)
    read = tf.data.Dataset.from_tensor_slices(rows).enumerate()
    read = read.map(
        lambda number, row: (number, _image(row, image_shape)),
        num_parallel_calls=_AT_ONCE,
        deterministic=True,
    ).ignore_errors()
    nothing = tf.constant(-1, tf.int64), tf.zeros(image_shape)
    padding = tf.data.Dataset.from_tensors(nothing).repeat(count)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    dataset = read.concatenate(padding).batch(count).with_options(options).take(1)
    numbers, images = dataset.get_single_element()
    return tf.ensure_shape(numbers, [None]), tf.ensure_shape(images, [None, *image_shape])


def _image(row, image_shape):
    """Return float32 [h, w, c] in [0, 1] of a file."""
    is_png = tf.equal(tf.strings.substr(row, 0, len(_PNG)), _PNG)
    is_jpeg = tf.equal(tf.strings.substr(row, 0, len(_JPEG)), _JPEG)
    bits = tf.io.decode_raw(tf.strings.substr(row, _PNG_BITS, 1), tf.uint8)
    is_deep = is_png & tf.reduce_all(tf.equal(bits, 16))
    way = exif.orientation(row)

    def narrowed(pixels):
        # Columns first: the operation is quick at adding up rows.
        return _scaled(exif.columns(pixels, way), image_shape[1])

    def jpeg():
        height, width = tf.unstack(tf.io.extract_jpeg_shape(row)[:2])
        with _bounded(height, width):
            # As exact as Pillow.
            return narrowed(tf.io.decode_jpeg(row, 3, dct_method="INTEGER_ACCURATE"))

    def png(dtype):
        sides = tf.strings.substr(row, _PNG_SIZE, 8)
        width, height = tf.unstack(tf.io.decode_raw(sides, tf.int32, little_endian=False), num=2)
        with _bounded(height, width):
            pixels = tf.io.decode_png(row, 4, dtype)
        if dtype == tf.uint8:
            pixels = _of_few_bits(pixels, bits[0])
        return narrowed(_opaque(pixels))

    def other():
        with tf.control_dependencies([_assert(False, "Neither JPEG nor PNG.")]):
            return tf.zeros([image_shape[1], 1, 3])

    kind = tf.where(is_jpeg, 0, tf.where(is_deep, 2, tf.where(is_png, 1, 3)))
    narrow = tf.switch_case(kind, [jpeg, lambda: png(tf.uint8), lambda: png(tf.uint16), other])
    largest = tf.where(is_deep, 65535.0, 255.0)

    def whole(values):
        return tf.clip_by_value(tf.round(values), 0.0, largest)

    # Of 8 bits Pillow keeps no fractions between width and height.
    narrow = tf.where(is_deep, narrow, whole(narrow))
    pixels = whole(_scaled(tf.transpose(narrow, [1, 0, 2]), image_shape[0]))
    if image_shape[2] == 1:
        # In the precision, and so with the rounding, that NumPy has.
        red, green, blue = tf.unstack(tf.cast(pixels, tf.float64), num=3, axis=-1)
        grey = tf.round(0.299 * red + 0.587 * green + 0.114 * blue)
        pixels = tf.cast(grey, tf.float32)[..., tf.newaxis]
    return tf.ensure_shape(pixels / largest, image_shape)


def _assert(condition, what):
    return tf.raw_ops.Assert(condition=condition, data=[what])


def _bounded(height, width):
    few = (width > 0) & (height > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    return tf.control_dependencies([_assert(few, "Too many pixels.")])


def _of_few_bits(pixels, bits):
    """Return uint8 [h, w, 4], opaque where a file of less than 8 bits a channel says nothing.

    TensorFlow fills in an alpha of as few bits.
    """
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    filled = tf.cast(2 ** tf.minimum(tf.cast(bits, tf.int32), 8) - 1, tf.uint8)
    says_nothing = (bits < 8) & (tf.reduce_max(alpha) == filled)
    return tf.concat([colour, tf.where(says_nothing, tf.ones_like(alpha) * 255, alpha)], axis=-1)


def _opaque(pixels):
    """Lay unsigned [h, w, 4] on white."""
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    largest = pixels.dtype.max

    def on_white():
        share = tf.cast(alpha, tf.float32)
        mixed = tf.cast(colour, tf.float32) * share + largest * (largest - share)
        return tf.cast(tf.round(mixed / largest), pixels.dtype)

    return tf.cond(tf.reduce_min(alpha) < largest, on_white, lambda: colour)


def _scaled(image, height):
    """Return an image [h, w, c] as float32 of another height."""
    sides = tf.shape(image)[:2]
    sizes = tf.stack([height, sides[1]])
    return tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=sizes,
        scale=tf.cast(sizes, tf.float32) / tf.cast(sides, tf.float32),
        translation=tf.zeros([2]),
        kernel_type="lanczos3",
    )[0]
