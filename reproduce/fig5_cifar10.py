"""Figure 5: random CIFAR-10 test images and their reconstructions by M-VAE, K = 4; prior draws."""

import numpy as np

import mvae_tf
from support import measures
from support.rows import require_images
from support.scripts import run_script
from support.study import Study
from support.texts import heading, origin, tested_images

SIDE = 8  # images a side of each grid
KL_WEIGHT = 0.05  # Table III's first row, so that both share a model


def rebuild(study: Study) -> tuple[dict, dict]:
    """Reconstruct the same random test images whatever the model's seed; draw others."""
    model = study.run(study.seeds[0], num_components=4, kl_weight=KL_WEIGHT).model
    test = study.data.test
    chosen = np.sort(np.random.default_rng(0).choice(len(test), SIDE**2, replace=False))
    images = test.float_images()[chosen]
    grids = [images, model.reconstruct(images).numpy()]
    titles = [study.data.test_part.capitalize(), "Reconstructed by M-VAE"]
    figures = {
        "": mvae_tf.plots.image_grids(grids, titles),
        "_samples": mvae_tf.plots.image_grids(
            [model.sample(SIDE**2).numpy()], ["Draws from M-VAE's prior"]
        ),
    }
    content = {"images": chosen.tolist(), "kl_weight": KL_WEIGHT}
    return content | measures.root_errors(model, test), figures


def text(result: dict) -> str:
    """Return both pictures' captions as Markdown."""
    require_images(result["images"], SIDE**2)
    dataset = result["dataset"]
    test = tested_images(dataset)
    return f"""\
# Figure 5: reconstructions of {heading(dataset)}

![Random images and their reconstructions by M-VAE](fig5_cifar10.png)

{len(result["images"])} random images and the mixture images of their posterior means, K = 4,
KL weight {result["kl_weight"]:g}. Over all {test} the root of the mean squared error,
summed over pixels, is {result["rmse"]:.2f}; PSNR {result["psnr"]:.2f} dB.

![Draws from the prior](fig5_cifar10_samples.png)

{len(result["images"])} draws from the prior of the same model.

{origin(result)}"""


if __name__ == "__main__":
    run_script("fig5_cifar10", rebuild, text, dataset="cifar10")
