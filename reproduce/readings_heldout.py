"""The choice of `paper_mnist` once more, on training images held out, the test images put aside.

`paper_mnist` was chosen among the readings for its likeness to the printed numbers as measured on
test images, the same that its results are then held against. Here the readings are trained on the
other training images and measured on those held out; does the choice stay?
"""

import ablation_readings
from support.rows import Rows
from support.scripts import run_script
from support.study import Study
from support.texts import origin

HELD_OUT = 10_000
KNOWN_ROWS = Rows(ablation_readings.ROWS, ablation_readings.by_name, ablation_readings.usual_rows)


def rebuild(study: Study, chosen: list[str] | None = None) -> tuple[dict, dict]:
    """Train and measure the readings as `ablation_readings` does, without test images."""
    study.hold_out(HELD_OUT)
    return ablation_readings.rebuild(study, chosen)


def text(result: dict) -> str:
    """Return the table and the choice as Markdown."""
    return f"""\
# The choice of `paper_mnist` on training images held out

{ablation_readings.table(result)}

{ablation_readings.judged(result)}
{_choice(result)}
Columns: as in the readings' ablation. Measured on {result["dataset"]["test"]}, which were not
trained on; no test image was looked at. The printed numbers are of the test images.

{origin(result)}"""


def _choice(result):
    papers, *others = ablation_readings.ROWS
    present = ablation_readings.by_name(result)
    if papers not in present:
        return ""
    best = ablation_readings.reading_of(ablation_readings.closest(result))
    stays = "stays" if best == ablation_readings.ROWS[papers] else "does not stay"
    of_these = "" if set(others) <= set(present) else " among these"
    return f"By rank the choice {stays}{of_these}.\n"


if __name__ == "__main__":
    run_script(
        "readings_heldout",
        rebuild,
        text,
        rows=KNOWN_ROWS,
        grows=True,
    )
