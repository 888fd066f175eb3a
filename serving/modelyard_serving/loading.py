"""From a folder that the fetch filled to an inference that answers, or to the sentence why not."""

from modelyard_serving import clock, opening
from modelyard_serving.identity import Identity
from modelyard_serving.inference import Inference
from modelyard_serving.recorder import Recorder, Scheduler
from modelyard_serving.settings import ServeSettings
from modelyard_serving.workers import Workers


def load(settings: ServeSettings, later: Scheduler) -> Inference:
    """Open the bundle and put around its model what answers and counts requests.

    Raises:
        TamperedBundle: the files are not the bundle that the digest names.
        Unservable: the bundle is whole, but cannot be served.
    """
    opened = opening.open_bundle(settings.folder, settings.digest, settings.limits.max_rows)
    identity = Identity(
        boot=clock.draw_boot_id(),
        started=clock.now(),
        model=settings.model,
        version=settings.version,
        digest=settings.digest,
    )
    recorder = Recorder(
        identity, opened.signature, opened.profile, later, settings.answers_per_second
    )
    return Inference(
        name=settings.model,
        version=settings.version,
        digest=settings.digest,
        signature=opened.signature,
        profile=opened.profile_text,
        model=opened.model,
        contract=opened.contract,
        recorder=recorder,
        workers=Workers(settings.limits.workers, settings.limits.max_waiting),
    )
