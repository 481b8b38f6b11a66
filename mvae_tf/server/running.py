"""The server's start and its end: KServe's REST and gRPC, on sockets that were free before."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
from typing import NamedTuple

import fastapi
import grpc
import kserve.model_server
import uvicorn
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from mvae_tf.server import adapter, bounds
from mvae_tf.server.answers import Answers


class Limits(NamedTuple):
    """What clients may take.

    Attributes:
        max_bytes: of a request's body.
        max_requests: answered at the same time, by REST and by gRPC each.
        seconds: that a client may stand still, and that answers may take once the server is to
            stop.
    """

    max_bytes: int = 8 * 2**20
    max_requests: int = 64
    seconds: float = 20.0


class Server:
    """A server of one model, which has its ports from the beginning.

    Attributes:
        port, grpc_port: of REST and, if asked for, of gRPC.
    """

    def __init__(
        self,
        name: str,
        answers: Answers,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int | None = None,
        limits: Limits | None = None,
        access_log: bool = False,
    ):
        """Take the ports.

        Args:
            name: of the model.
            answers: its own.
            host: the address that is listened to.
            port: of REST; 0 for any that is free.
            grpc_port: of gRPC, likewise. None: there is none.
            limits: what clients may take; None for `Limits()`.
            access_log: a line for each request.

        Raises:
            OSError: a port can't be had.
        """
        self._limits = limits = limits or Limits()
        self._host, self._asked = host, None
        models = adapter.Models()
        models.update(adapter.Served(name, answers, 2 * limits.max_requests))
        self._plane = adapter.Doorman(models)
        self._extension = ModelRepositoryExtension(models)
        self._socket = _listening(host, port)
        self.port = self._socket.getsockname()[1]
        self.grpc_port = None
        if grpc_port is not None:
            # gRPC opens its port itself; that it is free is found out now.
            with _listening(host, grpc_port) as found:
                self.grpc_port = found.getsockname()[1]
        _be_quiet(access_log)
        self._uvicorn = self._http(access_log)

    def run(self) -> int | None:
        """Serve until `stop`, or a signal to the main thread, which is returned.

        Whoever has asked until then is answered.
        """
        with self._signals(), _frozen():
            asyncio.run(self._run())
        return self._asked

    def stop(self) -> None:
        """Begin to end, from whatever thread."""
        self._uvicorn.should_exit = True

    async def _run(self):
        rpc = None
        if self.grpc_port is not None:
            rpc = self._rpc()
            await rpc.start()
        await self._uvicorn.serve(sockets=[self._socket])
        if rpc is not None:
            await rpc.stop(self._limits.seconds)

    def _http(self, access_log):
        # KServe adds what it answers to an application that it finds here.
        app = kserve.model_server.app = fastapi.FastAPI(openapi_url=None)
        name = "kserve.model_server:app"
        RESTServer(name, self._plane, self._extension, self.port).create_application()
        config = uvicorn.Config(
            bounds.Bounds(
                app,
                max_bytes=self._limits.max_bytes,
                max_requests=self._limits.max_requests,
                seconds=self._limits.seconds,
            ),
            http=bounds.Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=access_log,
            server_header=False,
            timeout_keep_alive=self._limits.seconds,
            timeout_graceful_shutdown=self._limits.seconds,
        )
        return _Uvicorn(config)

    def _rpc(self):
        """Return gRPC's server, as KServe makes it, but with bounds, and on our host alone."""
        server = grpc.aio.server(
            interceptors=[ExceptionToStatusInterceptor()],
            maximum_concurrent_rpcs=self._limits.max_requests,
            options=[
                ("grpc.max_receive_message_length", self._limits.max_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        servicer = InferenceServicer(self._plane, self._extension)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
        host = f"[{self._host}]" if ":" in self._host else self._host
        server.add_insecure_port(f"{host}:{self.grpc_port}")
        return server

    @contextlib.contextmanager
    def _signals(self):
        """Let Ctrl-C and SIGTERM end the server, but for those that the process is to ignore."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number, frame):
        self._uvicorn.force_exit = self._asked is not None  # the second time at once
        self._asked = number
        self.stop()


def require_free(host: str, *ports: int | None) -> None:
    """Find out whether ports can be had, before any work; None and 0 can.

    Raises:
        OSError: one can't.
    """
    for port in filter(None, ports):
        _listening(host, port).close()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which leaves signals to us."""

    def capture_signals(self):
        return contextlib.nullcontext()


class _OfClients(logging.Filter):
    """Drops tracebacks of what clients did wrong: it is in their answers."""

    def filter(self, record):
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(
            error, InvalidInput | ModelNotFound | ModelNotReady | NotImplementedError
        )


@contextlib.contextmanager
def _frozen():
    """Spare Python the search for garbage among what is there already.

    An image in JSON is a list for each pixel, which makes Python search often, and TensorFlow's
    modules hold a million objects: without this half of the requests are answered in a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _be_quiet(access_log):
    logging.getLogger("kserve").setLevel(logging.ERROR)
    logging.getLogger("kserve").addFilter(_OfClients())
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    if access_log:
        logger = logging.getLogger("uvicorn.access")
        logger.setLevel(logging.INFO)
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


def _listening(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm: an answer's body would else
    # wait 40 ms for the client to acknowledge its head.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise OSError(
            f"Expected an address that can be listened to. Received: {host}, port {port} "
            f"({error.strerror})."
        ) from error
    return listening
