"""The answers of a SavedModel as a model of KServe's server, by its V1 and its V2 protocol.

Under V2, whose requests name no signature, the parameter "signature_name" of a request does.
"""

import asyncio
import concurrent.futures
import struct

import kserve
import orjson
from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.infer_type import to_http_parameters
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import generate_uuid

from mvae_tf.server import rest
from mvae_tf.server.answers import Answers, RefusedError


class Served(kserve.Model):
    """A SavedModel, as KServe asks it.

    Args:
        name: by which clients know it.
        answers: of the SavedModel.
        threads: how many may be answered at the same time.
    """

    def __init__(self, name: str, answers: Answers, threads: int):
        super().__init__(name, return_response_headers=True)
        self._answers = answers
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "answer")
        self.ready = True

    async def predict(self, payload, headers, response_headers):
        """Answer a request of either protocol."""
        answer = self._v2
        if not isinstance(payload, kserve.InferRequest):
            answer = self._v1
            response_headers["content-type"] = "application/json"
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, answer, payload)
        except RefusedError as error:
            raise InvalidInput(str(error)) from None

    async def explain(self, payload, headers=None):
        """Refuse to."""
        raise InvalidInput("Expected :predict. Received: :explain, which this model has not.")

    def get_input_types(self) -> list[dict]:
        """Return what the signature takes that answers where a request names none."""
        return _types(self._answers.signature(rest.DEFAULT).inputs)

    def get_output_types(self) -> list[dict]:
        """Return what it gives."""
        return _types(self._answers.signature(rest.DEFAULT).outputs)

    def _v1(self, payload):
        if isinstance(payload, bytes):  # as of other content types, such as curl's
            try:
                payload = orjson.loads(payload)
            except orjson.JSONDecodeError as error:
                raise RefusedError(f"Expected JSON. Received: {error}.") from None
        request = rest.read(payload, self._answers.signature)
        if isinstance(payload, dict):
            payload.clear()  # numbers in lists take many times the room of an array
        outputs = self._answers(request.signature_name, request.inputs)
        answer = rest.written(outputs, request.by_rows)
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    def _v2(self, payload):
        try:
            name, inputs, asked, how = self._read_v2(payload)
        except RefusedError:
            raise
        except Exception as error:  # KServe looks at next to nothing of what it hands on
            raise RefusedError(_unreadable(error)) from None
        outputs = self._answers(name, inputs)
        return kserve.InferResponse(
            model_name=self.name,
            infer_outputs=[
                _output(each, array)
                for each, array in outputs.items()
                if not asked or each in asked
            ],
            **how,
        )

    def _read_v2(self, payload):
        """Return what is asked: the signature, inputs, names of outputs, and the answer's form."""
        name = to_http_parameters(payload.parameters or {}).get("signature_name", rest.DEFAULT)
        signature = self._answers.signature(name)
        inputs = {
            each.name: _array(each, signature.inputs.get(each.name)) for each in payload.inputs
        }
        asked = [each.name for each in payload.request_outputs or []]
        unknown = [each for each in asked if each not in signature.outputs]
        if unknown:
            raise RefusedError(
                f"Expected outputs {', '.join(sorted(signature.outputs))}. Received: "
                f"{unknown[0][:80]}."
            )
        how = {
            "response_id": str(payload.id or generate_uuid())[:200],
            "use_binary_outputs": payload.use_binary_outputs,
            "requested_outputs": payload.request_outputs,
        }
        return name, inputs, asked, how


class Models(kserve.ModelRepository):
    """The models served; no client loads or unloads one, as KServe lets any of them."""

    def load(self, name: str):
        """Refuse to."""
        raise InvalidInput("Expected the server's own models. Received: a request to load one.")

    def unload(self, name: str):
        """Refuse to."""
        raise InvalidInput("Expected the server's own models. Received: a request to unload one.")


class Doorman(DataPlane):
    """KServe's way from a request to a model, where whatever can't be read is the client's fault.

    KServe answers some of it as errors of its own, which they are not.
    """

    def decode(self, *args, **settings):
        """Read a request."""
        try:
            return super().decode(*args, **settings)
        except InvalidInput:
            raise
        except Exception as error:
            raise InvalidInput(_unreadable(error)) from error


def _unreadable(error):
    return (
        f"Expected a request of KServe's protocols. Received: {type(error).__name__}: "
        f"{str(error)[:200]}."
    )


def _array(given, spec):
    """Return an input of V2 as an array."""
    try:
        listed = given.data is not None and len(given.data) > 0
        if not listed or spec is None:
            return given.as_numpy()
        declared = from_np_dtype(spec.dtype.as_numpy_dtype)
        if given.datatype != declared:
            raise RefusedError(
                f"Expected {given.name} to be {declared}. Received: {given.datatype[:80]}."
            )
        return rest.tensor(given.name, spec, list(given.data)).reshape(given.shape)
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(
            f"Expected {given.name[:80]} to hold as many values as its shape says. Received: "
            f"{str(error)[:200]}."
        ) from None


def _output(name, array):
    output = kserve.InferOutput(name, list(array.shape), from_np_dtype(array.dtype))
    output.set_data_from_numpy(array)  # as bytes, which KServe takes for either protocol
    return output


def _types(specs):
    return [
        {
            "name": name,
            "datatype": from_np_dtype(spec.dtype.as_numpy_dtype),
            "shape": [-1 if size is None else size for size in spec.shape],
        }
        for name, spec in specs.items()
    ]
