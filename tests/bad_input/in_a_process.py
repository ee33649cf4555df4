"""Wrong uses made by a process, or by the handler of a server."""

import trio

import nursery_otp as otp
from nursery_otp import InvalidSpec, Name, NoProcess
from tests.bad_input.world import ABSENT, ITSELF, NO_NAME, NOT_CALLABLE, SECONDS, Case, Counter, invalid, no_address

IN_A_PROCESS = [
    no_address("monitor", lambda _w: otp.monitor(5)),
    no_address("monitored", lambda _w: otp.monitored(5)),
    invalid("monitor tag", lambda w: otp.monitor(w.ref, tag=[]), "tag=[]: must be hashable"),
    invalid("monitored tag", lambda w: otp.monitored(w.ref, tag={}), "tag={{}}: must be hashable"),
    invalid("spawn_monitor tag", lambda _w: otp.spawn_monitor(trio.sleep, 1, tag=[]), "tag=[]: must be hashable"),
    invalid("start_monitor tag", lambda _w: otp.start_monitor(Counter, tag=[]), "tag=[]: must be hashable"),
    no_address("link", lambda _w: otp.link(5)),
    no_address("unlink", lambda _w: otp.unlink("x"), "'x'"),
    invalid("demonitor 5", lambda _w: otp.demonitor(5), "monitor=5: must be a Monitor"),
    Case(
        "somebody else's monitor",
        lambda w: otp.demonitor(w.foreign),
        ValueError,
        "{foreign} belongs to {ref}, not to <process#6>",
    ),
    invalid("trap word", lambda _w: otp.trap_exits("yes"), "enabled='yes': must be True or False"),
    Case(
        "link nobody",
        lambda _w: otp.link(Name("x")),
        NoProcess,
        "link: no process at x" + ABSENT,
    ),
    Case("would block", lambda _w: otp.mailbox().receive_nowait(), trio.WouldBlock, ""),
    Case(
        "stop oneself",
        lambda _w: otp.stop(otp.current_ref()),
        otp.Deadlock,
        "stop: would wait for ever: <process#6> -> <process#6>" + ITSELF,
    ),
    invalid("spawn_link 5", lambda _w: otp.spawn_link(5), f"factory=5: {NOT_CALLABLE}"),
    invalid("start_link name", lambda _w: otp.start_link(Counter, name="x"), f"name='x': {NO_NAME}"),
    invalid("start_monitor within", lambda _w: otp.start_monitor(Counter, within=-1), f"within=-1: {SECONDS}"),
]

IN_A_HANDLER = [
    invalid("refuse 5", lambda _w: otp.Refuse(5), "error=5: must be an exception, which the caller gets"),
    invalid(
        "answer 5", lambda _w: otp.answer(1, then=otp.Stop), f"then={otp.Stop!r}: must be None, Continue, Idle or Stop"
    ),
    Case(
        "call oneself",
        lambda w: Counter.add(w.ref, 1),
        otp.Deadlock,
        "Counter.add: would wait for ever: {ref} -> {ref}" + ITSELF,
    ),
    Case(
        "state of oneself",
        lambda w: otp.get_state(w.ref),
        otp.Deadlock,
        "Counter.get_state: would wait for ever: {ref} -> {ref}" + ITSELF,
    ),
    Case(
        "somebody else's mailbox",
        lambda w: otp.demonitor(5),
        InvalidSpec,
        "monitor=5: must be a Monitor",
    ),
]
