"""Wrong uses of a running tree, made in its body."""

import math

import trio

import nursery_otp as otp
from nursery_otp import Name, NoProcess
from tests.bad_input.world import NO_NAME, NOT_CALLABLE, SECONDS, Case, Counter, World, invalid, no_address, outside

NAN = math.nan

IN_A_TREE = [
    # only for processes
    outside("current_ref", lambda _w: otp.current_ref()),
    outside("mailbox", lambda _w: otp.mailbox()),
    outside("monitor", lambda w: otp.monitor(w.ref)),
    outside("monitored", lambda w: otp.monitored(w.ref)),
    outside("demonitor", lambda w: otp.demonitor(w.foreign)),
    outside("link", lambda w: otp.link(w.ref)),
    outside("unlink", lambda w: otp.unlink(w.ref)),
    outside("trap_exits", lambda _w: otp.trap_exits()),
    outside("shutdown_scope", lambda _w: otp.shutdown_scope()),
    outside("spawn_link", lambda _w: otp.spawn_link(trio.sleep, 1)),
    outside("spawn_monitor", lambda _w: otp.spawn_monitor(trio.sleep, 1)),
    outside("start_link", lambda _w: otp.start_link(Counter)),
    outside("start_monitor", lambda _w: otp.start_monitor(Counter)),
    # addresses
    no_address("call", lambda _w: Counter.add(5, 1)),
    no_address("call text", lambda _w: Counter.add("counter", 1), "'counter'"),
    no_address("call class", lambda _w: Counter.add(Counter, 1), "{Counter}"),
    no_address("request", lambda _w: Counter.add.request(None, 1), "None"),
    no_address("cast", lambda _w: Counter.reset(5)),
    no_address("send", lambda _w: otp.send(5, "x")),
    no_address("send options", lambda _w: otp.send(5, "x", metadata={"a": 1})),
    no_address("broadcast", lambda w: otp.broadcast([w.ref, 5], "x")),
    no_address("set_breaker", lambda _w: otp.set_breaker(5, None)),
    no_address("send_nowait", lambda _w: otp.send_nowait(5, "x")),
    no_address("send_after", lambda _w: otp.send_after(1, 5, "x")),
    no_address("send_exit", lambda _w: otp.send_exit(5, "x")),
    no_address("kill", lambda _w: otp.kill(5)),
    no_address("stop", lambda _w: otp.stop(5)),
    no_address("stop_nowait", lambda _w: otp.stop_nowait(5)),
    no_address("get_state", lambda _w: otp.get_state(5)),
    no_address("process_info", lambda _w: otp.process_info(5)),
    no_address("whereis", lambda _w: otp.whereis("counter"), "'counter'"),
    no_address("register", lambda _w: otp.register(Name("x"), 5)),
    no_address("handle", lambda _w: otp.SupervisorHandle(5).which_children()),
    no_address("shutdown", lambda _w: otp.SupervisorHandle("top").shutdown(), "'top'"),
    no_address("monitors of", lambda _w: otp.list_monitors(owner=5)),
    no_address("monitors on", lambda _w: otp.list_monitors(target="x"), "'x'"),
    invalid("monitors tag", lambda _w: otp.list_monitors(tag=[]), "tag=[]: must be hashable"),
    invalid("monitors age", lambda _w: otp.list_monitors(older_than=-1), f"older_than=-1: {SECONDS}"),
    invalid("leaks age", lambda _w: otp.find_leaks(NAN), f"older_than=nan: {SECONDS}"),
    # sends
    invalid(
        "send retries",
        lambda w: otp.send(w.ref, "x", retries=-1),
        "retries=-1: must be a whole number >= 0 or math.inf",
    ),
    invalid("send backoff", lambda w: otp.send(w.ref, "x", backoff=1.0), "backoff=1.0: must be a Backoff"),
    invalid(
        "send on_error",
        lambda w: otp.send(w.ref, "x", on_error="retry"),
        "on_error='retry': must be one of 'raise', 'log', 'dead_letter', 'ignore'",
    ),
    invalid(
        "send confirm",
        lambda w: otp.send(w.ref, "x", confirm=True),
        "confirm=True: must be one of 'enqueued', 'handled'",
    ),
    invalid(
        "send within",
        lambda w: otp.send(w.ref, "x", within=0),
        "within=0: must be a number of seconds > 0 (send_nowait does not wait)",
    ),
    invalid("send metadata", lambda w: otp.send(w.ref, "x", metadata="x"), "metadata='x': must be a mapping"),
    invalid("send key", lambda w: otp.send(w.ref, "x", idempotency_key=5), "idempotency_key=5: must be a text"),
    Case(
        "send option",
        lambda w: otp.send(w.ref, "x", retry=1),
        TypeError,
        "send() got an unexpected keyword argument 'retry'",
    ),
    invalid(
        "broadcast strategy",
        lambda w: otp.broadcast([w.ref], "x", strategy="all"),
        "strategy='all': must be one of 'best_effort', 'at_least_one', 'all_or_nothing'",
    ),
    invalid(
        "broadcast recipients",
        lambda w: otp.broadcast(w.ref, "x"),
        "recipients={ref}: must be a collection of addresses",
    ),
    invalid("breaker", lambda w: otp.set_breaker(w.ref, 5), "breaker=5: must be a CircuitBreaker"),
    # names
    invalid("register text", lambda w: otp.register("x", w.ref), "name='x': must be a Name"),
    invalid("unregister ref", lambda w: otp.unregister(w.ref), "name={ref}: must be a Name"),
    Case("unregister nobody", lambda _w: otp.unregister(Name("x")), NoProcess, "unregister: no process at x"),
    Case(
        "second name",
        lambda w: otp.register(Name("x"), w.ref),
        otp.AlreadyNamed,
        "{ref} is registered as 'counter' already; unregister that first",
    ),
    Case(
        "taken name",
        lambda w: otp.register(Name("counter"), w.function),
        otp.NameTaken,
        "name 'counter' is taken by {ref}",
    ),
    Case(
        "spawn taken name",
        lambda _w: otp.spawn(trio.sleep, 1, name=Name("counter")),
        otp.NameTaken,
        "name 'counter' is taken by {ref}",
    ),
    Case(
        "start taken name",
        lambda _w: otp.start(Counter, name=Name("counter")),
        otp.AlreadyStarted,
        "'counter' is started already: {ref}",
    ),
    # starting
    invalid("spawn 5", lambda _w: otp.spawn(5), f"factory=5: {NOT_CALLABLE}"),
    invalid("spawn coroutine", lambda w: otp.spawn(w.coroutine()), "factory={coroutine}: " + NOT_CALLABLE),
    invalid("spawn name", lambda _w: otp.spawn(trio.sleep, 1, name="x"), f"name='x': {NO_NAME}"),
    invalid("spawn mailbox", lambda _w: otp.spawn(trio.sleep, 1, mailbox=5), "mailbox=5: must be a MailboxOptions"),
    invalid("spawn trap", lambda _w: otp.spawn(trio.sleep, 1, trap_exits=1), "trap_exits=1: must be True or False"),
    invalid("start 5", lambda _w: otp.start(5), f"factory=5: {NOT_CALLABLE}"),
    invalid("start server object", lambda _w: otp.start(World()), f"factory={World()!r}: {NOT_CALLABLE}"),
    invalid("start within", lambda _w: otp.start(Counter, within=-1), f"within=-1: {SECONDS}"),
    invalid("start a coroutine", lambda w: w.supervisor.start(w.coroutine()), "factory={coroutine}: " + NOT_CALLABLE),
    Case(
        "unknown start option",
        lambda w: w.supervisor.start(Counter, colour="red"),
        TypeError,
        "child() got an unexpected keyword argument 'colour'",
    ),
    invalid(
        "when_full", lambda w: w.supervisor.start(Counter, when_full=1), "when_full=1: must be one of 'fail', 'wait'"
    ),
    # supervisors
    invalid(
        "start_child 5",
        lambda w: w.supervisor.start_child(5),
        "spec=(5,): must be a ChildSpec; only a simple_one_for_one template takes arguments",
        asks=True,
    ),
    Case(
        "id in use",
        lambda w: w.supervisor.start(Counter, id="counter"),
        otp.AlreadyStarted,
        "'counter' is started already: {ref}",
        asks=True,
    ),
    Case(
        "unknown child",
        lambda w: w.supervisor.terminate_child("x"),
        otp.ChildNotFound,
        "child 'x' is not a child of this supervisor",
        asks=True,
    ),
    Case(
        "restart a running child",
        lambda w: w.supervisor.restart_child("counter"),
        otp.ChildRunning,
        "child 'counter' is running; terminate it first",
        asks=True,
    ),
    Case(
        "delete a running child",
        lambda w: w.supervisor.delete_child("counter"),
        otp.ChildRunning,
        "child 'counter' is running; terminate it first",
        asks=True,
    ),
    invalid("terminate a list", lambda w: w.supervisor.terminate_child([]), "id=[]: must be hashable"),
    invalid("restart a dict", lambda w: w.supervisor.restart_child({}), "id={{}}: must be hashable"),
    Case(
        "id of a dynamic child",
        lambda w: w.pool.terminate_child("x"),
        otp.NotForDynamic,
        "terminate_child: children of a simple_one_for_one supervisor have no ids; use their refs",
        asks=True,
    ),
    Case(
        "full",
        lambda w: w.pool.start(Counter),
        otp.MaxChildrenReached,
        "the supervisor has all the children it may have: max_children=1",
        asks=True,
    ),
    invalid(
        "handle of a server",
        lambda w: otp.SupervisorHandle(w.ref).count_children(),
        "address={ref}: must be the address of a supervisor",
    ),
    invalid(
        "shutdown of a function",
        lambda w: otp.SupervisorHandle(w.function).shutdown(),
        "address={function}: must be the address of a supervisor",
    ),
    # operations
    Case("arguments", lambda w: Counter.add(w.ref), TypeError, "Counter.add(): missing a required argument: 'amount'"),
    Case("too many", lambda w: Counter.reset(w.ref, 1, 2), TypeError, "Counter.reset(): too many positional arguments"),
    Case(
        "unknown keyword",
        lambda w: Counter.add(w.ref, amount=1, by=2),
        TypeError,
        "Counter.add(): got an unexpected keyword argument 'by'",
    ),
    Case(
        "call of a supervisor",
        lambda w: Counter.add(w.pool.address, 1),
        otp.UnknownOperation,
        "{pool} has no handler for Counter.add",
        asks=True,
    ),
    Case(
        "state of a supervisor",
        lambda w: otp.get_state(w.pool.address),
        TypeError,
        "get_state: {pool} is no GenServer, it does not read system messages",
    ),
    Case(
        "suspend a function",
        lambda w: otp.suspend(w.function),
        TypeError,
        "suspend: {function} is no GenServer, it does not read system messages",
    ),
    invalid("replace by 5", lambda w: otp.replace_state(w.ref, 5), f"function=5: {NOT_CALLABLE}"),
    invalid("trace to 5", lambda w: otp.trace(w.ref, 5), f"sink=5: {NOT_CALLABLE}"),
    Case(
        "replace by another kind",
        lambda w: otp.replace_state(w.ref, lambda _server: 5),
        TypeError,
        "replace_state: the function returned 5, not a Counter",
        asks=True,
    ),
    invalid("set timeouts", lambda _w: otp.set_timeouts(5), "policy=5: must be a Timeouts"),
    invalid(
        "timeout of a pattern",
        lambda _w: otp.get_timeout("*.add"),
        "identifier='*.add': must name one operation; this is a pattern",
    ),
    invalid(
        "timeout of a cast",
        lambda _w: otp.explain_timeout(Counter.reset),
        "identifier=<client of Counter.reset>: is a cast, which waits for nothing; ask with kind='handler'",
    ),
    Case(
        "unknown override",
        lambda _w: otp.override_timeouts(defualt=1).__enter__(),
        TypeError,
        "override_timeouts() got an unexpected keyword argument 'defualt'; did you mean 'default'?",
    ),
    invalid(
        "call with a text",
        lambda w: otp.call_with_timeout(w.ref, "add"),
        "message='add': must be a request as a value, made with Server.operation.message(...)",
    ),
    invalid("state within", lambda w: otp.get_state(w.ref, within="5"), f"within='5': {SECONDS}"),
    # time
    invalid("delay < 0", lambda w: otp.send_after(-1, w.ref, "x"), f"delay=-1: {SECONDS}"),
    invalid("delay text", lambda w: otp.send_after("1", w.ref, "x"), f"delay='1': {SECONDS}"),
    invalid("period of 0", lambda w: otp.send_interval(0, w.ref, "x"), "period=0: must be a number of seconds > 0"),
    invalid("stop within", lambda w: otp.stop(w.ref, within=NAN), f"within=nan: {SECONDS}"),
    Case("send nobody", lambda _w: otp.send_nowait(Name("x"), 1), NoProcess, "send_nowait: no process at x"),
    Case("call nobody", lambda _w: Counter.add(Name("x"), 1), NoProcess, "Counter.add: no process at x"),
    Case("stop nobody", lambda _w: otp.stop(Name("x")), NoProcess, "stop: no process at x"),
]
