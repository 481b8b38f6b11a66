"""Images as files, and what commands say of them."""

import csv
import io
import json

import numpy as np
from PIL import Image

CLASSES = {"cat": 21, "dog": 20, "emu": 19}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def evaluated(call, *flags):
    status, out, err = call("evaluate", "--json", "--num_samples=0", *flags)
    assert status == 0, err
    return json.loads(out), err


def table(text):
    header, *rows = csv.reader(io.StringIO(text))
    return header, rows
