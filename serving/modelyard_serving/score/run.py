"""One run: open the model and the input, score what is not there yet, say what was made."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from modelyard_core import bundle
from modelyard_core.errors import Unavailable
from modelyard_serving import fetch, opening
from modelyard_serving.opening import Opened
from modelyard_serving.score import columns, places, rows
from modelyard_serving.score.failures import BadArguments
from modelyard_serving.score.folder import FORMAT, Finished, Folder, Run
from modelyard_serving.score.places import Identity
from modelyard_serving.score.progress import Progress
from modelyard_serving.score.rows import Chunk, Part, Rows
from modelyard_serving.score.scorer import Scorer
from modelyard_serving.score.settings import ALL_COLUMNS, ScoreSettings


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has made."""

    rows: int
    parts: int
    found_parts: int
    """Parts that an earlier attempt had finished."""
    model: str
    out: str
    seconds: float
    rows_per_second: float
    """Of the rows that this attempt has scored."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that is open while rows are scored."""

    told: ScoreSettings
    source: Rows
    scorer: Scorer
    schema: pa.Schema
    folder: Folder
    input_now: Identity
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Made:
    """A part of the result."""

    part: Finished
    was_there: bool
    """Whether an earlier attempt made it."""


def run(told: ScoreSettings) -> Summary:
    """Score the input.

    Raises:
        Rejected: the arguments, the model or the data must be changed; see `failures`.
        Unservable, ModelFailed: the model cannot do it.
        Unavailable: a file or S3 does not answer now, or the input changed meanwhile.
    """
    source = places.place_of(told.input, told.s3)
    target = places.place_of(told.output, told.s3)
    opened = opening.open_bundle(_bundle_folder(told), told.digest, told.batch_rows)
    features = columns.features_of(opened.signature.inputs, opened.profile)
    names = tuple(name for feature in features for name in feature.columns)
    _check_kept(told.keep, opened)
    input_now = places.identity_of(source)
    folder = Folder(target, Run(told.digest, told.input, told.keep, told.part_rows), told.attempt)
    with rows.opened(source, names, told.keep, told.part_rows) as found:
        scorer = _scorer(told, opened, features, found.schema)
        schema = scorer.schema(found.schema)
        folder.claim(overwrite=told.overwrite)
        job = _Job(told, found, scorer, schema, folder, input_now, Progress(found.total))
        try:
            parts = _score_parts(job)
        finally:
            job.progress.end()
    if places.identity_of(source) != input_now:
        raise Unavailable(f"{told.input} was changed while it was read; run it again")
    return _completed(job, opened, parts)


def _bundle_folder(told: ScoreSettings) -> Path:
    if told.model.startswith(bundle.SCHEME):
        try:
            return fetch.locate(told.model, told.store)
        except OSError as error:
            raise Unavailable(f"{told.model} cannot be read: {error}") from error
    folder = Path(told.model)
    if not folder.is_dir():
        raise BadArguments("BadArguments", f"{told.model} is neither pvc://claim/path nor a folder")
    return folder


def _check_kept(keep: tuple[str, ...], opened: Opened) -> None:
    for tensor in opened.signature.outputs:
        if tensor.name in keep:
            raise BadArguments(
                "BadArguments", f"--keep names {tensor.name!r}, which is an output of the model"
            )


def _scorer(
    told: ScoreSettings,
    opened: Opened,
    features: tuple[columns.Feature, ...],
    source: pa.Schema,
) -> Scorer:
    keep = tuple(source.names) if ALL_COLUMNS in told.keep else told.keep
    _check_kept(keep, opened)
    return Scorer(opened.signature, opened.contract, opened.model, features, keep, told.batch_rows)


def _score_parts(job: _Job) -> list[_Made]:
    made: list[_Made] = []
    with ThreadPoolExecutor(job.told.workers) as pool:
        for part in job.source.parts():
            there = job.folder.finished(part.index, job.input_now)
            if there is not None:
                job.progress.skip(there.rows)
                made.append(_Made(there, was_there=True))
                continue
            if all(earlier.was_there for earlier in made):
                job.folder.withdraw()
            made.append(_Made(_score_part(job, part, pool), was_there=False))
    return made


def _score_part(job: _Job, part: Part, pool: ThreadPoolExecutor) -> Finished:
    most = rows.chunk_rows(job.told.batch_rows, job.scorer.cells_of_a_row())
    chunks = job.source.chunks(part, most)
    writer = job.folder.begin(part.index, job.schema)
    for scored in _in_order(pool, job.scorer.score, chunks, job.told.workers):
        writer.write(scored)
        job.progress.add(len(scored[0]))
    return writer.finish(job.folder.mark(part.index, job.input_now))


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[Chunk], list[pa.Array]],
    chunks: Iterable[Chunk],
    ahead: int,
) -> Iterator[list[pa.Array]]:
    """Return what the work makes of each chunk, with so many at work while one is written."""
    waiting: deque[Future[list[pa.Array]]] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(work, chunk))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _completed(job: _Job, opened: Opened, made: list[_Made]) -> Summary:
    told, parts = job.told, [each.part for each in made]
    total = sum(part.rows for part in parts)
    document = {
        "format": FORMAT,
        "model": {"uri": told.model, "digest": told.digest},
        "input": asdict(job.input_now),
        "keep": list(told.keep),
        "part_rows": told.part_rows,
        "classes": list(opened.signature.classes),
        "rows": total,
        "parts": [asdict(part) for part in parts],
    }
    if not job.folder.is_complete(document):
        job.folder.complete(document, parts)
    seconds = job.progress.seconds()
    return Summary(
        rows=total,
        parts=len(parts),
        found_parts=sum(each.was_there for each in made),
        model=told.digest,
        out=told.output,
        seconds=round(seconds, 3),
        rows_per_second=round(job.progress.scored / max(seconds, 1e-9)),
    )
