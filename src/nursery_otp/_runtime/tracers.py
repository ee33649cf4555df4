"""The tracers that need nothing but the standard library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from contextvars import Context, ContextVar, Token
from typing import Any, TypeAlias

from nursery_otp._policy import checks
from nursery_otp._policy.errors import InvalidSpec
from nursery_otp._runtime.tracing import TracedMessage, Tracer, check_tracer

_Values: TypeAlias = dict[ContextVar[Any], Any]


class ContextVarTracer:
    """Take the values of chosen context variables from the sender of a message to its handler.

    The handler sees the values that the sender had, and whatever it sends takes them further; after it they are as
    before. A process starts with the defaults, whoever started it. So each variable needs a default. A message whose
    sender has all the defaults carries nothing. Values that JSON can hold also stay with a dead letter.

    >>> from contextvars import ContextVar
    >>> request_id = ContextVar("request_id", default="none")
    >>> class Archive(GenServer):
    ...     @cast
    ...     def store(self, document: str) -> None:
    ...         print(document, request_id.get())
    >>> async def main() -> None:
    ...     async with open_supervisor(tracer=ContextVarTracer([request_id])) as supervisor:
    ...         archive = await supervisor.start(Archive)
    ...         request_id.set("r-17")
    ...         Archive.store(archive, "letter")
    ...         await stop(archive, drain=True)
    ...         supervisor.shutdown()
    >>> trio.run(main)
    letter r-17
    """

    def __init__(self, variables: Iterable[ContextVar[Any]]) -> None:
        self._defaults: _Values = {}
        for variable in variables:
            checks.instance("variables", variable, ContextVar, "must be context variables")
            try:
                self._defaults[variable] = Context().run(variable.get)
            except LookupError:
                problem = "needs a default, which is what a process starts with: ContextVar(name, default=None)"
                raise InvalidSpec("variables", variable, problem) from None
        if not self._defaults:
            raise InvalidSpec("variables", variables, "must be at least one context variable")
        names = [variable.name for variable in self._defaults]
        if len(set(names)) < len(names):
            raise InvalidSpec("variables", names, "must have different names, by which dead letters keep the values")

    def __repr__(self) -> str:
        return f"ContextVarTracer({', '.join(variable.name for variable in self._defaults)})"

    def produce(self, message: TracedMessage) -> _Values | None:
        """The values that are not the defaults; those of a retried message are the ones it had at first."""
        if message.kind == "retry":
            return message.original or None
        values = {variable: variable.get() for variable in self._defaults}
        return {variable: value for variable, value in values.items() if value is not self._defaults[variable]} or None

    def produced(self, context: _Values, error: BaseException | None) -> None:
        """Nothing ends with the sending."""

    def enter(self, context: _Values, message: TracedMessage) -> list[tuple[ContextVar[Any], Token[Any]]]:
        """The handler gets the values of the sender."""
        return [(variable, variable.set(value)) for variable, value in context.items()]

    def leave(
        self, entered: list[tuple[ContextVar[Any], Token[Any]]], error: BaseException | None, *, restore: bool
    ) -> None:
        """They are as before."""
        if restore:
            for variable, token in entered:
                variable.reset(token)

    def clear(self) -> None:
        """A process starts with the defaults."""
        for variable, default in self._defaults.items():
            variable.set(default)

    def dump(self, context: _Values) -> dict[str, Any] | None:
        """The values that JSON can hold, by the names of their variables."""
        return {variable.name: value for variable, value in context.items() if _comes_back(value)} or None

    def load(self, data: Any) -> _Values | None:
        """The values by their variables again."""
        if not isinstance(data, Mapping):
            return None
        return {variable: data[variable.name] for variable in self._defaults if variable.name in data} or None


def _comes_back(value: object) -> bool:
    """Whether JSON gives back what it was given: it turns tuples into lists, and keys into text."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RuntimeError):  # no data; a circle, or too deep; changed by its owner meanwhile
        return False


class CombinedTracer:
    """Several tracers as one, such as an `OpenTelemetryTracer` and a `ContextVarTracer`."""

    def __init__(self, *tracers: Tracer) -> None:
        for tracer in tracers:
            check_tracer("tracers", tracer)
        if len(tracers) < 2:
            raise InvalidSpec("tracers", tracers, "must be at least two")
        self._tracers = tracers

    def __repr__(self) -> str:
        return f"CombinedTracer{self._tracers!r}"

    def produce(self, message: TracedMessage) -> tuple[Any, ...] | None:
        """The context of each; None if none has one."""
        originals = message.original or (None,) * len(self._tracers)
        contexts = []
        with ExitStack() as undo:
            for tracer, original in zip(self._tracers, originals, strict=True):
                message.original = original
                contexts.append(tracer.produce(message))
                if contexts[-1] is not None:
                    undo.callback(tracer.produced, contexts[-1], None)
            undo.pop_all()
        return None if all(context is None for context in contexts) else tuple(contexts)

    def produced(self, context: tuple[Any, ...], error: BaseException | None) -> None:
        """Tell those that take part, the innermost first."""
        with ExitStack() as producing:
            for tracer, part in zip(self._tracers, context, strict=True):
                if part is not None:
                    producing.callback(tracer.produced, part, error)

    def enter(self, context: tuple[Any, ...], message: TracedMessage) -> list[tuple[Tracer, Any]]:
        """The scopes of those that take part, one in the other."""
        entered: list[tuple[Tracer, Any]] = []
        with ExitStack() as undo:
            for tracer, part in zip(self._tracers, context, strict=True):
                if part is not None:
                    entered.append((tracer, tracer.enter(part, message)))
                    undo.callback(tracer.leave, entered[-1][1], None, restore=True)
            undo.pop_all()
        return entered

    def leave(self, entered: list[tuple[Tracer, Any]], error: BaseException | None, *, restore: bool) -> None:
        """Out of them, the innermost first."""
        with ExitStack() as leaving:
            for tracer, scope in entered:
                leaving.callback(tracer.leave, scope, error, restore=restore)

    def clear(self) -> None:
        """Each clears what is its own."""
        for tracer in self._tracers:
            tracer.clear()

    def dump(self, context: tuple[Any, ...]) -> list[Any] | None:
        """A list of dumps."""
        pairs = zip(self._tracers, context, strict=True)
        dumps = [None if part is None else tracer.dump(part) for tracer, part in pairs]
        return None if all(dump is None for dump in dumps) else dumps

    def load(self, data: Any) -> tuple[Any, ...] | None:
        """Each gets its own back."""
        if not isinstance(data, list) or len(data) != len(self._tracers):
            return None
        pairs = zip(self._tracers, data, strict=True)
        contexts = [None if dump is None else tracer.load(dump) for tracer, dump in pairs]
        return None if all(context is None for context in contexts) else tuple(contexts)
