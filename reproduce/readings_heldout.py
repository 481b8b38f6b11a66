"""The choice of `paper_mnist` once more, on training images held out, the test images put aside.

`paper_mnist` was chosen among the readings for its likeness to the printed numbers as measured on
test images, the same that its results are then held against. Here the readings are trained on the
other training images and measured on those held out; does the choice stay?
"""

import ablation_readings
from support.results import run_script
from support.study import Study
from support.texts import origin

HELD_OUT = 10_000


def rebuild(study: Study) -> tuple[dict, dict]:
    """Train and measure the readings as `ablation_readings` does, without test images."""
    study.hold_out(HELD_OUT)
    return ablation_readings.rebuild(study)


def text(result: dict) -> str:
    """Return the table and the choice as Markdown."""
    best = ablation_readings.closest(result)
    is_papers = ablation_readings.reading_of(best) == ablation_readings.READINGS[0]
    stays = "stays" if is_papers else "does not stay"
    return f"""\
# The choice of `paper_mnist` on training images held out

{ablation_readings.table(result)}

{ablation_readings.judged(result)}
By rank the choice {stays}.

Columns: as in the readings' ablation. Measured on {result["dataset"]["test"]}, which were not
trained on; no test image was looked at. The printed numbers are of the test images.

{origin(result)}"""


if __name__ == "__main__":
    run_script("readings_heldout", rebuild, text)
