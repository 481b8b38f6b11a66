"""How a photograph is to be turned, read within a graph from its EXIF data."""

import tensorflow as tf

# Of EXIF data in a JPEG or a PNG, from where it begins to the end of the file. In a regular
# expression only \C stands for any byte.
_EXIF = r"(?s)(?:Exif\x00\x00|eXIf)(?:II\*\x00|MM\x00\*)\C*"
_MARK = {"jpeg": 6, "png": 4}  # bytes before the structure of TIFF begins
# Cameras write it at the start, and a segment of a JPEG is no longer.
_LONGEST = 2**16
_ORIENTATION = 0x0112
_ENTRY = 12  # bytes of an entry in a directory of TIFF


def columns(pixels, way):
    """Turn an image [h, w, c] of some orientation upright, and return its columns, [w, h, c]."""
    order = tf.where(way >= 5, [0, 1, 2], [1, 0, 2])
    mirrored = tf.reduce_any(tf.equal(way, [2, 3, 6, 7]))
    upside_down = tf.reduce_any(tf.equal(way, [3, 4, 7, 8]))
    axes = tf.boolean_mask([0, 1], tf.stack([mirrored, upside_down]))
    return tf.reverse(tf.transpose(pixels, order), axes)


def orientation(row):
    """Return the EXIF orientation of a JPEG or PNG file, a string: 1 to 8; 1 where it has none."""
    head = tf.strings.substr(row, 0, 2 * _LONGEST)
    before = tf.strings.length(tf.strings.regex_replace(head, _EXIF, "", replace_global=False))
    is_png = tf.equal(tf.strings.substr(head, before, 4), b"eXIf")
    start = before + tf.where(is_png, _MARK["png"], _MARK["jpeg"])
    # Behind the end of the file no byte is.
    start = tf.minimum(start, tf.strings.length(head))
    octets = tf.cast(tf.io.decode_raw(tf.strings.substr(head, start, _LONGEST), tf.uint8), tf.int32)
    # Zeros behind, so that no number that is read can lie beyond.
    octets = tf.pad(octets, [[0, _LONGEST - tf.size(octets)]])
    is_little = tf.equal(octets[0], ord("I"))

    def number(at, size):
        places = tf.clip_by_value(at[..., tf.newaxis] + tf.range(size), 0, _LONGEST - 1)
        values = [256**place for place in range(size)]
        return tf.reduce_sum(
            tf.gather(octets, places) * tf.where(is_little, values, values[::-1]), axis=-1
        )

    directory = number(tf.constant(4), 4)
    entries = directory + 2 + _ENTRY * tf.range(number(directory, 2))
    # Of what is not there, 0; of damaged data, perhaps others.
    is_it = tf.cast(tf.equal(number(entries, 2), _ORIENTATION), tf.int32)
    way = tf.reduce_max(tf.concat([is_it * number(entries + 8, 2), [1]], axis=0))
    return tf.where(way <= 8, way, 1)
