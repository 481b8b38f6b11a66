"""Where a command's images and its model come from."""

from pathlib import Path

from absl import flags

from mvae_tf import datasets, files
from mvae_tf.commands.support import archives, arguments, settings
from mvae_tf.commands.support.arguments import CommandError
from mvae_tf.startup import import_tensorflow
from mvae_tf.training import run_folder


def data_flags(given: flags.FlagValues) -> dict:
    """Return what the flags say of the data, paths made absolute; None where they say nothing."""
    source, data_dir = given.data, given.data_dir
    if source is not None and not settings.is_data_name(source):
        source = arguments.path("data", source).absolute()
        files.require_readable(source)
        source = str(source)
    if data_dir is not None:
        data_dir = str(arguments.path("data_dir", data_dir).absolute())
    cache = None if given.cache is None else str(arguments.path("cache", given.cache).absolute())
    return {
        "source": source,
        "data_dir": data_dir,
        "image_size": given.image_size,
        "test_fraction": given.test_fraction,
        "stream": given.stream,
        "cache": cache,
        "skip_unreadable": given.skip_unreadable,
    }


def load_data(described: dict):
    """Return the dataset that `data_flags`, or a run's settings.json, describes."""
    source = described["source"]
    if settings.is_data_name(source):
        import_tensorflow()  # now and quietly: TensorFlow Datasets may need it
    names = (
        *("data_dir", "image_size", "test_fraction"),
        *("stream", "cache", "skip_unreadable"),
    )
    options = {name: described[name] for name in names if described.get(name) is not None}
    if "image_size" in options:
        options["image_size"] = tuple(options["image_size"])
    return datasets.load(source, **options)


def require_digest(data, digest: str, reason: str) -> None:
    """Refuse data other than the expected.

    Args:
        data: The dataset.
        digest: Of the data expected.
        reason: Behind "the images that the run was".
    """
    if data.digest != digest:
        raise CommandError(
            f"Expected the images that the run was {reason}, of SHA-256 {digest[:12]}... Received: "
            f"others, {data.digest[:12]}..., from {data.source}. Where they are now, --data says."
        )


def image_shape(path: Path) -> tuple[int, int, int]:
    """Return the image shape of the model that `find_model` found, as a rule without TensorFlow."""
    if path.is_dir():
        shape = settings.read_record(path)["settings"]["model"]["image_shape"]
    else:
        shape = archives.read(path).config.get("image_shape")
    return tuple(load_model(path).image_shape if shape is None else shape)


def find_model(given: flags.FlagValues) -> Path:
    """Return --model as a path, once it is found whole; TensorFlow isn't started."""
    path = settings.model_path(given)
    if path.is_file():
        archives.read(path)
    elif run_folder.is_finished(path):
        settings.read_record(path)
    else:
        raise CommandError(
            f"Expected a run that is done. Received: {path}, which is not. To go on with it: "
            f"{settings.resume_command(path)}"
        )
    return path


def load_model(path: Path):
    """Return the model that `find_model` found."""
    import_tensorflow()
    from mvae_tf.model import MixtureVAE

    if path.is_dir():
        return run_folder.load(path).model
    import keras

    try:
        model = keras.models.load_model(path, {"MixtureVAE": MixtureVAE}, compile=False)
    # Keras raises nearly everything on classes it doesn't know.
    except Exception as error:
        unknown = "Could not locate" in str(error)
        raise CommandError(
            f"Expected {path} to be made of mvae_tf's own classes. Received: "
            + (
                "a class of your own. Only Python can load it: import that class, then "
                f"keras.models.load_model({str(path)!r})."
                if unknown
                else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            )
        ) from error
    if not isinstance(model, MixtureVAE):
        raise CommandError(f"Expected a MixtureVAE. Received: {path}, a {type(model).__name__}.")
    return model


def data_of_run(path: Path) -> dict | None:
    """Return how to load a run's data and its digest; None if that is not known."""
    if not path.is_dir():
        return None
    if settings.are_kept(path):
        data = settings.read(path).data
        return None if data["source"] is None else data
    dataset = run_folder.read_record(path)["dataset"]
    named = settings.is_data_name(dataset["name"])
    return {"source": dataset["name"], **dataset} if named else None
