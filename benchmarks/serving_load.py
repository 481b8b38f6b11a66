"""How many requests a second `mvae-tf serve` answers, and how soon, beside the bare SavedModel.

    pip install -e '.[serve]'
    python benchmarks/serving_load.py [--clients=1,8,32] [--signature=encode_uint8] [--seconds=5]

Exports the preset paper_mnist, serves it in a process of its own and lets so many clients ask by
loopback, each on a connection of its own, one image at a time, the next as soon as the last is
answered. Prints a Markdown table: requests a second, the median and the 99th percentile of an
answer's time. "bare" is the SavedModel's signature called in a loop in a process without a server,
with as many images at a time as there are clients: what joined requests could reach at best.

Clients and server share the machine's processors. The contenders take turns, so that what else the
machine does meets all alike; of each the turn with the most requests is shown.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("clients", ["1", "8", "32"], "How many ask at the same time.")
flags.DEFINE_string("signature", "encode_uint8", "What is asked; takes images.")
flags.DEFINE_float("seconds", 5.0, "Time given to each number, in each turn.")
flags.DEFINE_integer("turns", 3, "Of which the best is shown.")
flags.DEFINE_integer("num_components", 4, "K.")

SHAPE = (28, 28, 1)


def main(_):
    """Print the table."""
    image = np.random.default_rng(0).integers(0, 256, [1, *SHAPE], dtype=np.uint8)
    if not FLAGS.signature.endswith("_uint8"):
        image = (image / 255).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        exported = _export(Path(folder) / "mnist")
        server, urls = _serve(exported)
        try:
            ways = {
                "bare": lambda clients: _bare(exported, image, clients),
                "V1, JSON": lambda clients: asyncio.run(_by_http(urls, _v1(image), clients)),
                "V2, binary": lambda clients: asyncio.run(_by_http(urls, _v2(image), clients)),
                "V2, gRPC": lambda clients: asyncio.run(_by_grpc(urls, image, clients)),
            }
            best = {}
            for _ in range(FLAGS.turns):
                for clients in map(int, FLAGS.clients):
                    for name, ask in ways.items():
                        times = ask(clients)
                        before = best.get((clients, name), [])
                        best[clients, name] = max(before, times, key=len)
            _print(best)
        finally:
            server.send_signal(signal.SIGTERM)
            print(f"\nthe server's exit status: {server.wait(60)}")


def _print(best):
    print("| clients | by | requests/s | p50 (ms) | p99 (ms) | of the bare |")
    print("| ------: | :- | ---------: | -------: | -------: | ----------: |")
    for (clients, name), times in best.items():
        images = clients if name == "bare" else 1
        rate = images * len(times) / FLAGS.seconds
        bare = clients * len(best[clients, "bare"]) / FLAGS.seconds
        p50, p99 = np.percentile(times, [50, 99]) * 1e3
        print(f"| {clients} | {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {rate / bare:.2f} |")


def _export(folder):
    """Export in a process of its own, which takes its memory with it."""
    code = (
        "import sys, mvae_tf; model = mvae_tf.MixtureVAE.from_preset('paper_mnist', "
        f"num_components={FLAGS.num_components}, seed=0); print(model.export(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[-1]


def _serve(exported):
    """Start the server; return it and where it answers, by HTTP and by gRPC."""
    command = [sys.executable, "-m", "mvae_tf", "serve", f"--model={exported}", "--name=mnist"]
    server = subprocess.Popen(
        [*command, "--port=0", "--grpc_port=0"], stdout=subprocess.PIPE, text=True
    )
    return server, re.search(
        r"served at (\S+)/v1/\S+ and by gRPC at (\S+)", server.stdout.readline()
    ).groups()


def _bare(exported, image, clients):
    """Return the times of calls of the signature in a fresh process."""
    code = (
        "import sys, time, numpy as np, tensorflow as tf\n"
        "folder, signature, count, seconds, path = sys.argv[1:]\n"
        "call = tf.saved_model.load(folder).signatures[signature]\n"
        "images = tf.constant(np.load(path).repeat(int(count), axis=0))\n"
        "for _ in range(20): call(images=images)\n"
        "times, end = [], time.perf_counter() + float(seconds)\n"
        "while (began := time.perf_counter()) < end:\n"
        "    {name: each.numpy() for name, each in call(images=images).items()}\n"
        "    times.append(time.perf_counter() - began)\n"
        "print(*times)"
    )
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, image)
        argv = [exported, FLAGS.signature, str(clients), str(FLAGS.seconds), file.name]
        done = subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True
        )
    return [float(each) for each in done.stdout.split()]


def _v1(image):
    """Return the path, body and headers of a request."""
    import orjson

    body = {"signature_name": FLAGS.signature, "instances": image.tolist()}
    return "v1/models/mnist:predict", orjson.dumps(body), {"content-type": "application/json"}


def _v2(image):
    body, length = _v2_request(image).to_rest()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(length),
    }
    return "v2/models/mnist/infer", body, headers


def _v2_request(image):
    import kserve
    from kserve.utils.numpy_codec import from_np_dtype

    given = kserve.InferInput("images", list(image.shape), from_np_dtype(image.dtype))
    given.set_data_from_numpy(image)
    parameters = {"signature_name": FLAGS.signature, "binary_data_output": True}
    return kserve.InferRequest("mnist", [given], parameters=parameters)


async def _by_http(urls, request, clients):
    import aiohttp

    path, body, headers = request
    url = f"{urls[0]}/{path}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask():
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                assert response.status == 200, await response.text()

        return await _together(ask, clients)


async def _by_grpc(urls, image, clients):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    request = _v2_request(image).to_grpc()
    async with grpc.aio.insecure_channel(urls[1]) as channel:
        stub = GRPCInferenceServiceStub(channel)
        return await _together(lambda: stub.ModelInfer(request), clients)


async def _together(ask, clients):
    """Return how long each answer took, of as many as come in the time."""
    times, loop = [], asyncio.get_running_loop()
    await asyncio.gather(*(ask() for _ in range(clients)))

    async def client():
        while (began := loop.time()) < end:
            await ask()
            times.append(loop.time() - began)

    end = loop.time() + FLAGS.seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    return times


if __name__ == "__main__":
    app.run(main)
