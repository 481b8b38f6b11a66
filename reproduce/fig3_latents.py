"""Figure 3: two-dimensional latent codes of the four components and of a single VAE, by digit.

The paper projects its 2-d codes "onto a 3D space" and does not say how; here the third axis is the
expected mixing weight of the component.
"""

import numpy as np

import mvae_tf
from support.rows import require_parts
from support.scripts import run_script
from support.study import Study
from support.summaries import format_summary, summary
from support.texts import markdown_table, origin

COMPONENTS = 4
TITLES = [f"Component {k + 1}" for k in range(COMPONENTS)]
EPOCHS = {"quick": 3}  # two dimensions take shape later than twenty


def rebuild(study: Study) -> tuple[dict, dict]:
    """Train (or find) the models with d = 2 and draw the codes of all test images."""
    encoded = [
        [
            mvae_tf.evaluation.encode_split(
                study.run(seed, num_components=count, latent_dim=2, epochs=EPOCHS).model,
                study.data.test,
            )
            for count in (COMPONENTS, 1)
        ]
        for seed in study.seeds
    ]
    labels = study.data.test.labels
    mixture, vae = encoded[0]
    codes = [mixture.means[:, k] for k in range(COMPONENTS)]
    weights = [mixture.weights[:, k] for k in range(COMPONENTS)]
    figures = {
        "": mvae_tf.plots.latent_panels([*codes, vae.means[:, 0]], labels, [*TITLES, "VAE"]),
        "_3d": mvae_tf.plots.latent_views(codes, weights, labels, TITLES, "expected weight"),
    }
    share = [np.array([_share_between(each, labels) for each in _all_codes(e)]) for e in encoded]
    names = [*TITLES, "VAE"]
    content = {
        "between_digits": {
            name: summary([each[index] for each in share]) for index, name in enumerate(names)
        },
        "mean_weights": {
            name: summary([float(e[0].weights[:, k].mean()) for e in encoded])
            for k, name in enumerate(TITLES)
        },
    }
    return content, figures


def _all_codes(encoded):
    mixture, vae = encoded
    return [*(mixture.means[:, k] for k in range(COMPONENTS)), vae.means[:, 0]]


def _share_between(codes, labels):
    """Return the share of the codes' variance that lies between the digits' means."""
    means = np.stack([codes[labels == digit].mean(axis=0) for digit in range(10)])
    counts = np.bincount(labels, minlength=10)
    between = (counts[:, None] * (means - codes.mean(axis=0)) ** 2).sum()
    return float(between / ((codes - codes.mean(axis=0)) ** 2).sum())


def text(result: dict) -> str:
    """Return both pictures and what can be said of them in numbers, as Markdown."""
    require_parts(result["between_digits"], [*TITLES, "VAE"], only=True)
    require_parts(result["mean_weights"], TITLES, only=True)
    weights = result["mean_weights"]
    rows = [
        [
            name,
            format_summary(result["between_digits"][name], 3),
            format_summary(weights[name], 3) if name in weights else "1",
        ]
        for name in (*TITLES, "VAE")
    ]
    header = ["Codes of", "variance between digits", "mean weight"]
    return f"""\
# Figure 3: two-dimensional latent codes by digit

![Codes of each component and of a single VAE](fig3_latents.png)

![The same with the expected mixing weight as third axis](fig3_latents_3d.png)

{markdown_table(header, rows)}

Posterior means of the 10,000 test images, d = 2. Third axis of the second picture: the expected
mixing weight of that component (the paper does not say what its third dimension is); it does not
start at 0. "Variance between digits": the share of the codes' variance that lies between the ten
digits' means.

{origin(result)}"""


if __name__ == "__main__":
    run_script("fig3_latents", rebuild, text)
