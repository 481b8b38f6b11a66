r"""Serve a model by KServe's model server: TensorFlow Serving's REST, V2 by REST and by gRPC.

  mvae-tf serve --model=serving/photos                    # the newest version of an export
  mvae-tf serve --model=runs/photos --port=8501           # a run, or a .keras file
  mvae-tf serve --model=serving/photos --grpc_port=8500 --host=0.0.0.0

  curl localhost:8501/v1/models/photos:predict -d \
    '{"signature_name": "sample", "inputs": {"count": 2, "seed": 0}}'

Prints where once it answers, and serves until Ctrl-C or SIGTERM; what was asked before is still
answered. /metrics has numbers for Prometheus, /v2/health/ready says whether it is ready. Whoever
reaches the port may ask: there are no passwords, and nothing is encrypted. Needs
pip install 'mvae_tf[serve]'.
"""

import importlib
import importlib.util
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from mvae_tf import files
from mvae_tf.commands.signals import Terminated
from mvae_tf.commands.support import arguments, sources
from mvae_tf.commands.support.arguments import CommandError, UsageError
from mvae_tf.startup import import_tensorflow


def main(argv: Sequence[str]) -> None:
    """Serve a model."""
    given = arguments.parse(__doc__, _define, argv)
    exported = _version(arguments.path("model", given.model))
    path = exported or sources.find_model(given)
    name = _name(given, path)
    if importlib.util.find_spec("kserve") is None:
        raise CommandError(
            "Expected KServe's model server. Received: an installation without it. "
            "pip install 'mvae_tf[serve]' adds it."
        )
    import_tensorflow()
    _import_kserve()
    from mvae_tf.server.running import Limits, Server, require_free

    require_free(
        given.host, given.port, given.grpc_port
    )  # now rather than after the model is loaded
    server = Server(
        name,
        _answers(given, exported, path),
        host=given.host,
        port=given.port,
        grpc_port=given.grpc_port,
        limits=Limits(given.max_bytes, given.max_requests, given.timeout),
        access_log=given.access_log,
    )
    host = f"[{given.host}]" if ":" in given.host else given.host
    print(f"{path} is served at http://{host}:{server.port}/v1/models/{name}", end="")
    print(f" and by gRPC at {host}:{server.grpc_port}" if server.grpc_port else "", flush=True)
    raise Terminated if server.run() == signal.SIGTERM else KeyboardInterrupt


def _define(values):
    flags.DEFINE_string(
        "model",
        None,
        "A SavedModel's folder or that of its versions, a run folder, or a .keras file.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string(
        "name",
        None,
        "By which clients know the model (default: the name of the folder or the file).",
        flag_values=values,
    )
    flags.DEFINE_string(
        "host",
        "127.0.0.1",
        "The address that is listened to; 0.0.0.0 for all of the machine's.",
        flag_values=values,
    )
    arguments.define_integer(
        values, "port", 8501, "Of REST; 0 for any that is free.", least=0, most=65535
    )
    arguments.define_integer(
        values,
        "grpc_port",
        None,
        "Of gRPC; 0 for any that is free. Without it there is none.",
        least=0,
        most=65535,
    )
    arguments.define_integer(
        values,
        "max_batch",
        128,
        "Images of one request, or that it may ask for; more are answered with 400.",
        most=10_000,
    )
    arguments.define_integer(
        values, "max_bytes", 8 * 2**20, "Of a request's body; more are answered with 413."
    )
    arguments.define_integer(
        values,
        "max_requests",
        64,
        "That are answered at the same time; others are answered with 503.",
        most=1024,
    )
    arguments.define_integer(
        values,
        "timeout",
        20,
        "Seconds that a client may take to send a body or stand still, and that answers may take "
        "once the server is to stop.",
        most=86_400,
    )
    flags.DEFINE_bool("access_log", False, "A line on stderr for each request.", flag_values=values)


def _import_kserve():
    """Import KServe, which takes the program's flags for its own when it is imported."""
    flags_of_ours, sys.argv = sys.argv, sys.argv[:1]
    try:
        importlib.import_module("kserve")
    finally:
        sys.argv = flags_of_ours


def _version(path):
    """Return a SavedModel's folder: the path itself, or the newest version in it, or None."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [each for each in path.glob("*/saved_model.pb") if each.parent.name.isdigit()]
    return max(versions, key=lambda each: int(each.parent.name)).parent if versions else None


def _name(given, path):
    """Return --name, or what its folder or file is called, without what a URL has no place for."""
    name = given.name
    if name is None:
        path = path.absolute()
        if path.name.isdigit() and path.parent.name:  # a version
            path = path.parent
        name = re.sub("[^A-Za-z0-9._-]+", "-", path.name.removesuffix(".keras"))
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise UsageError(
            "Expected --name to be letters and digits, with dots, dashes and underscores among "
            f"them. Received: {name!r}."
        )
    return name


def _answers(given, exported, path):
    from mvae_tf.server.answers import Answers

    def load(folder):
        answers = Answers(folder, max_batch=given.max_batch, threads=2 * given.max_requests)
        answers.warm_up()
        return answers

    if exported:
        return load(exported)
    model = sources.load_model(path)
    from mvae_tf import serving

    with (
        tempfile.TemporaryDirectory(prefix="mvae-tf-") as folder,
        files.aside(Path(folder) / "served") as aside,
    ):
        return load(serving.export_saved_model(model, aside))
