"""HTTP answers in a stream of bytes, read strictly: what is not one to the byte is an error."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server says that it ends the connection."""
        return self.headers.get("connection") == "close"


def answers(data: bytes) -> list[Answer]:
    """Return the answers that the bytes hold, all of them whole.

    Raises:
        ValueError: something else is there.
    """
    found = []
    while data:
        answer, data = first(data)
        found.append(answer)
    return found


def first(data: bytes) -> tuple[Answer, bytes]:
    """Return the first answer and the bytes behind it; an interim answer has no body.

    Raises:
        ValueError: there is no whole one.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = start.split(" ", 2)
    if not end or version != "HTTP/1.1":
        raise ValueError(f"no answer: {data[:200]!r}")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name in headers:
            raise ValueError(f"{name} twice in {head!r}")
        headers[name] = value
    if int(status) < 200:
        return Answer(int(status), headers, b""), rest
    length = int(headers["content-length"])
    if len(rest) < length:
        raise ValueError(f"{len(rest)} bytes of a body of {length}: {data[:200]!r}")
    return Answer(int(status), headers, rest[:length]), rest[length:]
