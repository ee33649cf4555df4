"""Wrong values: found where they are made, outside of any tree."""

import math

import attrs
import trio

import nursery_otp as otp
from nursery_otp import Name, NoRuntime
from tests.bad_input.world import NO_NAME, NOT_CALLABLE, SECONDS, Case, Counter, Mixin, invalid

METHODS = "@call and @cast are for methods written with def or async def, not for"
OWN_NAME = "is a name of GenServer's own and cannot be a request"
NO_TREE = "needs a running supervision tree: use it inside 'async with open_supervisor()'"
NAN = math.nan


def made(name, **attributes):
    """A class definition that does not hold."""
    return lambda _w: type(name, (otp.GenServer,), attributes)


def opened(**options):
    return lambda _w: otp.open_supervisor(**options)


ANYWHERE = [
    # delivery
    invalid("breaker failures", lambda _w: otp.CircuitBreaker(failures=0), "failures=0: must be a whole number >= 1"),
    invalid(
        "breaker cool_down", lambda _w: otp.CircuitBreaker(cool_down=0), "cool_down=0: must be a number of seconds > 0"
    ),
    invalid("delivery breaker", lambda _w: otp.DeliveryOptions(breaker=5), "breaker=5: must be a CircuitBreaker"),
    invalid("delivery", opened(delivery=5), "delivery=5: must be a DeliveryOptions"),
    # child specifications
    invalid("child of 5", lambda _w: otp.child(5), f"factory=5: {NOT_CALLABLE}"),
    invalid("child of a coroutine", lambda w: otp.child(w.coroutine()), "factory={coroutine}: " + NOT_CALLABLE),
    invalid("unhashable id", lambda _w: otp.child(Counter, id=[]), "id=[]: must be hashable"),
    invalid("child name text", lambda _w: otp.child(Counter, name="x"), f"name='x': {NO_NAME}"),
    invalid(
        "restart word",
        lambda _w: otp.child(Counter, restart="always"),
        "restart='always': must be one of 'permanent', 'transient', 'temporary'",
    ),
    invalid(
        "shutdown word",
        lambda _w: otp.child(Counter, shutdown="brutal_kill"),
        "shutdown='brutal_kill': must be a number of seconds >= 0, math.inf or 'kill'",
    ),
    invalid("shutdown < 0", lambda _w: otp.child(Counter, shutdown=-1), f"shutdown=-1: {SECONDS}, math.inf or 'kill'"),
    invalid(
        "shutdown NaN", lambda _w: otp.child(Counter, shutdown=NAN), f"shutdown=nan: {SECONDS}, math.inf or 'kill'"
    ),
    invalid(
        "shutdown bool", lambda _w: otp.child(Counter, shutdown=True), f"shutdown=True: {SECONDS}, math.inf or 'kill'"
    ),
    invalid("kind", lambda _w: otp.child(Counter, kind="x"), "kind='x': must be one of 'worker', 'supervisor'"),
    invalid(
        "permanent and significant",
        lambda _w: otp.child(Counter, significant=True),
        "significant=True: a permanent child always comes back, so it cannot be",
    ),
    invalid(
        "significant number",
        lambda _w: otp.child(Counter, restart="transient", significant=1),
        "significant=1: must be True or False",
    ),
    invalid("service word", lambda _w: otp.child(Counter, service="yes"), "service='yes': must be True or False"),
    invalid("child trap", lambda _w: otp.child(Counter, trap_exits=1), "trap_exits=1: must be True or False"),
    invalid("child mailbox", lambda _w: otp.child(Counter, mailbox=9), "mailbox=9: must be a MailboxOptions"),
    invalid("child backoff", lambda _w: otp.child(Counter, backoff=1), "backoff=1: must be a Backoff or None"),
    Case(
        "unknown child option",
        lambda _w: otp.child(Counter, colour="red"),
        TypeError,
        "child() got an unexpected keyword argument 'colour'",
    ),
    invalid("spec name", lambda _w: otp.ChildSpec(factory=Counter, name="x"), f"name='x': {NO_NAME}"),
    invalid("spec args", lambda _w: otp.ChildSpec(factory=Counter, args=5), "args=5: must be a tuple"),
    Case(
        "spec is frozen",
        lambda _w: setattr(otp.child(Counter), "id", 5),
        attrs.exceptions.FrozenInstanceError,
        "can't set attribute",
    ),
    # supervisors
    invalid(
        "strategy",
        opened(strategy="all"),
        "strategy='all': must be one of 'one_for_one', 'one_for_all', 'rest_for_one', 'simple_one_for_one'",
    ),
    invalid("restarts < 0", opened(max_restarts=-1), "max_restarts=-1: must be a whole number >= 0 or math.inf"),
    invalid("restarts bool", opened(max_restarts=True), "max_restarts=True: must be a whole number >= 0 or math.inf"),
    invalid("restarts half", opened(max_restarts=0.5), "max_restarts=0.5: must be a whole number >= 0 or math.inf"),
    invalid("period 0", opened(period=0), "period=0: must be a number of seconds > 0"),
    invalid("period NaN", opened(period=NAN), "period=nan: must be a number of seconds > 0"),
    invalid("period text", opened(period="5"), "period='5': must be a number of seconds > 0"),
    invalid(
        "auto_shutdown",
        opened(auto_shutdown="yes"),
        "auto_shutdown='yes': must be one of 'never', 'any_significant', 'all_significant'",
    ),
    invalid(
        "limit of a static one",
        opened(max_children=3),
        "max_children=3: only a simple_one_for_one supervisor has a limit",
    ),
    invalid(
        "limit < 0",
        opened(strategy="simple_one_for_one", max_children=-1),
        "max_children=-1: must be a whole number >= 0 or math.inf",
    ),
    invalid("root name", opened(name="top"), "name='top': must be a Name"),
    invalid("timeouts", opened(timeouts=5), "timeouts=5: must be a Timeouts"),
    invalid("monitors", opened(monitors=5), "monitors=5: must be a MonitorOptions"),
    invalid(
        "leak_after 0", lambda _w: otp.MonitorOptions(leak_after=0), "leak_after=0: must be a number of seconds > 0"
    ),
    invalid("stacks 1", lambda _w: otp.MonitorOptions(stacks=1), "stacks=1: must be True or False"),
    invalid("root follow", opened(follow_caller=1), "follow_caller=1: must be True or False"),
    invalid("seed", opened(seed=[]), "seed=[]: must be a whole number >= 0"),
    invalid(
        "children 5",
        opened(children=5),
        "children=5: must be child specifications; make them with child(factory, *args)",
    ),
    invalid(
        "children of classes",
        opened(children=[Counter]),
        "children={Counter}: must be a ChildSpec; make one with child(factory, *args)",
    ),
    invalid(
        "same id",
        opened(children=[otp.child(Counter, id=1), otp.child(Counter, id=1)]),
        "id=1: duplicate id: each child of a supervisor needs its own",
    ),
    invalid(
        "significant for nothing",
        opened(children=[otp.child(Counter, restart="temporary", significant=True)]),
        "significant=True: the supervisor's auto_shutdown is 'never'",
    ),
    Case(
        "unknown root option",
        opened(intensity=3),
        TypeError,
        "open_supervisor() got an unexpected keyword argument 'intensity'",
    ),
    Case(
        "with",
        lambda _w: otp.open_supervisor().__enter__(),
        RuntimeError,
        "use 'async with open_supervisor(...)', not 'with'",
    ),
    invalid(
        "check auto_shutdown",
        lambda _w: otp.check_childspecs([], "x"),
        "auto_shutdown='x': must be one of 'never', 'any_significant', 'all_significant'",
    ),
    invalid(
        "check 5",
        lambda _w: otp.check_childspecs(5),
        "children=5: must be child specifications; make them with child(factory, *args)",
    ),
    # option values
    invalid("default 0", lambda _w: otp.Timeouts(default=0), "default=0: must be a number of seconds > 0"),
    invalid("handler < 0", lambda _w: otp.Timeouts(handler=-1), "handler=-1: must be a number of seconds > 0"),
    invalid(
        "while_restarting",
        lambda _w: otp.Timeouts(while_restarting="no"),
        "while_restarting='no': must be one of 'wait', 'fail'",
    ),
    Case(
        "unknown timeout",
        lambda _w: otp.Timeouts(call=5),
        TypeError,
        "Timeouts.__init__() got an unexpected keyword argument 'call'",
    ),
    invalid("rules", lambda _w: otp.Timeouts(rules=5), "rules=5: must be a mapping"),
    invalid(
        "rule of a value",
        lambda _w: otp.Timeouts(rules={Counter.add: 0}),
        "rules[Counter.add]=0: must be a number of seconds > 0 or the name of a tier (default, long, critical)",
    ),
    invalid(
        "unknown tier",
        lambda _w: otp.Timeouts(handler_rules={Counter: "lnog"}),
        "handler_rules[Counter]='lnog': is no tier; there are default, long, critical; did you mean 'long'?",
    ),
    invalid(
        "rule for a number",
        lambda _w: otp.Timeouts(rules={5: 1}),
        "rules=5: must be a server class, a client function such as Counter.divide, text, or a tuple",
    ),
    invalid(
        "rules that contradict",
        lambda _w: otp.Timeouts(rules={"a*.x": 1, "*b.x": 2}),
        "rules['*b.x']=2: and 'a*.x' = 1 match some operations both, and neither is the more specific one; "
        "give one of them more parts without '*', or let them not meet",
    ),
    invalid("timeout factor", lambda _w: otp.Timeouts(factor=0), "factor=0: must be a number from 1e-06 to 1e+06"),
    invalid("load base", lambda _w: otp.load_timeouts(base=5), "base=5: must be a Timeouts"),
    invalid(
        "load environment",
        lambda _w: otp.load_timeouts(environ={"NURSERY_OTP_TIMEOUT__DEFUALT": "5"}),
        "NURSERY_OTP_TIMEOUT__DEFUALT='5': is no setting of nursery_otp; did you mean 'NURSERY_OTP_TIMEOUT__DEFAULT'?",
    ),
    invalid("initial 0", lambda _w: otp.Backoff(initial=0), "initial=0: must be a number of seconds > 0"),
    invalid("factor", lambda _w: otp.Backoff(factor=0.5), "factor=0.5: must be a number >= 1 and finite"),
    invalid("jitter", lambda _w: otp.Backoff(jitter=1), "jitter=1: must be a number >= 0 and < 1"),
    invalid("maximum", lambda _w: otp.Backoff(maximum=NAN), "maximum=nan: must be a number of seconds > 0"),
    invalid("stable", lambda _w: otp.Backoff(stable_after=-1), f"stable_after=-1: {SECONDS}"),
    invalid(
        "capacity 0", lambda _w: otp.MailboxOptions(capacity=0), "capacity=0: must be a whole number >= 1 or math.inf"
    ),
    invalid(
        "overflow",
        lambda _w: otp.MailboxOptions(overflow="drop"),
        "overflow='drop': must be one of 'block', 'drop_newest', 'drop_oldest', 'reject', 'crash'",
    ),
    invalid("mailbox kind", lambda _w: otp.MailboxOptions(kind="x"), "kind='x': must be one of 'lean', 'channel'"),
    invalid("empty name", lambda _w: Name(""), "name='': must be a text that is not empty"),
    invalid("name 5", lambda _w: Name(5), "name=5: must be a text that is not empty"),
    Case("name is frozen", lambda _w: setattr(Name("x"), "text", "y"), AttributeError, "Name is immutable: text"),
    # what callbacks say
    invalid("idle < 0", lambda _w: otp.Idle(-1), f"seconds=-1: {SECONDS}"),
    invalid("idle NaN", lambda _w: otp.Idle(NAN), f"seconds=nan: {SECONDS}"),
    invalid("idle bool", lambda _w: otp.Idle(False), f"seconds=False: {SECONDS}"),
    invalid("answer then", lambda _w: otp.answer(1, then=5), "then=5: must be None, Continue, Idle or Stop"),
    invalid("pending then", lambda _w: otp.Later().pending(then=5), "then=5: must be None, Continue, Idle or Stop"),
    invalid("refuse text", lambda _w: otp.Refuse("no"), "error='no': must be an exception, which the caller gets"),
    invalid(
        "refuse class",
        lambda _w: otp.Refuse(KeyError),
        "error=<class 'KeyError'>: must be an exception, which the caller gets",
    ),
    # handlers
    Case("call 5", lambda _w: otp.call(5), TypeError, f"{METHODS} 5"),
    Case("cast 5", lambda _w: otp.cast(5), TypeError, f"{METHODS} 5"),
    Case("call of print", lambda _w: otp.call(print), TypeError, f"{METHODS} <built-in function print>"),
    invalid(
        "call option",
        lambda _w: otp.call(follow_caller=1)(lambda self: 1),
        "follow_caller=1: must be True or False",
    ),
    Case("handler init", made("Bad", init=otp.call(lambda self: 1)), TypeError, f"Bad.init {OWN_NAME}"),
    Case("handler trap", made("Bad", trap_exits=otp.call(lambda self: 1)), TypeError, f"Bad.trap_exits {OWN_NAME}"),
    Case("cast terminate", made("Bad", terminate=otp.cast(lambda self: None)), TypeError, f"Bad.terminate {OWN_NAME}"),
    Case(
        "handle_call",
        made("Bad", handle_call=lambda self, message, caller: 1),
        TypeError,
        "Bad.handle_call would never be used by a GenServer: mark a method for each request with @call",
    ),
    Case(
        "max_restart",
        lambda _w: type("Bad", (otp.Supervisor,), {"max_restart": 5}),
        TypeError,
        "Bad.max_restart would never be used by a Supervisor: it is called 'max_restarts'",
    ),
    Case(
        "handler outside of a server",
        lambda _w: Mixin.lonely,
        TypeError,
        "Mixin.lonely: @call and @cast only work in the body of a GenServer class",
    ),
    Case("call without", lambda _w: Counter.add(Name("x"), 1), NoRuntime, f"Counter.add {NO_TREE}"),
    Case("cast without", lambda _w: Counter.reset(Name("x")), NoRuntime, f"the name 'x' {NO_TREE}"),
    invalid("within < 0", lambda _w: Counter.add.within(-1), f"within=-1: {SECONDS}"),
    invalid("within NaN", lambda _w: Counter.add.within(NAN), f"within=nan: {SECONDS}"),
    invalid("within bool", lambda _w: Counter.add.within(True), f"within=True: {SECONDS}"),
    Case(
        "message without",
        lambda _w: Counter.add.message(),
        TypeError,
        "Counter.add(): missing a required argument: 'amount'",
    ),
    # outside of any tree, outside of any process
    Case("runtime", lambda _w: otp.current_runtime(), NoRuntime, f"current_runtime() {NO_TREE}"),
    Case("spawn", lambda _w: otp.spawn(trio.sleep, 1), NoRuntime, f"spawn() {NO_TREE}"),
    Case("start", lambda _w: otp.start(Counter), NoRuntime, f"start() {NO_TREE}"),
    Case("whereis", lambda _w: otp.whereis(Name("x")), NoRuntime, f"the name 'x' {NO_TREE}"),
    Case(
        "empty collection",
        lambda _w: otp.RequestCollection().receive(),
        LookupError,
        "no request is left in the collection",
    ),
    invalid("collect 5", lambda _w: otp.RequestCollection().add(5, "x"), "request=5: must be a Request"),
]
