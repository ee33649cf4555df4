"""Unique names. A name belongs to the process that holds it, or to the child that its supervisor will bring back.

A supervisor *reserves* the name of a named child for as long as it means to keep that child running. While no
incarnation holds a reserved name, nobody else can take it, and calls by that name wait here for the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nursery_otp._runtime.interrupts import protected
from nursery_otp.errors import AlreadyNamed, NameTaken, NoProcess

if TYPE_CHECKING:
    from nursery_otp._runtime.calls import Call
    from nursery_otp._runtime.process import Process
    from nursery_otp._runtime.refs import Name


class Entry:
    """A name: its holder, the supervisor that reserves it and for which child, and the calls that wait for a holder.

    `service` is the class of the last holder, if that was a server: while none is there, the next one will be like it.
    """

    __slots__ = ("key", "process", "reserved_by", "service", "waiting")

    def __init__(self) -> None:
        self.process: Process | None = None
        self.reserved_by: Process | None = None
        self.key: object = None
        self.service: type[Any] | None = None
        self.waiting: dict[Call, None] | None = None


@protected
class Registry:
    """All names of a runtime."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def find(self, text: str) -> Process | None:
        """Who holds the name now."""
        entry = self.entries.get(text)
        return None if entry is None else entry.process

    def service_of(self, text: str) -> type[Any] | None:
        """The class of the server that holds the name, or will have it again."""
        entry = self.entries.get(text)
        if entry is None:
            return None
        return entry.service if entry.process is None else entry.process.service

    def keeper(self, text: str) -> Process | None:
        """The supervisor that keeps the name for one of its children."""
        entry = self.entries.get(text)
        return None if entry is None else entry.reserved_by

    def names(self) -> dict[str, Process | None]:
        """All names with their holders; None where a name is kept for a child that is being restarted."""
        return {text: entry.process for text, entry in self.entries.items()}

    # -------------------------------------------------------------------------------------- holding

    def check_free(self, name: Name[Any], supervisor: Process | None, key: object) -> None:
        """Raise `NameTaken` unless the child `key` of `supervisor` (None: any other process) could take the name."""
        entry = self.entries.get(name.text)
        if entry is None:
            return
        if entry.process is not None:
            raise NameTaken(name, entry.process.ref)
        if entry.reserved_by is not None and (entry.reserved_by is not supervisor or entry.key != key):
            raise NameTaken(name, f"a child that {entry.reserved_by.ref} is restarting")

    def register(self, name: Name[Any], process: Process) -> None:
        """Let the process hold the name."""
        self.check_free(name, process.supervisor, process.child_key)
        if process.name is not None:
            raise AlreadyNamed(process.ref, process.name)
        entry = self.entries.get(name.text)
        if entry is None:
            entry = self.entries[name.text] = Entry()
        entry.process = process
        process.name = name

    def unregister(self, process: Process) -> None:
        """Let go of the name while the process goes on; its supervisor does not keep it either."""
        name, process.name = process.name, None
        entry = None if name is None else self.entries.pop(name.text, None)
        if entry is not None and name is not None:
            entry.process = entry.reserved_by = None
            self._serve(entry, name)

    def release(self, process: Process) -> None:
        """The process ended: its name is free, or goes back to its supervisor. Its own `name` stays, for reports."""
        if process.name is None:
            return
        text = process.name.text
        entry = self.entries.get(text)
        if entry is None or entry.process is not process:
            return
        entry.service = process.service
        entry.process = None
        if entry.reserved_by is None:
            del self.entries[text]

    # ------------------------------------------------------------------------------------ reserving

    def reserve(self, name: Name[Any], supervisor: Process, key: object) -> None:
        """Keep the name for this child of this supervisor."""
        self.check_free(name, supervisor, key)
        entry = self.entries.get(name.text)
        if entry is None:
            entry = self.entries[name.text] = Entry()
        entry.reserved_by, entry.key = supervisor, key

    def cancel_reservation(self, name: Name[Any], supervisor: Process) -> None:
        """The child will not come back: who waits for it fails."""
        entry = self.entries.get(name.text)
        if entry is None or entry.reserved_by is not supervisor:
            return
        entry.reserved_by = None
        if entry.process is None:
            del self.entries[name.text]
        self._serve(entry, name)

    def announce(self, process: Process) -> None:
        """The process is ready for calls: who waits for its name is put through."""
        if process.name is None:
            return
        entry = self.entries.get(process.name.text)
        if entry is not None and entry.process is process:
            self._serve(entry, process.name)

    def _serve(self, entry: Entry, name: Name[Any]) -> None:
        waiting, entry.waiting = entry.waiting, None
        for call in waiting or ():
            if entry.process is None:
                call.fail(NoProcess(name, call.label))
            else:
                call.bind(entry.process)

    def wait_for(self, text: str, call: Call) -> bool:
        """Let a call wait for the next incarnation of a child; False if there is nothing to wait for."""
        entry = self.entries.get(text)
        if entry is None or entry.reserved_by is None:
            return False
        if entry.process is not None and entry.process.status != "starting" and not entry.process.doomed:
            return False
        if entry.waiting is None:
            entry.waiting = {}
        entry.waiting[call] = None
        return True

    def stop_waiting(self, text: str, call: Call) -> None:
        """The call has been given up."""
        entry = self.entries.get(text)
        if entry is not None and entry.waiting is not None:
            entry.waiting.pop(call, None)
