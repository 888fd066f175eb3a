"""What is measured, against whom, and the bar that holds.

A case measures and yields rows.  What cannot be had becomes a row that says why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from hack.terminal import Failure

from bench.serving import load, machine, rounds
from bench.serving.load import Job
from bench.serving.machine import Memory
from bench.serving.quote import ONE, ONE_ASLEEP
from bench.serving.report import Bar, Row
from bench.serving.requests import Binary, GrpcCall, OpenInference, Probe
from bench.serving.servers import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.serving.options import Options
    from bench.serving.rounds import Cell, Pair, Reading
    from bench.serving.session import Session

MANY, SOME = 64, 16
RAW = "raw onnxruntime"
PEERS = ("mlserver", "kserve", "litserve", "bentoml", "fastapi")
FASTER = {"mlserver": 25.0, "kserve": 30.0, "litserve": 50.0, "bentoml": 80.0, "fastapi": 12.0}
GRPC_FASTER = {"mlserver": 15.0, "kserve": 15.0, "grpcaio": 8.0}
GRPC_FLOOR = {"mlserver": 3.0, "kserve": 3.0, "grpcaio": 1.5}
"""What any gRPC server of ours must reach; the bars above are what its own HTTP/2 is for."""
BUSY = 0.95
GRPC_CONNECTIONS, GRPC_STREAMS = 4, 16
CALM_SECONDS = 0.25
CALM_READINGS, CALM_TRIES = 6, 16
"""Of each round: what is enough, and after how many it must be."""
STEADY = 0.9
"""A machine whose speed falls below this share of what it was is not calm."""
LONGER = 3
"""Times the rounds of the others, where the ratio is of a server and a bare loop: one has the load
generator beside it and needs more of the caches, so what disturbs a machine disturbs it more."""


def per_second(reading: Reading) -> float:
    return reading.per_second


def processor_micros(reading: Reading) -> float:
    return reading.processor_micros


def p50_millis(reading: Reading) -> float:
    return reading.p50_micros / 1000


def http_cell(
    session: Session, name: str, connections: int, *, polls: bool = False, **more: str
) -> Cell:
    """Return a server with the small model under small JSON requests."""
    server = session.server(name, more=more)
    job = Job(server.kind.dialect("iris"), session.questions("iris", 1), connections, polls=polls)
    return session.under_load(server, job)


def against(
    session: Session,
    names: tuple[str, ...],
    case: str,
    measure: Callable[[str], Iterator[Row]],
) -> Iterator[Row]:
    """Measure each wanted server; a failure becomes a row."""
    for name in names:
        if session.options.wants(name):
            try:
                yield from measure(name)
            except Failure as failure:
                title = KINDS[name].title if name in KINDS else name
                yield Row(case, title, "", note=f"not measured: {failure}")


def faster(case: str, title: str, pair: Pair, bar: float | None, unit: str = "requests/s") -> Row:
    """Return a row of rates: the more, the better."""
    ours, theirs = pair.medians(per_second)
    least = Bar(bar) if bar else None
    busy, _ = pair.medians(lambda reading: reading.busy)
    note = "the load generator's core was full: ours may be faster" if busy > BUSY else ""
    return Row(case, title, unit, ours, theirs, pair.ratio(per_second), least, note)


def json_many(session: Session) -> Iterator[Row]:
    """JSON, one row, 64 connections."""
    case = "JSON, 1 row, 64 connections"

    def measure(name: str) -> Iterator[Row]:
        ours = http_cell(session, "ours", MANY)
        if name == "raw":
            yield share_of_raw(session, case, ours, session.raw("iris", 1), 0.35)
            return
        title = KINDS[name].title
        pair = session.in_turn(f"{case}, {title}", ours, http_cell(session, name, MANY))
        if name == "echo":
            yield faster(case, title, pair, 2.0)
            yield spent(case, title, pair, 0.55)
        else:
            yield faster(case, title, pair, FASTER[name])
            yield spent(case, title, pair, None)

    yield from against(session, ("echo", "raw", *PEERS), case, measure)


def spent(case: str, title: str, pair: Pair, bar: float | None) -> Row:
    """Return a row of processor time: the less, the better."""
    ours, theirs = pair.medians(processor_micros)
    most = Bar(bar, at_most=True) if bar else None
    return Row(case, title, "µs of CPU/request", ours, theirs, pair.ratio(processor_micros), most)


def json_unique(session: Session) -> Iterator[Row]:
    """JSON, one row, 64 connections, a head that no request had before."""
    case = "JSON, 1 row, 64 connections, x-request-id"
    plain = http_cell(session, "ours", MANY)
    unique = OpenInference("iris", unique=True)
    job = Job(unique, session.questions("iris", 1), MANY)
    pair = session.in_turn(case, session.under_load(session.server("ours"), job), plain)
    yield faster(case, "without that header", pair, None)


def json_single(session: Session) -> Iterator[Row]:
    """JSON, one row, one connection: latency.

    To wake a client that sleeps, on a core without work, takes longer than many an answer and the
    same beside every server.  That is no server's time, so such a client has rows, but no ratio
    that is to be reached.
    """
    yield from latency_alone(session, ONE, Bar(4.0), polls=True)
    yield from latency_alone(session, ONE_ASLEEP, None, polls=False)


def latency_alone(session: Session, case: str, least: Bar | None, *, polls: bool) -> Iterator[Row]:
    """Compare the medians of servers that have one request at a time."""
    seen: list[float] = []

    def measure(name: str) -> Iterator[Row]:
        ours, theirs = (http_cell(session, each, 1, polls=polls) for each in ("ours", name))
        title = KINDS[name].title
        pair = session.in_turn(f"{case}, {title}", ours, theirs)
        our, their = pair.medians(p50_millis)
        seen.append(our)
        bar = least if name in PEERS else None
        yield Row(case, title, "ms", our, their, 1 / pair.ratio(p50_millis), bar)

    yield from against(session, ("echo", *PEERS), case, measure)
    if seen:
        yield Row(case, "", "ms", median(seen), bar=Bar(0.2, at_most=True))


def batches(session: Session) -> Iterator[Row]:
    """A larger model, 64 rows in a request, 16 connections."""
    for form, dialect, bar in (("JSON", OpenInference, 0.45), ("binary", Binary, 0.60)):
        case = f"{form}, 64 rows, 16 connections"
        server = session.server("ours", "forest")
        job = Job(dialect("forest"), session.questions("forest", 64), SOME)
        ours, theirs = session.under_load(server, job), session.raw("forest", 64)
        yield share_of_raw(session, case, ours, theirs, bar)


def share_of_raw(session: Session, case: str, ours: Cell, raw: Cell, bar: float) -> Row:
    """Return a row of the server beside onnxruntime in a bare loop."""
    pair = session.in_turn(f"{case}, {RAW}", ours, raw, LONGER * session.options.rounds)
    return faster(case, RAW, pair, bar)


COLD = "cold start to the first answer"
PSS = "memory (PSS) after load, and scraped"
ALONE = "memory, sharing nothing, after load, and scraped"


def starting(session: Session) -> Iterator[Row]:
    """From the fork to the first answer, and the memory once it has done all that pods do."""
    ours = start_again(session, "ours", session.options.starts)
    yield Row(COLD, "", "s", ours.seconds, bar=Bar(0.6, at_most=True))
    yield Row(PSS, "", "MiB", ours.memory.proportional, bar=Bar(80, at_most=True))
    yield Row(ALONE, "", "MiB", ours.memory.alone)

    def measure(name: str) -> Iterator[Row]:
        theirs = start_again(session, name, 1)
        for case, unit, our, their in (
            (COLD, "s", ours.seconds, theirs.seconds),
            (PSS, "MiB", ours.memory.proportional, theirs.memory.proportional),
            (ALONE, "MiB", ours.memory.alone, theirs.memory.alone),
        ):
            yield Row(case, KINDS[name].title, unit, our, their, their / our)

    yield from against(session, PEERS, COLD, measure)


@dataclass(frozen=True, slots=True)
class Started:
    """What a server needs."""

    seconds: float
    """To the first answer."""
    memory: Memory
    """After some load."""


def start_again(session: Session, name: str, times: int) -> Started:
    """Return the medians of some starts."""
    found = [start_once(session, name) for _ in range(times)]
    return Started(
        median(each.seconds for each in found),
        Memory(
            median(each.memory.proportional for each in found),
            median(each.memory.alone for each in found),
        ),
    )


def start_once(session: Session, name: str) -> Started:
    """Start a server of its own, load it for a while, and end it."""
    server = session.new_server(name)
    try:
        seconds = session.start(server)
        job = Job(server.kind.dialect("iris"), session.questions("iris", 1), MANY)
        session.generator.run(job, server.port, session.options.seconds)
        server.scrape()
        memory = server.memory()
    finally:
        server.stop()
    session.say(f"{KINDS[name].title}: started in {seconds:.2f} s")
    return Started(seconds, memory)


def steady(session: Session) -> Iterator[Row]:
    """Latency at 70 % of the highest rate, counted from the moment that a request was due.

    Readings are short, and those in which a hypervisor kept a core for others, or the machine became
    slower, do not count: that is what they would show.  An echo that does nothing shows what else is
    the machine's.
    """
    case = "JSON, 1 row, 64 connections, 70 % of the highest rate"
    readings = {name: calm(session, case, name) for name in ("ours", "echo")}
    p99, p50, ratio = tail(readings["ours"])
    note = f"median of {len(readings['ours'])} calm readings"
    yield Row(case, "p99 against p50", "ms", p99, p50, ratio, Bar(5.0, at_most=True), note)
    floor, half, least = tail(readings["echo"])
    title = f"p99, {KINDS['echo'].title} at 70 % of its own rate"
    note = f"its p99 is {least:.1f} times its p50 of {half:.3g} ms"
    yield Row(case, title, "ms", p99, floor, p99 / floor, note=note)


def calm(session: Session, case: str, name: str) -> list[Reading]:
    """Return readings of a server that gets 70 % of the requests that it can answer.

    What it can answer is measured before each reading, and after it: where the machine has become
    slower meanwhile, 70 % were more than that.

    Raises:
        Failure: the machine was never calm for so long.
    """
    server, asked = session.server(name), session.questions("iris", 1)
    job = Job(server.kind.dialect("iris"), asked, MANY)
    fastest = session.under_load(server, job)
    first = replace(session.generator, first=True)
    found: list[Reading] = []
    highest = fastest.measure(CALM_SECONDS).per_second
    for _ in range(CALM_TRIES * session.options.rounds):
        steady_load = rounds.UnderLoad(server, replace(job, rate=0.7 * highest), first)
        before, was = machine.stolen_ticks(), highest
        reading = steady_load.measure(CALM_SECONDS)
        is_whole = machine.stolen_ticks() == before
        highest = fastest.measure(CALM_SECONDS).per_second
        if is_whole and highest > STEADY * was:
            found.append(reading)
        if len(found) == CALM_READINGS * session.options.rounds:
            break
    session.say(f"{case}: {len(found)} calm readings of {KINDS[name].title}")
    if not found:
        raise Failure(f"{case}: the machine was never calm for {CALM_SECONDS:g} s")
    return found


def tail(readings: Sequence[Reading]) -> tuple[float, float, float]:
    """Return the medians of p99 and p50, in milliseconds, and of the one by the other."""
    return (
        median(reading.p99_micros for reading in readings) / 1000,
        median(reading.p50_micros for reading in readings) / 1000,
        median(reading.p99_micros / reading.p50_micros for reading in readings),
    )


def probes(session: Session) -> Iterator[Row]:
    """Health probes while every thread computes for tens of milliseconds."""
    case = "health probe beside a slow model, slowest"
    server = session.server("ours", "slow")
    asked = session.questions("slow", 1)[:1]
    busy = Job(OpenInference("slow"), asked, 8)
    probe = Job(Probe(), asked, 1, rate=100)
    seconds = max(2.0, 3 * session.options.seconds)
    server.resume()
    try:
        loading = session.generator.start(busy, server.port, seconds + 1, warmup=0)
        found = session.generator.run(probe, server.port, seconds, warmup=0.5)
        behind = load.finish(busy, loading)
    finally:
        server.pause()
    session.say(f"{case}: {found.requests} probes")
    note = f"the model answered in {behind.p50 / 1000:.0f} ms (p50)"
    yield Row(case, "", "ms", found.slowest / 1000, bar=Bar(50, at_most=True), note=note)


def grpc(session: Session) -> Iterator[Row]:
    """gRPC, one row, sixteen calls at once on each of four connections."""
    case = "gRPC, 1 row, 4 connections with 16 streams"
    job = Job(
        GrpcCall("iris"), session.questions("iris", 1), GRPC_CONNECTIONS, streams=GRPC_STREAMS
    )

    def measure(name: str) -> Iterator[Row]:
        ours = session.under_load(session.server("ours"), job)
        theirs = session.under_load(session.server(name), job)
        pair = session.in_turn(f"{case}, {KINDS[name].title}", ours, theirs)
        row = faster(case, KINDS[name].title, pair, GRPC_FASTER[name], "calls/s")
        floor = f"the floor is {GRPC_FLOOR[name]:g}"
        yield row if row.met else replace(row, note=floor)
        yield spent(case, KINDS[name].title, pair, None)

    yield from against(session, tuple(GRPC_FASTER), case, measure)


def recording(session: Session) -> Iterator[Row]:
    """What sketches and the answers ring cost."""
    case = "JSON, 1 row, 64 connections, sketches and answers on"
    off = {"MODELYARD_ANSWERS_PER_SECOND": "0"}
    server = session.server("ours", "iris without columns", more=off)
    job = Job(OpenInference("iris"), session.questions("iris", 1), MANY)
    pair = session.in_turn(case, http_cell(session, "ours", MANY), session.under_load(server, job))
    yield faster(case, "off, and a profile without columns", pair, 0.85)


def receipts(session: Session) -> Iterator[Row]:
    """What a signed receipt with every answer costs."""
    case = "JSON, 1 row, 64 connections, receipts on"
    key = session.folder / "receipt-key"
    key.write_bytes(b"k" * 32)
    signed = http_cell(session, "ours", MANY, MODELYARD_RECEIPT_KEY_FILE=str(key))
    pair = session.in_turn(case, signed, http_cell(session, "ours", MANY))
    yield faster(case, "off", pair, None)


def two_cores(session: Session) -> Iterator[Row]:
    """What a second core is worth: to the threads of one process, and to a second process."""
    case = "binary, 1024 rows, 16 connections, two cores"
    both = frozenset({session.server_core, session.load_core})
    job = Job(Binary("forest"), session.questions("forest", 1024), SOME)
    two = session.under_load(session.server("ours", "forest", cores=both), job)
    one = session.under_load(session.server("ours", "forest"), job)
    yield faster(case, "one core", session.in_turn(case, two, one), 1.7)
    yield from two_replicas(session)


def two_replicas(session: Session) -> Iterator[Row]:
    """The small model: as many connections in all, each replica's share from its own core.

    A core has its replica's load to carry in both settings, so that none is idle in one of them.
    """
    case = "JSON, 1 row, 64 connections, two replicas on two cores"
    cells = [replica(session, core, MANY // 2) for core in (session.server_core, session.load_core)]
    alone = replica(session, session.server_core, MANY)
    pair = session.in_turn(case, rounds.Together(cells), alone)
    ours, theirs = pair.medians(per_second)
    other = "one on one core; in both, the load shares the cores"
    yield Row(case, other, "requests/s", ours, theirs, pair.ratio(per_second), Bar(1.7))


def replica(session: Session, core: int, connections: int) -> rounds.UnderLoad:
    """Return a server with the small model that shares its core with what loads it."""
    server = session.server("ours", cores=frozenset({core}))
    job = Job(OpenInference("iris"), session.questions("iris", 1), connections)
    return rounds.UnderLoad(server, job, replace(session.generator, core=core))


@dataclass(frozen=True, slots=True)
class Case:
    """One of the things that are measured."""

    measure: Callable[[Session], Iterator[Row]]
    measurements: Callable[[Options], float]
    """About how many readings it takes."""
    starts: int = 0
    """About how many servers it starts."""


CASES = {
    "start": Case(starting, lambda o: 5 + o.starts, starts=8),
    "json-b1": Case(json_many, lambda o: 18 * o.rounds, starts=7),
    "json-ids": Case(json_unique, lambda o: 2 * o.rounds),
    "json-c1": Case(json_single, lambda o: 40 * o.rounds),
    "b64": Case(batches, lambda o: 15 * o.rounds, starts=1),
    "grpc": Case(grpc, lambda o: 6 * o.rounds, starts=1),
    "p99": Case(steady, lambda o: 12 * o.rounds, starts=1),
    "recording": Case(recording, lambda o: 2 * o.rounds, starts=1),
    "receipts": Case(receipts, lambda o: 2 * o.rounds, starts=1),
    "cores": Case(two_cores, lambda o: 4 * o.rounds, starts=3),
    "probes": Case(probes, lambda _: 3, starts=1),
}
"""By the names that the command line takes, in the order in which they run."""
