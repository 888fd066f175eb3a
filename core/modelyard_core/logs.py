"""Logs as one JSON object a line on standard error: the same words in every program."""

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """Renders a record as `{"time", "level", "logger", "message"}`.

    The fields of the record's `document`, given as `extra={"document": {...}}`, follow; an
    exception is in `traceback`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "document", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def to_standard_error(level: str = "INFO") -> None:
    """Send the records of this process to standard error, from a level up."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
