"""The models of Table III: the paper's, such of other training images, and our own settings."""

import dataclasses
from collections.abc import Callable

from mvae_tf import presets
from support import paper


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of ours.

    Attributes:
        model: Its name in the table.
        num_components: K.
        kl_weight: Of both KL terms.
        images: Makes of the dataset the one to train on. None: the dataset itself.
        epochs: In place of the usual ones, as for `Study.run`.
        preset: Of `mvae_tf.presets`.
        times_latent: So many times the latent dimensions of its preset.
    """

    model: str
    num_components: int
    kl_weight: float
    images: Callable | None = None
    epochs: dict[str, int] | None = None
    preset: str = "paper_cifar10"
    times_latent: int = 1

    def overrides(self) -> dict:
        """Return the arguments of `MixtureVAE` that may differ from the preset's."""
        model = {"num_components": self.num_components, "kl_weight": self.kl_weight}
        if self.times_latent > 1:
            latent_dim = presets.get(self.preset).model["latent_dim"]
            model["latent_dim"] = self.times_latent * latent_dim
        return model

    def mixes_images(self) -> bool:
        """Return whether several images are mixed, not their likelihoods."""
        return self.num_components > 1 and presets.get(self.preset).model["mixing"] == "image"

    def has_other_dimensions(self) -> bool:
        """Return whether an image is of more than d dimensions: a longer code, or several."""
        return self.times_latent > 1 or self.mixes_images()


# Twice the images, so that half the epochs are as many steps.
_FLIPS = (lambda data: data.with_flips(), {"paper": 50, "quick": 2})

# By the name that --rows takes, the paper's first; other images are named before it. Best: what
# search_cifar10.py chose, for the mixture and for a single VAE, which has mirror images. Wide: such
# a VAE of as many latent dimensions as that mixture, each at the KL weight that eq. 8 has there.
ROWS = {
    "4:0.05": Row("M-VAE", 4, 0.05),
    "1:0.05": Row("VAE", 1, 0.05),
    "4:1": Row("M-VAE", 4, 1.0),
    "1:1": Row("VAE", 1, 1.0),
    "authors:4:0.05": Row("M-VAE, `authors_cifar10`", 4, 0.05, preset="authors_cifar10"),
    "half:1:0.05": Row(
        "VAE, half the images", 1, 0.05, lambda data: data.with_train(len(data.train) // 2)
    ),
    "flips:4:0.05": Row("M-VAE, flips too", 4, 0.05, *_FLIPS),
    "best:4:0.05": Row("M-VAE, `best_cifar10`", 4, 0.05, preset="best_cifar10"),
    "best:1:0.05": Row("VAE, same search", 1, 0.05, *_FLIPS, "best_cifar10"),
    "wide:1:0.0125": Row("VAE, d = 1024", 1, 0.0125, *_FLIPS, "best_cifar10", times_latent=4),
}
BEST = "best:4:0.05"
RIVALS = ("4:0.05", "best:1:0.05", "wide:1:0.0125")  # of the best
PAPERS = "4:0.05"  # the row that stands for the printed one
VAE = "1:0.05"  # what it is held against
PRINTED = {model: {"rmse": rmse, "score": score} for model, rmse, score in paper.TABLE3}


def usual_rows(preset: str) -> list[str]:
    """Return the rows of a preset, by the names that --rows takes."""
    own = (BEST, *RIVALS[1:]) if preset == "quick" else ()
    return [name for name in ROWS if name not in own]


def by_name(result: dict) -> dict[str, dict]:
    """Return a result's rows by the names that --rows takes."""
    names = {(row.model, row.num_components, row.kl_weight): name for name, row in ROWS.items()}
    keys = ("model", "num_components", "kl_weight")
    return {names[tuple(row[key] for key in keys)]: row for row in result["rows"]}
