"""The stages of a run, in order."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy.typing as npt
from threadpoolctl import threadpool_limits

from modelyard_core import bundle, codec
from modelyard_core.bundle import Manifest, Pointer
from modelyard_core.canonical import digest_value
from modelyard_core.metrics import metrics_for
from modelyard_core.runs import GateOutcome, GateResult, RunReport, RunRequest, Verdict
from modelyard_core.signature import Signature
from modelyard_training import (
    champion,
    clock,
    dataset,
    documents,
    evaluate,
    export,
    gates,
    limits,
    parity,
    pipeline,
    reference,
    reporting,
    source,
    split,
)
from modelyard_training.champion import NotComparable, Opponent
from modelyard_training.dataset import Dataset
from modelyard_training.documents import Data, Environment, Metrics
from modelyard_training.journal import LOGGER, Journal
from modelyard_training.parity import Parity
from modelyard_training.pipeline import Fitted
from modelyard_training.request import params_of
from modelyard_training.scoring import Answers, OnnxModel
from modelyard_training.split import Halves
from modelyard_training.store import Attempt, Found, Store

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run reads and writes."""

    data: Path
    store: Path
    scratch: Path
    attempt: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What a run learns from and is judged by."""

    snapshot: source.Snapshot
    dataset: Dataset
    halves: Halves
    opponent: Opponent | None
    not_comparable: str | None

    @property
    def cells(self) -> int:
        """Return how many numbers and categories there are."""
        return int(self.dataset.frame.size)

    @property
    def held_out_truth(self) -> npt.NDArray[Any]:
        """Return the target of the held-out rows."""
        return self.dataset.target[self.halves.holdout]


@dataclass(frozen=True, slots=True)
class Made:
    """An exported model that has been proven to answer as the fitted one."""

    fitted: Fitted
    signature: Signature
    content: bytes
    parity: Parity
    answers: Answers
    """For the held-out rows."""
    fit_seconds: float


def content_key(request: RunRequest, data_digest: str) -> str:
    """Return the digest of everything that decides the model, the data included."""
    return digest_value(
        {
            "task": request.task,
            "target": request.target,
            "data": data_digest,
            "format": request.data.path.rpartition("/")[2].partition(".")[2],
            "split": codec.encode(request.split),
            "features": codec.encode(request.features),
            "pipeline": codec.encode(request.pipeline),
            "image": request.image,
        }
    )


def train(request: RunRequest, places: Places, journal: Journal) -> RunReport:
    """Train, judge and store one model, or find it trained.

    Raises:
        ModelyardError: one of `failures`, or the store does not answer.
    """
    LOGGER.info("run %s: %s of %s", request.run, request.task, request.target)
    store = Store(places.store, request.training)
    finished = store.find_run(request.run_key)
    if finished is not None:
        LOGGER.info("this run has finished before: %s", finished.digest)
        return reporting.report_found(request, finished)
    attempt = store.open_attempt(places.attempt)
    try:
        with TemporaryDirectory(dir=places.scratch) as scratch:
            snapshot = source.take_snapshot(request.data, places.data, Path(scratch))
            LOGGER.info("data: %d bytes, %s", snapshot.size, snapshot.digest)
            key = content_key(request, snapshot.digest)
            trained = store.find_content(key)
            if trained is None:
                rows = load_rows(request, places, snapshot)
                with threadpool_limits(limits.useful_threads(rows.cells, limits.cpu_count())):
                    made = make_model(request, rows, key)
                    digest = write_bundle(request, rows, made, attempt, journal)
            else:
                LOGGER.info("the same content was trained before: %s", trained.digest)
                digest = trained.digest
        return commit(store, request, key, digest, attempt.name)
    finally:
        attempt.discard()


def load_rows(request: RunRequest, places: Places, snapshot: source.Snapshot) -> Rows:
    """Decode, check and split the rows; open the champion before, to know what it reads."""
    opponent, why = _open_champion(request, places.store)
    rows = dataset.load(request, snapshot, opponent.columns if opponent else None)
    halves = split.split_rows(request, rows)
    held_out = int(halves.holdout.sum())
    LOGGER.info("rows: %d to train on, %d held out", len(rows) - held_out, held_out)
    return Rows(snapshot, rows, halves, opponent, why)


def make_model(request: RunRequest, rows: Rows, key: str) -> Made:
    """Fit, export and prove.

    Raises:
        CannotConvert: the exported model does not answer as the fitted one.
    """
    training = rows.dataset.frame[rows.halves.training]
    held_out = rows.dataset.frame[rows.halves.holdout]
    target = rows.dataset.target[rows.halves.training]
    began = clock.seconds()
    fitted = pipeline.fit(request, training, target, params_of(request), limits.cpu_count())
    fit_seconds = clock.seconds() - began
    LOGGER.info("fitted %s in %.2f s", request.pipeline.estimator, fit_seconds)
    signature = export.signature_of(request.task, fitted)
    facts = {
        "task": request.task,
        "contentKey": key,
        "dataDigest": rows.snapshot.digest,
        "image": request.image,
    }
    content = export.export(fitted, signature, facts)
    model = OnnxModel(content, signature)
    LOGGER.info("exported %d bytes of ONNX", len(content))
    proof = parity.prove(fitted, model, content, training, held_out, request.gates.parity)
    LOGGER.info(
        "parity: %d rows and %d probes, differs by at most %.2g",
        proof.rows,
        proof.probes,
        proof.max_abs,
    )
    return Made(fitted, signature, content, proof, model.answer(held_out), fit_seconds)


def write_bundle(
    request: RunRequest, rows: Rows, made: Made, attempt: Attempt, journal: Journal
) -> str:
    """Judge the model, write the whole bundle and return its digest."""
    measured = judge_model(request, rows, made)
    verdict = gates.verdict_of(measured.gates)
    for gate in measured.gates:
        LOGGER.info("gate %s %s: %s: %s", gate.kind, gate.name, gate.outcome, gate.sentence)
    LOGGER.info("verdict: %s", verdict)
    data = _data_of(request, rows, made)
    environment = _environment_of(request, made)
    profile = reference.build_profile(
        request.features, rows.dataset.frame[rows.halves.training], made.answers.scores
    )
    attempt.write(bundle.MODEL, made.content)
    for name, value in (
        (bundle.SIGNATURE, made.signature),
        (bundle.PROFILE, profile),
        (documents.METRICS, measured),
        (documents.PARITY, made.parity),
        (documents.DATA, data),
        (documents.ENVIRONMENT, environment),
    ):
        attempt.write(name, codec.dumps(value).encode())
    card = documents.card(request, verdict, data, measured, environment)
    attempt.write(documents.CARD, card.encode())
    attempt.write(documents.LOG, journal.text())
    return attempt.complete(_manifest_of(request, rows, verdict, measured, attempt))


def judge_model(request: RunRequest, rows: Rows, made: Made) -> Metrics:
    """Measure the exported model on the held-out rows and ask every gate."""
    truth, classes = rows.held_out_truth, made.fitted.classes
    measured = evaluate.measure_all(request.task, truth, made.answers, classes)
    champion_answers, why = _ask_champion(request, rows, classes)
    evidence = gates.Evidence(
        truth=truth,
        answers=made.answers,
        classes=classes,
        too_small=split.is_too_small(request.task, truth, len(classes)),
        champion=champion_answers,
        champion_version=request.champion.version if request.champion else None,
        not_comparable=why,
        seed=request.pipeline.seed,
    )
    theirs = (
        evaluate.measure_all(request.task, truth, champion_answers, classes)
        if champion_answers
        else {}
    )
    numbers = reporting.finite(measured)
    return Metrics(
        training_rows=int(rows.halves.training.sum()),
        holdout_rows=len(truth),
        metrics=numbers,
        undefined=tuple(name for name in metrics_for(request.task) if name not in numbers),
        gates=(*gates.judge(request.gates.metrics, evidence), _parity_result(request, made)),
        champion=reporting.finite(theirs),
        notes=made.fitted.notes,
    )


def commit(store: Store, request: RunRequest, key: str, digest: str, attempt: str) -> RunReport:
    """Make a complete bundle the answer of this content and of this run."""
    agreed = store.claim(key, Pointer(digest, ""), attempt)
    store.publish(agreed)
    if agreed != digest:
        LOGGER.info("another attempt was first: %s", agreed)
        store.discard(digest)
    found = store.find_content(key)
    assert found is not None, "a claimed bundle is in the store"
    report = reporting.report_found(request, _published(store, found))
    store.remember_run(request.run_key, Pointer(agreed, reporting.text_of(report)))
    LOGGER.info("stored as %s", report.uri)
    return report


def _published(store: Store, found: Found) -> Found:
    return Found(found.digest, store.folder(found.digest), found.manifest)


def _open_champion(request: RunRequest, store: Path) -> tuple[Opponent | None, str | None]:
    try:
        return champion.open_champion(request, store), None
    except NotComparable as error:
        LOGGER.info("the champion cannot be compared with: %s", error)
        return None, str(error)


def _ask_champion(
    request: RunRequest, rows: Rows, classes: tuple[int | str, ...]
) -> tuple[Answers | None, str | None]:
    if rows.opponent is None:
        return None, rows.not_comparable
    held_out = rows.dataset.frame[rows.halves.holdout]
    try:
        return rows.opponent.answer(held_out, request.task, classes), None
    except NotComparable as error:
        return None, str(error)


def _parity_result(request: RunRequest, made: Made) -> GateResult:
    proof = made.parity
    return GateResult(
        name="onnx",
        kind="Parity",
        outcome=GateOutcome.PASSED,
        observed=proof.max_abs,
        threshold=request.gates.parity.max_abs,
        rows=proof.rows + proof.probes,
        sentence=f"the exported model differs by at most {proof.max_abs:.2g} "
        f"on {proof.rows} held-out rows and {proof.probes} probes",
    )


def _data_of(request: RunRequest, rows: Rows, made: Made) -> Data:
    names = [feature.name for feature in request.features]
    held_out = int(rows.halves.holdout.sum())
    return Data(
        path=request.data.path,
        origin=request.data.origin,
        digest=rows.snapshot.digest,
        size=rows.snapshot.size,
        rows_digest=dataset.row_digest(rows.dataset.frame[names], rows.dataset.target),
        rows=len(rows.dataset),
        training_rows=len(rows.dataset) - held_out,
        holdout_rows=held_out,
        holdout_duplicates=round(rows.halves.duplicated, 6),
        split=request.split,
        target=request.target,
        classes=tuple(str(each) for each in made.fitted.classes),
    )


def _environment_of(request: RunRequest, made: Made) -> Environment:
    python, machine = documents.this_machine()
    return Environment(
        image=request.image,
        python=python,
        machine=machine,
        packages=documents.installed_packages(),
        formats=export.versions_in(made.content),
        threads=limits.cpu_count(),
        peak_memory_bytes=limits.peak_memory(),
        fit_seconds=round(made.fit_seconds, 3),
        features=request.features,
        pipeline=request.pipeline,
    )


def _manifest_of(
    request: RunRequest, rows: Rows, verdict: Verdict, measured: Metrics, attempt: Attempt
) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        training=request.training,
        run=request.run,
        run_key=request.run_key,
        content_key=content_key(request, rows.snapshot.digest),
        data_digest=rows.snapshot.digest,
        verdict=verdict,
        created_at=clock.now(),
        files=attempt.files,
        parent=request.champion.digest if request.champion else None,
        image=request.image,
        metrics=measured.metrics,
    )
