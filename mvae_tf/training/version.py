"""The version of what training computes.

Every run's record and every result says by which version it was made. A stored run or result is
taken up again only where settings, data and version are the same; how the code is laid out does not
matter.

Raise `TRAINING_VERSION` by one with any change after which the same settings, images and seed give
other weights than before, beyond rounding: another objective or kernel, other initial values,
draws, batches, updates or rates, another meaning of a setting. `tests/test_training_version.py`
trains small models and fails after such a change; what it can't know is whether the change was
meant. If it was, raise the number, rewrite the test's values by `python tests/golden_trainings.py
--write`, and say in CHANGELOG.md what is computed otherwise. Stored runs are then trained anew when
a script needs them, and stored results are told to be of an earlier version until they are. A
change of rounding alone, of speed, of names, or of what is measured afterwards leaves the number as
it is, and so does a new setting whose usual value is what was done before.

Raise `CLASSIFIER_VERSION` likewise with what `mvae_tf.evaluation.resnet` trains.
"""

from collections.abc import Mapping

TRAINING_VERSION = 1
CLASSIFIER_VERSION = 1


class NewerRunError(RuntimeError):
    """A run was trained by a newer mvae_tf, which computes otherwise."""


def recorded(record: Mapping, name: str = "training_version") -> int:
    """Return the version that a record names.

    Args:
        record: Of a run, a classifier or a result.
        name: "training_version" or "classifier_version".

    Returns:
        The number; 1 where there is none: what was trained before it was recorded (mvae_tf 0.1.0)
        is version 1 by definition.
    """
    return record.get(name, 1)


def require_known(record: Mapping, where: str) -> None:
    """Refuse what was trained by a later version than this one, of which nothing is known here.

    Args:
        record: Of a run or a result.
        where: It lies.

    Raises:
        NewerRunError: it was.
    """
    if recorded(record) > TRAINING_VERSION:
        raise NewerRunError(
            f"Expected a training version of at most {TRAINING_VERSION} in {where}. Received: "
            f"{recorded(record)}, of a newer mvae_tf; install that one, or name another folder."
        )
