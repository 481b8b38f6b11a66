"""The published datasets by name: what identifies each, whatever it comes from.

`identity` is how it is written down; `mnist` (with Fashion-MNIST) and `cifar10` are the datasets.
"""

from mvae_tf.datasets.published.cifar10 import CIFAR10
from mvae_tf.datasets.published.mnist import FASHION_MNIST, MNIST

ORIGINALS = {original.name: original for original in (MNIST, FASHION_MNIST, CIFAR10)}
