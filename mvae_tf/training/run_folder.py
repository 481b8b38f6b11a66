"""A run's folder, as the command line and the scripts in reproduce/ share it.

While a run trains its folder holds `checkpoints/`; once it is done, `model.keras` and
`record.json`: settings, data, the version of what training computes, strategy, the model's SHA-256,
time and history. The record is written last, so that where it is, the run is finished. The settings
of a run are a dict of two parts: "model", the arguments of `MixtureVAE`, and "training", its
protocol. TensorFlow starts only where a model is built, trained or loaded.
"""

import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import filelock
import psutil

from mvae_tf import files
from mvae_tf.devices import strategies
from mvae_tf.files import sha256, write_text
from mvae_tf.training import stored
from mvae_tf.training.version import TRAINING_VERSION, require_known

CHECKPOINTS, MODEL, RECORD = "checkpoints", "model.keras", "record.json"
LOCK = "lock"

# A lock is asked for this often, and for so long before it counts as another's.
_POLL_SECONDS = 0.02
_MOMENT = 0.5


class DamagedRunError(RuntimeError):
    """A finished run's files are not what its record says."""


class BusyRunError(RuntimeError):
    """Another process works in the run's folder."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model and its record.

    Attributes:
        model: The `MixtureVAE`.
        history: The terms epoch by epoch, see `mvae_tf.training.train`.
        seconds: Training time, from the first epoch's begin to the last one's end.
        peak_memory: Of the process that trained, MiB.
    """

    model: object
    history: list[dict]
    seconds: float
    peak_memory: float


def build(settings: Mapping, num_images: int, strategy: str = "none"):
    """Return the compiled, untrained model of a run.

    Args:
        settings: Of the run.
        num_images: To train on; a learning rate that decays depends on it.
        strategy: By which it is trained, see `mvae_tf.devices.strategies.get`.

    Raises:
        LostWorkerError: another worker is gone.
        ValueError: the settings don't go with each other, or the strategy with this machine; or
            other workers have others.
    """
    from mvae_tf import training
    from mvae_tf.devices import distribution
    from mvae_tf.model import MixtureVAE
    from mvae_tf.training.optimizers import FusedAdam

    protocol = settings["training"]
    chosen = strategies.get(strategy)
    distribution.require_agreement(chosen, "settings", json.dumps([settings, num_images]))
    with chosen.scope():
        model = MixtureVAE(**settings["model"], dtype=protocol["precision"])
        is_compiled = protocol.get("jit", "off") == "on"
        steps = 1
        if not is_compiled and chosen.num_replicas_in_sync == 1:
            steps = training.steps_per_execution(num_images, protocol["batch_size"])
        model.compile(
            optimizer=FusedAdam(_learning_rate(protocol, num_images)),
            steps_per_execution=steps,
            jit_compile=is_compiled,
        )
    return model


def train(
    model,
    settings: Mapping,
    data,
    folder: Path,
    *,
    notes: Mapping | None = None,
    callbacks: Sequence = (),
    validate: bool = False,
    keep_checkpoints: bool = False,
) -> dict:
    """Train a model into its folder, from the last checkpoint if there is one.

    Of several workers the chief writes the folder; the others return when it has done so.

    Args:
        model: What `build` gives.
        settings: Of the run.
        data: What `mvae_tf.datasets.load` gives.
        folder: Of the run.
        notes: What the record is to say besides.
        callbacks: As for `mvae_tf.training.train`.
        validate: Whether the terms are measured on the test images after each epoch, too.
        keep_checkpoints: Whether they stay once the run is done, so that it can be made longer.

    Returns:
        The record.

    Raises:
        CheckpointError, FloatingPointError, LostWorkerError: as `mvae_tf.training.train`.
        OSError: the folder can't be written.
    """
    from mvae_tf import training
    from mvae_tf.devices import distribution

    protocol = settings["training"]
    strategy = model.distribute_strategy
    distribution.require_agreement(strategy, "images", data.digest)
    history = training.train(
        model,
        data.train,
        validation=data.test if validate else None,
        epochs=protocol["epochs"],
        batch_size=protocol["batch_size"],
        seed=protocol["seed"],
        directory=folder / CHECKPOINTS,
        callbacks=callbacks,
    )
    with distribution.clear_errors(strategy):
        if strategies.is_chief_of(strategy):
            _write(model, settings, data, folder, notes, history)
            if not keep_checkpoints:
                shutil.rmtree(folder / CHECKPOINTS)
        else:
            with tempfile.TemporaryDirectory() as unused:  # as with checkpoints, all take part
                model.save(Path(unused, MODEL))
    distribution.wait_for_all(strategy)
    return stored.read_json(folder / RECORD)


def _write(model, settings, data, folder, notes, history):
    """Write the model, then its record."""
    aside = folder / f"writing-{MODEL}"
    path = folder / MODEL
    try:
        with files.writing(path, RuntimeError):  # which h5py raises as well
            model.save(aside)
            files.sync(aside)
            # The record of a shorter run must not vouch for the new model.
            (folder / RECORD).unlink(missing_ok=True)
            files.put(aside, path)
    finally:
        files.remove(aside)
    record = {
        "settings": settings,
        "dataset": {"name": data.name, "digest": data.digest},
        "training_version": TRAINING_VERSION,
        "strategy": strategies.described(model.distribute_strategy),
        **(notes or {}),
        "model_sha256": sha256(folder / MODEL),
        "seconds": round(sum(epoch["seconds"] for epoch in history), 3),
        "peak_memory_mib": _peak_memory(),
        "history": history,
    }
    write_text(folder / RECORD, json.dumps(record, indent=1))


def load(folder: Path) -> Run:
    """Return the run in a folder.

    Raises:
        DamagedRunError, NewerRunError: as `read_record`.
    """
    import keras

    from mvae_tf.model import MixtureVAE

    record = read_record(folder)
    own = {"MixtureVAE": MixtureVAE}
    model = keras.models.load_model(folder / MODEL, custom_objects=own, compile=False)
    return Run(model, record["history"], record["seconds"], record["peak_memory_mib"])


def is_finished(folder: Path) -> bool:
    """Return whether a folder holds a finished run."""
    return (folder / RECORD).exists()


def is_done(folder: Path, strategy: str = "none") -> bool:
    """Return whether a folder holds a finished run that is whole: nothing is left to be trained.

    Where it is damaged but has a checkpoint, training makes it whole again.

    Args:
        folder: Of the run.
        strategy: By which the run is to be trained: of its workers all ask together and get the
            answer of the chief, who has the lock.

    Raises:
        DamagedRunError: it is damaged, and there is no checkpoint.
    """
    damage = None
    if is_finished(folder):
        try:
            read_record(folder)
        except DamagedRunError as error:
            damage = error
    open_again = damage is not None and last_checkpoint(folder) is not None
    answer = 2 if damage and not open_again else int(is_finished(folder) and not open_again)
    if strategy == "multi_worker":
        from mvae_tf.devices import distribution

        answer = int(distribution.numbers(strategies.get(strategy), answer)[0])
    if answer == 2:
        raise damage or DamagedRunError(f"The finished run in {folder} is damaged.")
    if open_again:
        print(f"{damage}", file=sys.stderr)
    return answer == 1


def read_record(folder: Path) -> dict:
    """Return a finished run's record, once the model is found to be the one that it speaks of.

    Raises:
        DamagedRunError: it isn't, or either can't be read.
        NewerRunError: a newer mvae_tf trained it.
    """
    path = folder / MODEL
    try:
        record = stored.require_record(stored.read_json(folder / RECORD))
        require_known(record, str(folder))
        if sha256(path) != record["model_sha256"]:
            raise ValueError(f"{path.name} has another SHA-256 than when it was written")
    except (OSError, ValueError) as error:
        checkpoint = last_checkpoint(folder)
        if checkpoint is None:
            advice = (
                "There is no checkpoint to make it whole from. Move that folder away and train "
                "again."
            )
        else:
            advice = f"Train on, and it is made whole from {checkpoint}."
        raise DamagedRunError(f"The finished run in {folder} is damaged ({error}). {advice}") from (
            error
        )
    return record


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a run's folder that has a readable history, if any has."""
    return next((checkpoint for checkpoint, _ in _histories(folder)), None)


def read_history(folder: Path) -> list[dict]:
    """Return the history in the newest checkpoint that has a readable one; [] without any."""
    return next((history for _, history in _histories(folder)), [])


def _histories(folder):
    for checkpoint in reversed(stored.checkpoints(folder / CHECKPOINTS)):
        # One may be damaged, or just be giving way to a newer one.
        with contextlib.suppress(OSError, ValueError):
            yield checkpoint, stored.read_history(checkpoint)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool, strategy: str = "none"):
    """Keep a folder, made if need be, to this process: two may want to train the same run.

    Args:
        folder: Of the run.
        wait: Whether to wait until no other process works there.
        strategy: By which the run is trained: of its workers the chief has the lock for all.

    Raises:
        BusyRunError: one does, and it isn't waited for.
    """
    if not strategies.is_chief(strategy):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Of an operating system's own kind: whatever ends the process, the lock is gone with it.
    lock = filelock.FileLock(folder / LOCK, poll_interval=_POLL_SECONDS)
    try:
        lock.acquire(timeout=_MOMENT)
    except filelock.Timeout:
        if not wait:
            raise BusyRunError(
                f"Expected no other process at work in {folder}. Received: one that trains "
                "there now."
            ) from None
        print(f"Waiting for another process that trains {folder.name}.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_busy(folder: Path) -> bool:
    """Return whether a process works in a run's folder now."""
    path = folder / LOCK
    if not path.exists():
        return False
    try:
        # To find it free is to have it for a moment, for which others wait.
        with filelock.FileLock(path, timeout=_MOMENT, poll_interval=_POLL_SECONDS):
            return False
    except filelock.Timeout:
        return True
    except PermissionError:  # a folder that is somebody else's, who lets us read
        with path.open() as file:
            return not filelock.lock_descriptor(file.fileno(), blocking=False)


def _learning_rate(protocol, num_images):
    import keras

    from mvae_tf import checks

    rate = checks.positive("learning_rate", protocol["learning_rate"])
    if protocol["decay"] == "none":
        return rate
    steps = protocol["epochs"] * -(-num_images // protocol["batch_size"])
    return keras.optimizers.schedules.CosineDecay(rate, steps)


def _peak_memory():
    """Return the most memory that this process has had, in MiB."""
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    try:
        import resource
    except ImportError:  # a Unix without it; what there is now is at most the peak
        return round(psutil.Process().memory_info().rss / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
