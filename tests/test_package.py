import subprocess
import sys

import pytest

import mvae_tf


@pytest.mark.parametrize("name", mvae_tf.__all__)
def test_every_public_name_is_there(name):
    assert getattr(mvae_tf, name) is not None
    assert name in dir(mvae_tf)


def test_dhsic_is_the_function_also_after_the_model_is_loaded():
    assert mvae_tf.MixtureVAE and callable(mvae_tf.dhsic)


def test_importing_the_package_starts_no_tensorflow():
    check = "import sys, mvae_tf, mvae_tf.datasets; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="mvae_tf.*nothing"):
        _ = mvae_tf.nothing
