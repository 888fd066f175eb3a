"""Log records as JSON, one a line."""

import json
import logging


class JsonLines(logging.Formatter):
    """Renders a record, with the fields of its `document`, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record."""
        line = {
            "ts": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "document", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def to_standard_error() -> None:
    """Send every record from INFO up to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
