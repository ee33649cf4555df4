"""What is said about a fault: the type and the message of its exception, on one line."""


def fault_text(error: BaseException) -> str:
    """The exception in a line. Without the path that an `OSError` adds: the report names the file itself.

    >>> fault_text(ValueError("bad\\nvalue"))
    'ValueError: bad value'
    """
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    name = type(error).__name__
    return f"{name}: {' '.join(message.split())}" if message else name
