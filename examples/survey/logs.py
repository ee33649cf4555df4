"""What the library's log has to say to somebody who watches a survey."""

import logging


def is_news(record: logging.LogRecord) -> bool:
    """The crash of a worker is none: it will be in the report, with its reason, and its traceback is about the file."""
    text = record.getMessage()
    return not text.startswith("process_crashed") or not ("<worker#" in text or "<inspector#" in text)


def log_news() -> None:
    """Write the library's warnings and errors to stderr, as logging does by default, but for what is no news."""
    handler = logging.StreamHandler()
    handler.addFilter(is_news)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, format="survey: %(message)s")
