"""Real clients against the listener: time, size, number, and the goodbye."""

import asyncio
import concurrent.futures
import contextlib
import signal
import threading

import grpc
import grpc.aio
import numpy as np
import pytest
import trustme

from modelyard_core import headers, receipts
from modelyard_serving.grpc_wire import health_pb2 as health
from support import grpc_serving, h2spec, onnx_models, serving, slow_model
from support.bundles import write
from support.grpc_serving import HEALTH, LONE, fails, method, rain_raw, raw_request
from support.secret_mount import SecretMount, pair

SLOW = 500
"""Matrices of this size cost some tens of milliseconds."""


CLIENTS = 6


def slow_request(rows: int = 1):
    return raw_request({"x": ("FP32", np.ones((rows, 1), np.float32))})


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory):
    return slow_model.bundle(tmp_path_factory.mktemp("slow"), SLOW)


@pytest.fixture(scope="module")
def echo_bundle(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("echo") / "model",
        onnx_models.echo("FP32", ["n", 100_000]),
        onnx_models.echo_signature("FP32", [-1, 100_000]),
        onnx_models.EMPTY_PROFILE,
    )


async def shows(served, text: str) -> None:
    """Return as soon as the metrics show a text."""
    async with asyncio.timeout(serving.PATIENCE_SECONDS):
        while True:
            if text in served.http.metrics.render().decode():
                return
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def occupied(served):
    """Keep the only thread for slow runs busy, so that those wait until the block ends."""
    go_on = threading.Event()
    busy = asyncio.create_task(served.http.inference.workers.run(go_on.wait))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        go_on.set()
        await busy


async def test_a_cancelled_call_is_counted_as_such(slow_bundle):
    async with grpc_serving.served(slow_bundle) as served, served.channel() as channel:
        infer = method(channel, "ModelInfer")
        await infer(slow_request())
        async with occupied(served):
            running = infer(slow_request())
            await shows(served, "modelyard_inflight_requests 1.0")
            running.cancel()
            await shows(served, 'modelyard_requests_total{code="499"')

        await shows(served, "modelyard_inflight_requests 0.0")


async def test_the_deadline_is_the_servers_too(slow_bundle):
    """A client that leaves the judgement to the server is told by the server."""
    async with grpc_serving.served(slow_bundle) as served, served.channel() as channel:
        infer = method(channel, "ModelInfer")
        await infer(slow_request())
        async with occupied(served):
            code, sentence = await fails(infer(slow_request(), metadata=(("grpc-timeout", "1m"),)))
            await shows(served, 'modelyard_requests_total{code="504"')

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert sentence == "the deadline of the call has passed"


@pytest.mark.slow
async def test_large_messages_pass_the_windows_both_ways(echo_bundle):
    rows = np.random.default_rng(0).normal(size=(8, 100_000)).astype(np.float32)
    limits = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    async with grpc_serving.served(echo_bundle) as served, served.channel(*limits) as channel:
        infer = method(channel, "ModelInfer")
        answers = await asyncio.gather(
            *(infer(raw_request({"x": ("FP32", rows + n)})) for n in range(6))
        )

    for n, answer in enumerate(answers):
        assert answer.raw_output_contents[0] == (rows + n).tobytes()


@pytest.mark.slow
def test_threads_of_clients_get_their_own_answers(rain_bundle):
    with serving.program(rain_bundle, GRPC_PORT=0, KEEP_ALIVE_SECONDS=1) as program:
        port = grpc_serving.port_of(program)
        program.wait_for("ready: rain version 1")
        keepalive = (("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0))
        with contextlib.ExitStack() as stack:
            channels = [
                stack.enter_context(
                    grpc.insecure_channel(f"127.0.0.1:{port}", options=(*LONE, *keepalive))
                )
                for _ in range(4)
            ]
            infer = [method(channel, "ModelInfer") for channel in channels]

            def ask(number: int) -> bool:
                metadata = (("x-request-id", f"r-{number}"),) if number % 3 else ()
                request = rain_raw([number / 100] * (1 + number % 3), id=str(number))
                answer = infer[number % 4](
                    request, timeout=serving.PATIENCE_SECONDS, metadata=metadata
                )
                wanted = 1 / (1 + np.exp(-(number / 100 + 0.15 + 1)))
                chances = np.frombuffer(answer.raw_output_contents[1], np.float32)[1::2]
                return answer.id == str(number) and np.allclose(chances, wanted, atol=1e-5)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                assert all(pool.map(ask, range(600)))


@pytest.mark.slow
def test_a_program_that_is_told_to_end_under_load_loses_no_call(rain_bundle):
    variables = {"GRPC_PORT": 0, "DRAIN_SECONDS": 1}
    with (
        serving.program(rain_bundle, **variables) as first,
        serving.program(rain_bundle, **variables) as second,
    ):
        ports = [grpc_serving.port_of(program) for program in (first, second)]
        for program in (first, second):
            program.wait_for("ready: rain version 1")
        address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        options = (*LONE, ("grpc.lb_policy_name", "round_robin"))
        begun, stop = threading.Barrier(CLIENTS + 1), threading.Event()
        with grpc.insecure_channel(address, options=options) as channel:
            infer = method(channel, "ModelInfer")

            def ask() -> int:
                infer(rain_raw([0.5]), timeout=serving.PATIENCE_SECONDS)
                begun.wait(serving.PATIENCE_SECONDS)
                count = 0
                while not stop.is_set():
                    infer(rain_raw([0.5]), timeout=serving.PATIENCE_SECONDS)
                    count += 1
                return count

            with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
                asked = [pool.submit(ask) for _ in range(CLIENTS)]
                begun.wait(serving.PATIENCE_SECONDS)
                first.terminate()
                code = first.process.wait(serving.PATIENCE_SECONDS)
                stop.set()

                assert code == 0
                assert all(future.result() > 0 for future in asked)


async def test_a_watched_health_ends_with_the_server(rain_bundle):
    async with grpc_serving.served(rain_bundle) as served, served.channel() as channel:
        watch = method(channel, f"{HEALTH}/Watch", many=True)(health.HealthCheckRequest())
        assert (await watch.read()).status == health.HealthCheckResponse.SERVING
        served.http.gate.drain()
        served.server.drain()
        assert (await watch.read()).status == health.HealthCheckResponse.NOT_SERVING

        await served.server.stop(serving.PATIENCE_SECONDS)

        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await watch.read()
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_beyond_the_connection_limit_only_health_is_answered(rain_bundle):
    async with (
        grpc_serving.served(rain_bundle, max_connections=1) as served,
        served.channel() as one,
        served.channel() as other,
    ):
        await method(one, "ModelInfer")(rain_raw([0.5]))
        check = method(other, f"{HEALTH}/Check")(health.HealthCheckRequest())
        refused = await fails(method(other, "ModelInfer")(rain_raw([0.5])))

        assert (await check).status == health.HealthCheckResponse.SERVING
        assert refused == (grpc.StatusCode.UNAVAILABLE, "too many connections; try again")
        await method(one, "ModelInfer")(rain_raw([0.5]))


@pytest.mark.slow
async def test_silent_and_idle_connections_are_closed(rain_bundle):
    limits = {"receive_seconds": 0.5, "keep_alive_seconds": 1}
    async with grpc_serving.served(rain_bundle, **limits) as served:
        silent, writer = await asyncio.open_connection("127.0.0.1", served.port)
        async with served.channel() as channel, asyncio.timeout(serving.PATIENCE_SECONDS):
            await method(channel, "ModelInfer")(rain_raw([0.5]))
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            with contextlib.suppress(ConnectionResetError):
                while await silent.read(1000):
                    pass
            await method(channel, "ModelInfer")(rain_raw([0.5]))
        writer.close()


@pytest.mark.slow
def test_a_port_that_is_taken_ends_the_program(rain_bundle):
    with serving.program(rain_bundle, GRPC_PORT=0) as program:
        taken = grpc_serving.port_of(program)
        with serving.program(rain_bundle, GRPC_PORT=taken) as other:
            other.wait_for("gRPC cannot listen")

            assert other.process.wait(serving.PATIENCE_SECONDS) == 1


@pytest.mark.slow
def test_an_interrupted_program_ends_at_once(rain_bundle):
    with serving.program(rain_bundle, GRPC_PORT=0) as program:
        port = grpc_serving.port_of(program)
        program.wait_for("ready: rain version 1")
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=LONE) as channel:
            method(channel, "ModelInfer")(rain_raw([0.5]))
            program.process.send_signal(signal.SIGINT)

            assert program.process.wait(serving.PATIENCE_SECONDS) == 0


@pytest.mark.slow
def test_the_port_conforms_to_http2(rain_bundle):
    with serving.program(rain_bundle, GRPC_PORT=0) as program:
        program.wait_for("ready: rain version 1")
        told = h2spec.run(grpc_serving.port_of(program), f"/{grpc_serving.SERVICE}/ServerLive")

    assert " 0 skipped, 0 failed" in told


@pytest.mark.slow
def test_keys_certificates_and_receipts_are_those_of_http(rain_bundle, tmp_path):
    authority = trustme.CA()
    SecretMount(tmp_path / "tls").put(**pair(authority))
    SecretMount(tmp_path / "keys").put(keys=b"open sesame\n")
    signing = b"a signing key of 32 bytes or more"
    SecretMount(tmp_path / "receipts").put(key=signing)
    variables = {
        "GRPC_PORT": 0,
        "TLS_DIR": tmp_path / "tls",
        "KEYS_FILE": tmp_path / "keys" / "keys",
        "RECEIPT_KEY_FILE": tmp_path / "receipts" / "key",
    }
    trust = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    shown = (("authorization", "Bearer open sesame"),)
    with serving.program(rain_bundle, **variables) as program:
        port = grpc_serving.port_of(program)
        program.wait_for("ready: rain version 1")
        with grpc.secure_channel(f"127.0.0.1:{port}", trust, options=LONE) as channel:
            infer = method(channel, "ModelInfer")
            with pytest.raises(grpc.RpcError) as refusal:
                infer(rain_raw([0.5]))
            answer, call = infer.with_call(rain_raw([0.5], id="own"), metadata=shown)
            health_of = method(channel, f"{HEALTH}/Check")(health.HealthCheckRequest())

    assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert health_of.status == health.HealthCheckResponse.SERVING
    receipt = receipts.verify(
        dict(call.initial_metadata())[headers.RECEIPT],
        [signing],
        b"".join(answer.raw_output_contents),
    )
    assert receipt.id == "own"
