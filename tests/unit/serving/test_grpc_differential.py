"""gRPC against the plain reference: random models and requests, raw and typed, alone and together.

`MODELYARD_FUZZ=20` makes it twenty times as long.
"""

import asyncio
import os
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard_core.reference import NumericProfile, Profile
from modelyard_serving import binary, codec, protocol
from modelyard_serving.grpc import messages as grpc_messages
from modelyard_serving.grpc_wire import inference_pb2 as wire
from support import bundles, grpc_serving, random_models, random_requests
from support.oip_reference import Reference, to_bytes
from support.random_models import SCORE

MAX_ROWS = 3
REQUESTS = 12
TIMES = int(os.environ.get("MODELYARD_FUZZ", "1"))
NO_FEATURES = Profile(1, (), (), NumericProfile(SCORE, (0.25,), (0, 1), 0, 0.0, 1.0))


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


def message(inference, body, json_length, *, raw) -> wire.ModelInferRequest | None:
    """Return what a request over HTTP is over gRPC; None where there is no such form."""
    request = protocol.parse(body, json_length)
    bound = inference.contract.bind(request)
    found = wire.ModelInferRequest(model_name="rain", id=request.id or "")
    found.outputs.extend(
        wire.ModelInferRequest.InferRequestedOutputTensor(name=output.name)
        for output in request.outputs
    )
    for name, array in bound.feeds.items():
        datatype = inference.contract.inputs[name].tensor.datatype
        tensor = found.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            found.raw_input_contents.append(bytes(binary.encode(datatype, array)))
        elif datatype in codec.BINARY_ONLY:
            return None
        else:
            tensor.contents.CopyFrom(grpc_messages.contents(datatype, array))
    return found


def outputs(answer: wire.ModelInferResponse) -> list[tuple[str, str, tuple[int, ...], bytes]]:
    """Return an answer's outputs, their elements as bytes."""
    found = []
    for place, output in enumerate(answer.outputs):
        shape = tuple(output.shape)
        if answer.raw_output_contents:
            elements = answer.raw_output_contents[place]
        else:
            values = getattr(output.contents, grpc_messages.FIELDS[output.datatype])
            if output.datatype == "BYTES":
                elements = b"".join(len(v).to_bytes(4, "little") + v for v in values)
            else:
                dtype = codec.NUMPY_TYPES[output.datatype]
                elements = to_bytes(output.datatype, np.array(list(values), dtype=dtype))
        found.append((output.name, output.datatype, shape, elements))
    return found


@pytest.mark.slow
@given(seed=st.integers(0, 2**64))
@settings(
    max_examples=25 * TIMES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_every_form_of_a_request_is_answered_as_the_reference_does(runner, tmp_path_factory, seed):
    dice = Random(seed)
    model = random_models.draw(dice)
    reference = Reference(model, MAX_ROWS)
    bundle = bundles.write(
        tmp_path_factory.mktemp("random"), model.data, model.signature, NO_FEATURES
    )

    async def ask():
        async with (
            grpc_serving.served(bundle, max_rows=MAX_ROWS) as served,
            served.channel() as channel,
        ):
            infer = grpc_serving.method(channel, "ModelInfer")
            pairs = []
            for _ in range(REQUESTS):
                asked = random_requests.draw(dice, model)
                wanted = reference.answer(asked.body, asked.json_length)
                if wanted.status != 200:
                    continue
                both = (
                    message(served.http.inference, asked.body, asked.json_length, raw=raw)
                    for raw in (True, False)
                )
                pairs += [(form, wanted) for form in both if form is not None]
            for _ in ("read in full", "read as before, and together"):
                answers = await asyncio.gather(*(infer(form) for form, _ in pairs))
                for (form, wanted), answer in zip(pairs, answers, strict=True):
                    told = [(o.name, o.datatype, o.shape, o.elements) for o in wanted.outputs]
                    assert outputs(answer) == told, f"{form}\n{answer}"
                    assert answer.id == (wanted.id or "")

    runner.run(ask())
