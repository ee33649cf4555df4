"""`explain`: why something happened, back to its first cause."""

from __future__ import annotations

from typing import Any

import trio

from nursery_otp._policy.dead_letters import DeadLetter
from nursery_otp._policy.exits import Normal, safe_str
from nursery_otp._runtime.causes import Explanation, Incident, origins
from nursery_otp._runtime.context import runtime_for, runtime_var
from nursery_otp._runtime.process import Process
from nursery_otp._runtime.refs import Address, Name, find
from nursery_otp._runtime.shown import shown
from nursery_otp.errors import NoProcess

_NOBODY_THERE = ("noproc", "send: NoProcess")
_ROUNDING = 1e-6  # of a Unix time, in seconds


def explain(target: Address[Any] | DeadLetter | BaseException) -> Explanation:
    """Why a process ended; or, if it is alive, why it was started: the incidents from there back to the first cause.

    Of a dead letter: why it was not delivered, and why the process that it was for had ended. Of a `trio.Cancelled`
    that comes from the library: what that was for. Of an error that says that a process has ended (`CallExited`,
    `ProcessDown`, `NoProcess`, and for a whole tree `RestartLimitReached` and `SupervisorEnded`), or what was raised
    from one: why that was. A name that nobody holds stands for who held it last, if that did not simply return.

    Printed, it is a text. `NoProcess` for a name of which nothing is known. `NoRuntime` outside of a tree, where only
    refs and errors are known to belong to one. The runtime remembers 10,000 incidents.

    >>> async def main() -> None:
    ...     async with open_supervisor() as supervisor:
    ...         counter = await supervisor.start(Counter, 10, name=Name("counter"))
    ...         kill(counter)
    ...         await counter.wait()
    ...         print(explain(counter).root.kind)
    ...         supervisor.shutdown()
    >>> trio.run(main)
    kill
    """
    if isinstance(target, DeadLetter):
        return _letter(target)
    if isinstance(target, BaseException):
        return _raised(target)
    process = find(target)
    if process is None:
        return _gone(target)
    return _ended(process) if process.reason is not None else _alive(process)


def _raised(error: BaseException) -> Explanation:
    if isinstance(error, trio.Cancelled):
        causes = runtime_for("explain()").causes
        said, number = causes.read(str(getattr(error, "reason", None) or "of no stated reason"))
        kind, text = "cancelled", f"cancelled: {said}"
    else:
        kind, text = "error", shown(error)
        inside = runtime_var.get(None)
        known = next(origins(error, None if inside is None else inside.causes), None)
        causes, number = (runtime_for("explain()").causes, 0) if known is None else known
    found, complete = causes.chain(number)
    return Explanation((Incident(0, kind, text, causes.now(), number), *found), complete)


def _gone(target: Any) -> Explanation:
    """Nobody is there now. Of a name it may be known who held it last."""
    causes = runtime_for("explain()").causes
    number = causes.last_of(target.text) if isinstance(target, Name) else 0
    if not number:
        raise NoProcess(target, "explain")
    found, complete = causes.chain(number)
    return Explanation((Incident(0, "name", f"nobody holds {target!r}", causes.now(), number), *found), complete)


def _letter(letter: DeadLetter) -> Explanation:
    text = f"dead letter {letter.id} to {safe_str(letter.recipient)}: {letter.cause or letter.reason}"
    before = _nobody(letter) if letter.ref is None else explain(letter.ref)
    found = () if before is None else before.incidents
    time = found[0].time if found else 0.0
    cause = found[0].number if found else 0
    return Explanation((Incident(0, "dead_letter", text, time, cause), *found), before is None or before.complete)


def _nobody(letter: DeadLetter) -> Explanation | None:
    """A letter for a name that nobody held: who had held it before, if the letter is of this run and that is known."""
    runtime = runtime_var.get(None)
    if runtime is None or not isinstance(letter.recipient, Name) or letter.reason not in _NOBODY_THERE:
        return None
    found, complete = runtime.causes.chain(runtime.causes.last_of(letter.recipient.text))
    came = letter.first_failure - runtime.dead_letters.offset + _ROUNDING
    return Explanation(tuple(found), complete) if found and found[0].time <= came else None


def _ended(process: Process) -> Explanation:
    causes = process.runtime.causes
    found, complete = causes.chain(process.incident or process.cause)
    if process.incident and found:
        return Explanation(tuple(found), complete)
    text = f"{process.ref}" if found or not isinstance(process.reason, Normal) else f"{process.ref}: it returned"
    return Explanation((Incident(0, "exit", text, causes.now(), process.cause), *found), complete)


def _alive(process: Process) -> Explanation:
    causes, number = process.runtime.causes, process.why()
    found, complete = causes.chain(number)
    kind, text = "start", f"{process.ref} is alive, incarnation {process.incarnation}"
    if process.doomed:
        kind, text = "exit", f"{process.ref} is about to end: {process.interrupted}"
    return Explanation((Incident(0, kind, text, causes.now(), number), *found), complete)
