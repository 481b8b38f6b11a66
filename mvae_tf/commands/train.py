"""Train a model, or go on with a run.

  mvae-tf train --data=photos --image_size=64x64
  mvae-tf train --data=mnist --preset=paper_mnist --epochs=10 --output_dir=runs/ten
  mvae-tf train --output_dir=runs/ten --resume               # after a stop
  mvae-tf train --output_dir=runs/ten --resume --epochs=20   # ten epochs more
  mvae-tf train --data=photos --strategy=mirrored            # all GPUs of this machine

The run folder holds settings.json, a checkpoint of each of the last two epochs, and, once the run
is done, model.keras and record.json. A run that was stopped, at any moment, ends with the same
weights as one that was not. What of these files is damaged, --resume makes whole from the others.
Flags that are left out are the preset's.

Without --output_dir it is runs/ and a name: a published dataset's own (runs/mnist), or that of your
folder or file (runs/photos), with own- before a published one's. A run on other images of the same
name is in the way.
"""

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mvae_tf import datasets, files
from mvae_tf.commands.support import arguments, settings, sources, train_flags
from mvae_tf.commands.support.arguments import CommandError, UsageError
from mvae_tf.devices import strategies
from mvae_tf.startup import import_tensorflow
from mvae_tf.training import jit, precision, run_folder
from mvae_tf.training.version import TRAINING_VERSION

_TOO_LARGE = (
    "Expected enough memory for the model. Received: too little. Choose a smaller "
    "--num_components, --latent_dim or --hidden_units."
)
_WITHOUT_DATA = "Expected --data; or --output_dir and --resume, to go on with a run."


def main(argv: Sequence[str]) -> None:
    """Train as the flags say.

    Raises:
        UsageError: they contradict each other, the data or the run.
        CommandError: training failed.
    """
    given = arguments.parse(__doc__, train_flags.define, argv)
    if given.data is None and given.output_dir is None:
        raise UsageError(_WITHOUT_DATA)
    folder = _folder(given)
    try:
        strategies.check(given.strategy)
        jit.check(given.jit, given.strategy)
    except ValueError as error:
        raise UsageError(f"--strategy={given.strategy} --jit={given.jit}: {error}") from error
    with strategies.only_chief_prints(given.strategy):
        if given.resume:
            _resume(given, folder)
        else:
            _begin(given, folder)


def _begin(given, folder):
    _require_no_run(given, folder)
    if strategies.is_chief(given.strategy):
        files.require_writable(folder)
    if given.data is None:
        raise UsageError(_WITHOUT_DATA)
    _join(given.strategy)
    described = sources.data_flags(given)
    data = sources.load_data(described)
    stored, chosen, compiled = _settings(given, described, data)
    model = _build(stored, data, chosen, compiled, given.strategy)
    with run_folder.locked(folder, wait=False, strategy=given.strategy):
        if strategies.is_chief(given.strategy):
            _require_no_run(given, folder)  # by now
        _train(model, stored, data, folder, given.strategy)


def _settings(given, described, data):
    """Return the settings of a run that the flags begin, the precision and the jit."""
    images = data.train.images
    preset = given.preset or settings.usual_preset(images.shape[1:])
    if given.preset is None:
        _say(f"No --preset: that for images most like these, {preset}.")
    import_tensorflow()
    chosen = precision.resolve(given.precision)
    compiled = jit.resolve(given.jit, given.strategy)
    stored = settings.RunSettings(
        preset=preset,
        **settings.from_flags(given, preset, images, chosen.policy, compiled.jit),
        data=settings.with_content(described, data),
        tensorboard_every=_tensorboard_every(given, None),
        versions=settings.versions(),
        training_version=TRAINING_VERSION,
    )
    return stored, chosen, compiled


def _named_again(given, error):
    """Return the settings of a run whose own are lost, as the flags name them again."""
    if given.data is None:
        raise error
    _say(f"The settings of the run are lost; taken from the flags. ({error})")
    described = sources.data_flags(given)
    data = sources.load_data(described)
    stored, *_ = _settings(given, described, data)
    return stored


def _resume(given, folder):
    known = settings.are_kept(folder) or run_folder.is_finished(folder)
    if not known and run_folder.last_checkpoint(folder) is None:
        raise UsageError(
            f"Expected --output_dir to hold a run to go on with. Received: {folder}, which has no "
            f"{settings.FILE}."
        )
    _join(given.strategy)
    with run_folder.locked(folder, wait=False, strategy=given.strategy):
        try:
            stored = settings.read(folder)
        except run_folder.DamagedRunError as error:
            stored = _named_again(given, error)
        described = sources.data_flags(given)
        settings.require_agreement(given, stored)
        epochs = given.epochs or stored.training["epochs"]
        if epochs < (done := len(run_folder.read_history(folder))):
            raise UsageError(
                f"Expected --epochs of at least {done}, those of the last checkpoint in {folder}. "
                f"Received: {epochs}."
            )
        # Where they are may have changed; what they are may not.
        place = {name: value for name, value in described.items() if value is not None}
        moved = not place.items() <= stored.data.items()
        data = _load_again(stored, place) if moved else None
        if run_folder.is_done(folder, given.strategy) and _is_done(folder, epochs):
            return
        data = data or _load_again(stored, place)
        if stored.versions != settings.versions():
            _say(f"The run was begun under other versions, {stored.versions}.")
        if stored.training_version != TRAINING_VERSION:
            _say(
                f"What training computes has changed since the run was begun, from version "
                f"{stored.training_version} to {TRAINING_VERSION}: it will be of both."
            )
        stored = dataclasses.replace(
            stored,
            training={**stored.training, "epochs": epochs},
            data={**stored.data, **place},
            tensorboard_every=_tensorboard_every(given, stored.tensorboard_every),
            versions=settings.versions(),
            training_version=TRAINING_VERSION,
        )
        import_tensorflow()
        kept = precision.Choice(stored.training["precision"], "the run's own")
        kept_jit = jit.Choice(stored.training.get("jit", "off"), "the run's own")
        model = _build(stored, data, kept, kept_jit, given.strategy)
        _train(model, stored, data, folder, given.strategy)


def _load_again(stored, place):
    """Return a run's images, from where the flags say that they are now; refuse others."""
    described = {**stored.data, **place}
    if not described["source"]:
        name = stored.data["name"]
        raise UsageError(f"Expected --data: of the images of the run only a name, {name}, is left.")
    data = sources.load_data(described)
    sources.require_digest(data, stored.data["digest"], "begun with")
    return data


def _is_done(folder, epochs):
    """Return whether nothing remains to be done of a run that was finished before, and say so."""
    done = len(run_folder.read_record(folder)["history"])
    if done >= epochs:
        print(f"{folder / run_folder.MODEL}: done before, {done} epochs")
        _say("To go on all the same, give more --epochs.")
        return True
    if run_folder.last_checkpoint(folder) is None:
        raise CommandError(
            f"Expected a checkpoint in {folder / run_folder.CHECKPOINTS} to go on from. "
            "Received: none."
        )
    return False


def _join(strategy):
    """Of several workers, wait until all have come, before TensorFlow begins to work on data."""
    if strategy == "multi_worker":
        _say("Waiting for the other workers.")
        import_tensorflow()
        strategies.get(strategy)


def _build(stored, data, chosen, compiled, strategy):
    """Return the compiled model; say what will be trained, on what, how precisely and by whom."""
    shape = data.train.images.shape[1:]
    try:
        model = run_folder.build(stored.resolved(), len(data.train), strategy)
    except (*_exhausted(), MemoryError, OverflowError) as error:
        raise CommandError(_TOO_LARGE) from error
    except ValueError as error:
        if re.search("too (big|large)|[Mm]aximum", str(error)):  # NumPy's, of endless arrays
            raise CommandError(_TOO_LARGE) from error
        raise UsageError(
            f"The settings (--preset={stored.preset} and other flags) don't go with images of "
            f"shape {shape}. {error}"
        ) from error
    _say(
        f"{data.name}: {len(data.train):,} training and {len(data.test):,} test images of shape "
        f"{shape}"
    )
    _say(
        f"{model.num_components} {model.network} components {model.hidden_units}, codes of size "
        f"{model.latent_dim}, {model.count_params():,} parameters; batches of "
        f"{stored.training['batch_size']}"
    )
    _say(f"precision: {chosen}")
    _say(f"jit: {compiled}")
    if strategy != "none":
        _say(f"strategy: {strategies.described(model.distribute_strategy)}")
    # All that was left to MixtureVAE's own choice.
    config = model.get_config()
    stored.model.update({name: config[name] for name in stored.model})
    return model


def _exhausted():
    """Return the errors by which TensorFlow refuses tensors that are too large."""
    from tensorflow import errors

    return errors.ResourceExhaustedError, errors.InvalidArgumentError


def _train(model, stored, data, folder, strategy):
    import tensorflow as tf

    from mvae_tf.commands.support.stopping import between_steps
    from mvae_tf.training import CheckpointError

    epochs = stored.training["epochs"]
    is_chief = strategies.is_chief(strategy)
    try:
        with between_steps() as stopper:
            if is_chief:
                stored.write(folder)
            record = run_folder.train(
                model,
                stored.resolved(),
                data,
                folder,
                notes={"versions": stored.versions},
                callbacks=[stopper, *(_tensorboard(stored, data, folder) if is_chief else [])],
                validate=stored.tensorboard_every is not None,
                keep_checkpoints=True,
            )
    except KeyboardInterrupt as stop:
        stop.add_note(_left(folder, epochs, strategy))
        raise
    except FloatingPointError as error:
        raise CommandError(
            f"{error} In another --output_dir, try a lower --learning_rate."
        ) from error
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if files.is_full(error):  # of what TensorFlow writes for TensorBoard
            reason = f"Expected {folder} to be written. Received: no space left. Make room there."
            raise CommandError(f"{reason}\n{_left(folder, epochs, strategy)}") from error
        raise CommandError(
            "Expected enough memory for a step. Received: too little. Choose a smaller "
            "--batch_size, or smaller networks, and another --output_dir."
        ) from error
    except (CheckpointError, OSError) as error:
        raise CommandError(f"{error}\n{_left(folder, epochs, strategy)}") from error
    last = record["history"][-1]
    path = folder / run_folder.MODEL
    print(
        f"{path}: {epochs} epoch{'s' * (epochs > 1)} in {tqdm.format_interval(record['seconds'])}, "
        f"loss {last['loss']:.4g}, squared error {last['mse']:.4g}"
    )
    _say("Now try")
    for command, *flags_of_it in (
        ("evaluate",),
        ("reconstruct", "--output=reconstructions.png"),
        ("sample", "--output=samples.png"),
    ):
        _say("  " + settings.command_line(command, f"--model={folder}", *flags_of_it))


def _tensorboard(stored, data, folder):
    if stored.tensorboard_every is None:
        return []
    from mvae_tf.tensorboard import TensorBoard

    options = {"every": stored.tensorboard_every, "class_names": data.class_names}
    return [TensorBoard(folder / "tensorboard", data.test, **options)]


def _tensorboard_every(given, before):
    if given.tensorboard or given.tensorboard_every:
        return given.tensorboard_every or before or 1
    return None if given["tensorboard"].present else before


def _left(folder, epochs, strategy):
    """Return what a run that was stopped leaves, and how to go on with it."""
    if not settings.are_kept(folder):
        return "Nothing of the run is written yet: once there is room, give the same command again."
    checkpoint = run_folder.last_checkpoint(folder)
    if checkpoint is None:
        left = "No checkpoint yet: one is written at the end of each epoch."
    else:
        left = f"The last checkpoint, of {epochs}: {checkpoint}"
    return f"{left}\nTo go on: {settings.resume_command(folder, strategy)}"


def _require_no_run(given, folder):
    names = (settings.FILE, run_folder.RECORD, run_folder.MODEL, run_folder.CHECKPOINTS)
    if any((folder / name).exists() for name in names):
        if given.output_dir is None and (others := _others_source(given, folder)):
            raise UsageError(
                f"Expected --output_dir: {folder}, the usual one of that name, holds a run on "
                f"other images, {others}."
            )
        raise UsageError(
            f"Expected --output_dir without a run. Received: {folder}, which holds one. To go on "
            f"with it: {settings.resume_command(folder)}"
        )


def _others_source(given, folder):
    """Return where the images of the run in a folder are, if they are not the given ones."""
    try:
        source = settings.read(folder).data["source"]
    except run_folder.DamagedRunError:
        return "which can't be told, since its settings are damaged"
    return source if source != sources.data_flags(given)["source"] else None


def _folder(given):
    """Return the run folder: --output_dir, or one named after the data as the help says."""
    if given.output_dir is not None:
        return arguments.path("output_dir", given.output_dir)
    source = given.data
    if source in datasets.NAMES:
        return Path("runs", source)
    if source.startswith("tfds:"):
        name, prefix = source.removeprefix("tfds:"), "tfds"
    else:
        path = arguments.path("data", source).resolve()
        name, prefix = path.stem if path.suffix in (".npz", ".npy") else path.name, "own"
    name = re.sub(r"[^\w.-]+", "-", name).strip(".") or "images"
    return Path("runs", f"{prefix}-{name}" if name in datasets.NAMES else name)


def _say(text):
    print(text, file=sys.stderr, flush=True)
