"""What linear models leave of images' squared error: PCA, and the best linear-Gaussian VAE.

Both work in the principal directions of the training images. There, lambda is the variance of the
training images in a direction, and the training objective of a linear VAE whose log-likelihood is
minus the squared error, with KL weight w, falls apart into one problem a direction: encoder
z ~ Normal(m x, s^2), decoder a z,

    minimise  lambda (1 - a m)^2 + a^2 s^2 + (w / 2) (m^2 lambda + s^2 - log s^2).

That is probabilistic PCA with noise variance theta = w / 2: for lambda > theta the minimum has
a^2 = lambda - theta and a m = 1 - theta / lambda, so that at posterior means the share
(theta / lambda)^2 of a direction's squared error stays; for others a = 0, and all of it stays.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class LinearErrors:
    """Means over images of the squared error summed over pixels, of linear models.

    Attributes:
        train: On the images that the model was fitted to.
        test: On others.
    """

    train: float
    test: float


class Directions:
    """The principal directions of training images, and the variances of images in them.

    Args:
        data: What `mvae_tf.datasets.load` gives.
        count: The most directions a model may use; fewer where there are fewer.
    """

    def __init__(self, data, count: int):
        from sklearn.decomposition import PCA

        train, test = (_rows(split) for split in (data.train, data.test))
        # Exact ones, unlike the solver that scikit-learn would choose.
        solver = "full" if len(train) < train.shape[1] else "covariance_eigh"
        pca = PCA(min(count, *train.shape), svd_solver=solver).fit(train)
        self._variances, self._rest = [], []
        for images in (train, test):
            squares = np.square(images - pca.mean_)
            used = np.square(pca.transform(images)).mean(axis=0)
            self._variances.append(used)
            self._rest.append(max(0.0, squares.sum(axis=1).mean() - used.sum()))

    def __len__(self):
        return len(self._variances[0])

    def pca_errors(self) -> LinearErrors:
        """Return PCA's errors: what lies outside the directions."""
        return LinearErrors(*map(float, self._rest))

    def vae_errors(self, kl_weight: float) -> LinearErrors:
        """Return the errors, at posterior means, of the best linear VAE with that KL weight."""
        train = self._variances[0]
        share = np.square(np.minimum(1, kl_weight / 2 / np.maximum(train, 1e-30)))
        pairs = zip(self._variances, self._rest, strict=True)
        return LinearErrors(*(math.fsum(share * used) + rest for used, rest in pairs))


def _rows(split):
    return split.float_images().reshape(len(split), -1).astype(np.float64)
