"""Figure 1: randomly selected MNIST test images and their reconstructions by M-VAE, K = 4."""

import numpy as np

import mvae_tf
from support.rows import require_images
from support.scripts import run_script
from support.study import Study
from support.texts import origin

SIDE = 8  # images a side of each grid


def rebuild(study: Study) -> tuple[dict, dict]:
    """Reconstruct the same random test images whatever the model's seed."""
    model = study.run(study.seeds[0], num_components=4).model
    test = study.data.test
    chosen = np.sort(np.random.default_rng(0).choice(len(test), SIDE**2, replace=False))
    images = test.float_images()[chosen]
    reconstructed = model.reconstruct(images).numpy()
    mse = mvae_tf.evaluation.reconstruction_errors(model, test).mse
    figure = mvae_tf.plots.image_grids(
        [images, reconstructed], ["Test images", "Reconstructed by M-VAE"]
    )
    return {"images": chosen.tolist(), "mse": mse}, {"": figure}


def text(result: dict) -> str:
    """Return the figure's caption as Markdown."""
    require_images(result["images"], SIDE**2)
    return f"""\
# Figure 1: MNIST test images and their reconstructions

![Random test images and their reconstructions by M-VAE](fig1_reconstructions.png)

{len(result["images"])} random test images, and the mixture images of their posterior means, K = 4.
Over all 10,000 test images the squared error, summed over pixels, is {result["mse"]:.2f}.

{origin(result)}"""


if __name__ == "__main__":
    run_script("fig1_reconstructions", rebuild, text)
