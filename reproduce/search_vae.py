"""The search of `best_mnist` for a single VAE: what that mixture is to be held against.

A VAE with the settings that were chosen for a mixture is at a disadvantage. This one's are chosen
in the same way, on the same images held out. Table I has it as `--rows=searched:1 --add`, Table II
as a column, once this result is stored in the same folder.
"""

from absl import app

import search_mnist
from mvae_tf.training import stored
from support.scripts import run_script
from support.study import Study


def rebuild(study: Study) -> tuple[dict, dict]:
    """Go through the stages that mean something to a single VAE."""
    return search_mnist.rebuild(study, num_components=1)


def text(result: dict) -> str:
    """Return the trials and the choice as Markdown."""
    return search_mnist.text(result, num_components=1)


def settings(found: dict | None) -> dict:
    """Return what a stored result chose, as `Study.run` takes it.

    Raises:
        UsageError: There is none.
    """
    try:
        stored.require(found, {"chosen": {"model": {}, "protocol": {}}})
    except ValueError:
        raise app.UsageError(
            "Expected a stored result of search_vae.py in the same folder. Received: none."
        ) from None
    chosen = found["chosen"]
    return {"preset": "paper_mnist", "protocol": chosen["protocol"], **chosen["model"]}


if __name__ == "__main__":
    run_script("search_vae", rebuild, text)
