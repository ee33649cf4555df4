"""`@call` and `@cast`: a handler that is written once and used from both sides.

Class access gives the client function (`await Counter.divide(ref, 4)`), instance access the plain method, so that a
handler is tested without any runtime. The client makes the request a value; nothing is looked up by reflection when it
is sent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from nursery_otp._behaviours.instructions import Next
from nursery_otp._policy import checks
from nursery_otp._policy.exits import safe_repr
from nursery_otp._policy.suggestions import did_you_mean
from nursery_otp._policy.timeout_keys import Operation, OperationHandle
from nursery_otp._policy.timeouts import WHILE_RESTARTING
from nursery_otp._runtime.calls import Call, checked_limit
from nursery_otp._runtime.messages import Message
from nursery_otp._runtime.refs import Address, Name, address_problem
from nursery_otp._runtime.requests import Request, send_request
from nursery_otp._runtime.sending import cast_message

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
N = TypeVar("N", bound=Next | Coroutine[Any, Any, Next])

NOBODY: Name[Any] = Name("nobody")
"""Stands for an address where a request has none yet."""


_message = tuple.__new__  # as Message(...) does, which looks at the operation's name first


class _Handler(Generic[P, T]):
    """What `@call` and `@cast` have in common."""

    is_call: bool

    def __init__(self, function: Callable[..., Any], *, follow_caller: bool = False) -> None:
        if not inspect.isfunction(function):
            raise TypeError(
                f"@call and @cast are for methods written with def or async def, not for {safe_repr(function)}"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"@call and @cast: {function.__name__} is a generator, and a request has one answer")
        checks.flag("follow_caller", follow_caller)
        self.function = function
        self.follow_caller = follow_caller
        self.name = function.__name__
        self._owner: type[Any] | None = None
        self._client: Any = None
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self._signature = inspect.signature(function)
        if not self._signature.parameters:
            raise TypeError(f"@call and @cast are for methods: {function.__name__} needs a first parameter (self)")
        self.low, self.high = _positional_bounds(self._signature)

    def __set_name__(self, _owner: type, name: str) -> None:
        self.name = name

    def client(self, owner: type[Any]) -> Any:
        """The client function for servers of a class: the one it is written in, or another that inherits it."""
        if owner is self._owner:
            return self._client
        client = getattr(owner, "_otp_clients", {}).get(self.name)
        if client is None:
            what = f"{owner.__name__}.{self.name}"
            raise TypeError(f"{what}: @call and @cast only work in the body of a GenServer class")
        if vars(owner).get(self.name) is self:  # a subclass must not be kept alive by its base class
            self._owner, self._client = owner, client
        return client

    def check(self, label: str, args: tuple[Any, ...], kwargs: dict[str, Any], address: Any = NOBODY) -> None:
        """Refuse wrong arguments at the caller, where the mistake is, instead of crashing the server."""
        if kwargs or not self.low <= len(args) <= self.high:
            try:
                self._signature.bind(None, *args, **kwargs)
            except TypeError as error:
                # Without the address all arguments are one place too far to the left.
                problem = address_problem(address) or self._unknown(kwargs) or error
                raise TypeError(f"{label}(): {problem}") from None

    def _unknown(self, kwargs: dict[str, Any]) -> str | None:
        """What is wrong with the first keyword that the method does not have; else an argument would seem to lack."""
        parameters = self._signature.parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return None
        known = list(parameters)[1:]
        unknown = next((name for name in kwargs if name not in known), None)
        return unknown and f"got an unexpected keyword argument {unknown!r}{did_you_mean(unknown, known)}"

    def __repr__(self) -> str:
        return f"<@{'call' if self.is_call else 'cast'} {self.name}>"


def _positional_bounds(signature: inspect.Signature) -> tuple[int, float]:
    """How many positional arguments after self are certainly right; (1, 0) if only a full check can tell."""
    low, high = 0, 0.0
    for parameter in list(signature.parameters.values())[1:]:
        match parameter.kind:
            case parameter.VAR_POSITIONAL:
                high = float("inf")
            case parameter.KEYWORD_ONLY if parameter.default is parameter.empty:
                return 1, 0
            case parameter.POSITIONAL_ONLY | parameter.POSITIONAL_OR_KEYWORD:
                low += parameter.default is parameter.empty
                high += 1
    return low, high


class CallHandler(_Handler[P, T], Generic[P, R, T]):
    """A method that answers calls."""

    is_call = True

    @overload
    def __get__(self, server: None, owner: type[S]) -> ClientCall[S, P, R]: ...
    @overload
    def __get__(self, server: object, owner: type[S]) -> Callable[P, T]: ...
    def __get__(self, server: object, owner: type[Any]) -> Any:
        return self.client(owner) if server is None else self.function.__get__(server, owner)


class CastHandler(_Handler[P, T], Generic[P, T]):
    """A method that handles casts."""

    is_call = False

    @overload
    def __get__(self, server: None, owner: type[S]) -> ClientCast[S, P]: ...
    @overload
    def __get__(self, server: object, owner: type[S]) -> Callable[P, T]: ...
    def __get__(self, server: object, owner: type[Any]) -> Any:
        return self.client(owner) if server is None else self.function.__get__(server, owner)


class ClientCall(OperationHandle, Generic[S, P, R]):
    """The client side of a `@call` handler: `await Server.operation(address, ...)`."""

    __slots__ = ("_follow", "_handler", "_label", "_wait")

    def __init__(
        self,
        operation: Operation,
        handler: CallHandler[P, R, Any],
        *,
        follow: bool,
        limit: float | None = None,
        wait: bool | None = None,
    ) -> None:
        self._operation = operation
        self._label = str(operation)
        self._handler = handler
        self._follow = follow
        self._limit = limit
        self._wait = wait

    def __call__(self, address: Address[S], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Send the request and wait for the reply.

        Raises `NoProcess` if nobody is there, `CallExited` if the server ends before it replies, `CallTimeout` past
        the limit (which does not harm the server), `Deadlock` if the server waits for the caller, and whatever the
        handler refuses with. `UnknownOperation` if it is another kind of server, `MailboxFull` if there is no room for
        the request, `TypeError` for wrong arguments, before anything is sent. OTP: `gen_server:call/2,3`.
        """
        call = self._call(address, args, kwargs)
        limit, usual = self._limit, call.runtime.limits.calls[self._operation]  # asked in any case, for the report
        return call.perform(usual if limit is None else limit)

    def _call(self, address: Any, args: Any, kwargs: Any) -> Call:
        self._handler.check(self._label, args, kwargs, address)
        call = Call(self._label, self._handler.name, args, kwargs, address)
        call.followed = self._follow
        if self._wait is not None:
            call.wait_for_restart = self._wait
        return call

    def within(self, seconds: float) -> ClientCall[S, P, R]:
        """The same client with an explicit limit for the reply (`math.inf`: none; 0: send, but do not wait)."""
        limit = checked_limit(seconds)
        return ClientCall(self._operation, self._handler, follow=self._follow, limit=limit, wait=self._wait)

    def while_restarting(self, choice: Literal["wait", "fail"]) -> ClientCall[S, P, R]:
        """The same client, but a call by name to a child being restarted "wait"s for it or "fail"s with `NoProcess`."""
        checks.one_of("while_restarting", choice, WHILE_RESTARTING)
        wait = choice == "wait"
        return ClientCall(self._operation, self._handler, follow=self._follow, limit=self._limit, wait=wait)

    def request(self, address: Address[S], /, *args: P.args, **kwargs: P.kwargs) -> Request[R]:
        """Send the request now, and wait for the reply later. OTP: `gen_server:send_request/2`."""
        call = self._call(address, args, kwargs)
        call.runtime.limits.calls[self._operation]  # the report shows it, although the wait has a limit of its own
        return send_request(call)

    def message(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """The request as a value."""
        self._handler.check(self._label, args, kwargs)
        return Message(self._handler.name, args, kwargs)

    def __repr__(self) -> str:
        return f"<client of {self._label}>"

    def __str__(self) -> str:
        return self._label


class ClientCast(OperationHandle, Generic[S, P]):
    """The client side of a `@cast` handler: `Server.operation(address, ...)`."""

    __slots__ = ("_handler", "_label")

    waits = False

    def __init__(self, operation: Operation, handler: CastHandler[P, Any]) -> None:
        self._operation = operation
        self._limit = None
        self._label = str(operation)
        self._handler = handler

    def __call__(self, address: Address[S], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Send the request; never blocks, and is no error if nobody is there. OTP: `gen_server:cast/2`."""
        handler = self._handler
        if kwargs or not handler.low <= len(args) <= handler.high:
            handler.check(self._label, args, kwargs, address)
        cast_message(address, _message(Message, (handler.name, args, kwargs)))

    def message(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """The request as a value."""
        self._handler.check(self._label, args, kwargs)
        return Message(self._handler.name, args, kwargs)

    def __repr__(self) -> str:
        return f"<client of {self._label}>"

    def __str__(self) -> str:
        return self._label


def make_client(
    owner: type[Any], handler: CallHandler[Any, Any, Any] | CastHandler[Any, Any]
) -> ClientCall[Any, Any, Any] | ClientCast[Any, Any]:
    """The client of a handler for one class of servers."""
    operation = Operation(owner, handler.name)
    if isinstance(handler, CallHandler):
        follow = handler.follow_caller or bool(owner.follow_caller)
        return ClientCall(operation, handler, follow=follow)
    return ClientCast(operation, handler)


class _CallDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> CallHandler[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> CallHandler[P, R, R]: ...


@overload
def call(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> CallHandler[P, R, Coroutine[Any, Any, R]]: ...
@overload
def call(function: Callable[Concatenate[Any, P], R], /) -> CallHandler[P, R, R]: ...
@overload
def call(*, follow_caller: bool) -> _CallDecorator: ...
def call(function: Any = None, /, *, follow_caller: bool = False) -> Any:
    """Mark a method of a `GenServer` as a handler of calls; its return value is the reply.

    The handler may be `async def` or `def` (which is faster). With `follow_caller=True` it ends when its caller's
    time is up or its caller has gone; without it runs to its end, as in OTP.

    Besides returning, a handler may `raise Refuse(error)` (the caller gets the error), `raise Stop(reason)` (the server
    ends and the caller gets `CallExited`), return `answer(value, then=...)`, or answer later, see `Later`. Any other
    exception ends the server. OTP: a clause of `handle_call/3`.

    >>> class Doubler(GenServer):
    ...     @call
    ...     def double(self, number: int) -> int:
    ...         return 2 * number
    >>> Doubler().double(4)
    8
    """
    if function is None:
        return lambda function: CallHandler(function, follow_caller=follow_caller)
    return CallHandler(function)


def cast(function: Callable[Concatenate[Any, P], N], /) -> CastHandler[P, N]:
    """Mark a method of a `GenServer` as a handler of casts: requests without a reply.

    It returns None, or what to do next: `Continue`, `Idle`, `Stop`. OTP: a clause of `handle_cast/2`.

    >>> class Log(GenServer):
    ...     def __init__(self) -> None:
    ...         self.lines: list[str] = []
    ...
    ...     @cast
    ...     def write(self, line: str) -> None:
    ...         self.lines.append(line)
    """
    return CastHandler(function)
