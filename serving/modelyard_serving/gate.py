"""Whether this process may answer, and if not, why: the one place that readiness is read from.

    Loading ──► Serving        a real inference has passed
       │           │
       ▼           ▼  SIGTERM
    Failed ───► Draining       not ready any more; requests are still answered

A failed process stays alive, so that its reason can be read.
"""

from modelyard_core.readiness import LOADING
from modelyard_serving.errors import NotReady
from modelyard_serving.inference import Inference

DRAINING = "this process is shutting down"


class Gate:
    """The state of one process."""

    def __init__(self) -> None:
        self._serving: Inference | None = None
        self._reason = LOADING
        self._hindrance: str | None = None
        self.draining = False

    def open(self, inference: Inference) -> None:
        """Let requests in: the model is proven."""
        self._serving = inference

    def fail(self, reason: str) -> None:
        """Keep requests out for good, for a reason that people read."""
        self._reason = reason

    def hinder(self, reason: str | None) -> None:
        """Report not ready for this reason, whatever the model says; None takes it back."""
        self._hindrance = reason

    def drain(self) -> None:
        """Report not ready from now on, and go on answering."""
        self.draining = True

    def inference(self) -> Inference:
        """Return the model that answers.

        Raises:
            NotReady: there is none; the sentence says why.
        """
        if self._serving is None:
            raise NotReady(self._reason)
        return self._serving

    def is_ready(self) -> bool:
        """Return whether new requests are welcome."""
        return self._serving is not None and not self.draining and self._hindrance is None

    def check_ready(self) -> None:
        """Return if new requests are welcome.

        Raises:
            NotReady: they are not; the sentence says why.
        """
        self.inference()
        if self.draining:
            raise NotReady(DRAINING)
        if self._hindrance is not None:
            raise NotReady(self._hindrance)
