"""Serve a model by KServe's model server: TensorFlow Serving's REST, V2 by REST and by gRPC.

  mvae-tf serve --model=serving/photos                    # the newest version of an export
  mvae-tf serve --model=runs/photos --port=8501           # a run, or a .keras file
  mvae-tf serve --model=serving/photos --grpc_port=8500 --host=0.0.0.0

  curl localhost:8501/v1/models/photos:predict -d \\
    '{"signature_name": "sample", "inputs": {"count": 2, "seed": 0}}'

Once requests are answered, prints where, and serves until Ctrl-C or SIGTERM; what has been asked by
then is still answered. At /metrics are numbers for Prometheus, at /v2/health/ready whether it is
ready. Whoever reaches the port may ask: there are no passwords, and no encryption. Needs
pip install 'mvae_tf[serve]'.
"""

import importlib.util
import re
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from mvae_tf.commands.signals import Terminated
from mvae_tf.commands.support import arguments, sources
from mvae_tf.commands.support.arguments import CommandError
from mvae_tf.startup import import_tensorflow

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"


def main(argv: Sequence[str]) -> None:
    """Serve a model."""
    given = arguments.parse(__doc__, _define, argv)
    if importlib.util.find_spec("kserve") is None:
        raise CommandError(
            "Expected KServe's model server. Received: an installation without it. "
            "pip install 'mvae_tf[serve]' adds it."
        )
    exported = _version(arguments.path("model", given.model))
    path = None if exported else sources.find_model(given)
    name = given.name or _usual_name(exported or path)
    if exported is None:
        model = sources.load_model(path)
    import_tensorflow()
    from mvae_tf.server.running import Limits, Server

    limits = Limits(given.max_bytes, given.max_requests, given.timeout)
    with tempfile.TemporaryDirectory() as folder:
        if exported is None:
            from mvae_tf import serving

            exported = serving.export_saved_model(model, f"{folder}/1")
        answers = _answers(exported, given)
    server = Server(
        name,
        answers,
        host=given.host,
        port=given.port,
        grpc_port=given.grpc_port,
        limits=limits,
        access_log=given.access_log,
    )
    print(f"http://{given.host}:{server.port}/v1/models/{name}")
    if server.grpc_port is not None:
        print(f"grpc://{given.host}:{server.grpc_port}")
    print("Ready.", flush=True)
    stopped_by = server.run()
    raise Terminated if stopped_by == signal.SIGTERM else KeyboardInterrupt


def _define(values):
    arguments.define_model(values)
