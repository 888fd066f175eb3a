"""What a request can fail with; none of these knows HTTP.

core Rejected
├── InvalidRequest        the caller must change the request
├── NotServed             the caller names a model or version that is not served here
├── TooLarge              the request is over a limit
└── UnsupportedEncoding   the body is packed in a way that is not understood
core Unavailable
├── NotReady              there is no proven model behind this process (yet)
└── Overloaded            the bounded queue is full
ModelFailed               the model itself broke on a valid request
Unservable                the bundle can never be served by this program
"""

from datetime import timedelta

from modelyard_core.errors import ModelyardError, Rejected, Unavailable

RETRY_SOON = timedelta(seconds=1)


class InvalidRequest(Rejected):
    """The request breaks the protocol or the model's contract."""

    def __init__(self, sentence: str) -> None:
        super().__init__("InvalidRequest", sentence)


class NotServed(Rejected):
    """The request names a model or a version that this process does not serve."""

    def __init__(self, sentence: str) -> None:
        super().__init__("NotServed", sentence)


class TooLarge(Rejected):
    """The request is over a limit of this server."""

    def __init__(self, sentence: str) -> None:
        super().__init__("TooLarge", sentence)


class UnsupportedEncoding(Rejected):
    """The body's content encoding is not one that this server unpacks."""

    def __init__(self, sentence: str) -> None:
        super().__init__("UnsupportedEncoding", sentence)


class NotReady(Unavailable):
    """No model has answered a real inference in this process."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, RETRY_SOON)


class Overloaded(Unavailable):
    """As many requests wait as may wait."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, RETRY_SOON)


class ModelFailed(ModelyardError):
    """The model broke on a request that keeps its contract."""


class Unservable(ModelyardError):
    """The bundle cannot be served; the sentence says why."""
