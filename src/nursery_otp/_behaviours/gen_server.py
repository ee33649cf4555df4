"""`GenServer`: the class to derive a server from."""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import Any, ClassVar, TypeAlias

from nursery_otp._behaviours.instructions import Next
from nursery_otp._behaviours.operations import CallHandler, CastHandler, make_client
from nursery_otp._behaviours.server_loop import ServerLoop
from nursery_otp._policy.exits import ExitReason
from nursery_otp._policy.misnomers import server_misnomer
from nursery_otp._policy.timeout_keys import OperationHandle
from nursery_otp._runtime import log
from nursery_otp._runtime.process import Body
from nursery_otp._runtime.shown import replaced

Result: TypeAlias = Next | Awaitable[Next]


class GenServer:
    """A process that answers requests one at a time. OTP: `gen_server`.

    Derive from it, mark handlers with `@call` and `@cast`, and start it under a supervisor. The object is the state:
    it is made anew at every start, inside the process, so that an exception in `__init__` is a failed start.

    >>> class Counter(GenServer):
    ...     def __init__(self, start: int) -> None:
    ...         self.value = start
    ...
    ...     @call
    ...     def add(self, amount: int) -> int:
    ...         self.value += amount
    ...         return self.value
    >>> Counter(1).add(2)  # a handler is a method, and is tested as one
    3
    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counter = await supervisor.start(Counter, 10)
    ...         print(await Counter.add(counter, 5))
    ...         supervisor.shutdown()
    >>> trio.run(main)
    15
    """

    trap_exits: ClassVar[bool] = False
    """Whether exit signals arrive as `Exit` messages in `handle_info` instead of ending the server."""

    follow_caller: ClassVar[bool] = False
    """Whether all call handlers end when their caller's time is up or it has gone."""

    _otp_handlers: ClassVar[dict[str, CallHandler[Any, Any, Any] | CastHandler[Any, Any]]] = {}
    _otp_clients: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        handlers: dict[str, CallHandler[Any, Any, Any] | CastHandler[Any, Any]] = {}
        for base in reversed(cls.__mro__):
            for name, attribute in vars(base).items():
                handlers.pop(name, None)
                if isinstance(attribute, CallHandler | CastHandler):
                    if hasattr(GenServer, name):
                        raise TypeError(f"{cls.__name__}.{name} is a name of GenServer's own and cannot be a request")
                    handlers[name] = attribute
                elif (advice := server_misnomer(name)) is not None:
                    raise TypeError(f"{cls.__name__}.{name} would never be used by a GenServer: {advice}")
        cls._otp_handlers = handlers
        cls._otp_clients = {name: make_client(cls, handler) for name, handler in handlers.items()}

    @classmethod
    def process_body(cls, args: tuple[Any, ...]) -> Body:
        """What a process of this class runs (called by the runtime)."""
        return ServerLoop(cls, args).run

    def init(self) -> Result:
        """Called in the process after `__init__`, before the start is reported; may be async.

        Raise `Ignore` to decline, `Stop(reason)` or anything else to fail. OTP: `init/1`.
        """
        return None

    def handle_info(self, message: Any) -> Result:
        """Called for every message that is no request: `Down`, `Exit`, timers, plain sends, `IdleTimeout`.

        May be async. By default the message is logged, as far as `format_status` shows it, and dropped.
        OTP: `handle_info/2`.
        """
        received, advice = _presentable(self, message), _advice(message)
        more = {} if advice is None else {"advice": advice}
        log.write("warning", "unexpected_message", server=type(self).__name__, received=received, **more)
        return None

    def handle_continue(self, argument: Any) -> Result:
        """Called when a callback returned `Continue(argument)`, before any message. OTP: `handle_continue/2`."""
        raise NotImplementedError(f"{type(self).__name__} returned Continue but has no handle_continue")

    def terminate(self, reason: ExitReason) -> Awaitable[None] | None:
        """Called before the server ends with `reason`, for cleaning up; may be async.

        It is called after a stop (by a supervisor, `stop`, `Stop` or the parent's end) and after a crash, but not when
        an exit signal or `kill` ends the server. If it raises, that is the new exit reason. OTP: `terminate/2`.
        """
        return None

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """What `get_status`, the report of a crash and logs show of this server; override it to leave secrets out.

        `status` has the `state` (the attributes of the server, as a dict of its own); in a log the `message` that is
        being handled, and in the report of a crash the exception as `reason`, which may be replaced by another one or
        by a text. Return it, changed as you like; a key that is left out is not shown. OTP: `format_status/1`.
        """
        return status


def _presentable(server: GenServer, message: object) -> str:
    """What may be told of a message that the server has got."""
    try:
        status = server.format_status({"state": dict(vars(server)), "message": message})
        return replaced(status["message"], message) if "message" in status else "(not shown)"
    except Exception as problem:  # its text may contain what was to be hidden
        return f"(not shown: format_status raised {type(problem).__name__})"


def _advice(message: object) -> str | None:
    """What to do instead of sending something that nobody can mean to send."""
    if isinstance(message, OperationHandle):
        return f"this is a client function; a request as a message is {message}.message(...)"
    if type(message) is CoroutineType:
        return "this is a coroutine; a request as a message is made as in Counter.add.message(1)"
    return None
