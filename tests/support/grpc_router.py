"""gRPC through a router on this machine: backends that answer as they are told, and a client."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from support.envoy import PATIENCE, Router

INFER = "/inference.GRPCInferenceService/ModelInfer"
LONE = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""A channel with these shares its connection with no other, and goes through no proxy."""
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Callee(grpc.GenericRpcHandler):
    """A revision.  `x-status` and `x-hang` of a call decide how it ends."""

    def __init__(self, address: str, port: int):
        self.roles: Counter = Counter()
        self.ids: list[str] = []
        self.release = threading.Event()
        self.server = grpc.server(
            ThreadPoolExecutor(8), handlers=(self,), options=(("grpc.so_reuseport", 0),)
        )
        self.server.add_insecure_port(f"{address}:{port}")
        self.server.start()

    def service(self, handler_call_details):
        """Answer every method alike."""
        told = dict(handler_call_details.invocation_metadata)

        def answer(message, context):
            self.roles[told.get("x-modelyard-role")] += 1
            self.ids.append(told.get("x-request-id"))
            if "x-hang" in told:
                self.release.wait(PATIENCE)
            if status := int(told.get("x-status", "0")):
                context.abort(CODES[status], "as it was told")
            return message

        return grpc.unary_unary_rpc_method_handler(answer)

    def close(self):
        self.release.set()
        self.server.stop(0).wait(PATIENCE)


@contextmanager
def channel(router: Router, port: int = 0):
    """Open a connection of its own to a router, by its gRPC port or another."""
    address = f"127.0.0.1:{port or router.settings.grpc_port}"
    with grpc.insecure_channel(address, options=LONE) as opened:
        yield opened


def call(opened, path=INFER, message=b"?", timeout=PATIENCE, **metadata):
    """Return (status, revision, other initial metadata) of one call."""
    told = [(f"x-{name.replace('_', '-')}", str(value)) for name, value in metadata.items()]
    pending = opened.unary_unary(path).future(
        message, timeout=timeout, metadata=told, wait_for_ready=False
    )
    status = pending.code()
    said = dict(pending.initial_metadata()) | dict(pending.trailing_metadata() or ())
    return status, said.get("x-modelyard-revision"), said


def calls(router: Router, count: int, port: int = 0, **metadata) -> Counter:
    """Make calls one after the other; return their ends by (status, revision)."""
    found: Counter = Counter()
    with channel(router, port) as opened:
        for _ in range(count):
            status, revision, _ = call(opened, **metadata)
            found[status, revision] += 1
    return found
