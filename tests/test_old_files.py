"""What earlier versions wrote is read as before."""

from pathlib import Path

import keras
import numpy as np

from mvae_tf import MixtureVAE
from mvae_tf.training import FusedAdam

FILES = Path(__file__).parent / "files"


def test_a_keras_file_of_version_0_1_0(digits):
    """Two dense components, trained for 4 steps by the FusedAdam of `mvae_tf.optimizers`."""
    model = keras.models.load_model(FILES / "version_0_1_0.keras")
    assert type(model) is MixtureVAE and type(model.optimizer) is FusedAdam
    assert int(model.optimizer.iterations) == 4
    reconstructed = model.reconstruct(digits.test.float_images(0, 8))
    assert reconstructed.shape == (8, 8, 8, 1)
    sums = [32.05444, 32.01385, 32.02330, 31.98500, 32.01765, 31.95058, 32.02676, 32.01431]
    np.testing.assert_allclose(np.sum(reconstructed, axis=(1, 2, 3)), sums, rtol=1e-5)
    model.fit(digits.train.float_images(0, 64), verbose=0)
    assert int(model.optimizer.iterations) == 6
