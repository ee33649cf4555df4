"""nursery_otp: Erlang/OTP for Trio.

Layout: `_policy` decides (pure values, no Trio), `_runtime` acts (tasks, mailboxes, cancel scopes), `_behaviours` gives
the shapes people use (servers, supervisors). Imports point down only. This file exports the public names and nothing
else.
"""

from nursery_otp._behaviours.children import ChildCount as ChildCount
from nursery_otp._behaviours.children import ChildInfo as ChildInfo
from nursery_otp._behaviours.gen_server import GenServer as GenServer
from nursery_otp._behaviours.instructions import (
    Continue as Continue,
)
from nursery_otp._behaviours.instructions import (
    Idle as Idle,
)
from nursery_otp._behaviours.instructions import (
    IdleTimeout as IdleTimeout,
)
from nursery_otp._behaviours.instructions import (
    Later as Later,
)
from nursery_otp._behaviours.instructions import (
    Next as Next,
)
from nursery_otp._behaviours.instructions import (
    Refuse as Refuse,
)
from nursery_otp._behaviours.instructions import (
    answer as answer,
)
from nursery_otp._behaviours.instructions import (
    caller_gone as caller_gone,
)
from nursery_otp._behaviours.operations import (
    ClientCall as ClientCall,
)
from nursery_otp._behaviours.operations import (
    ClientCast as ClientCast,
)
from nursery_otp._behaviours.operations import (
    call as call,
)
from nursery_otp._behaviours.operations import (
    cast as cast,
)
from nursery_otp._behaviours.server_loop import TraceEvent as TraceEvent
from nursery_otp._behaviours.supervisor import (
    Supervisor as Supervisor,
)
from nursery_otp._behaviours.supervisor import (
    SupervisorHandle as SupervisorHandle,
)
from nursery_otp._behaviours.supervisor import (
    child as child,
)
from nursery_otp._behaviours.system import (
    Status as Status,
)
from nursery_otp._behaviours.system import (
    get_state as get_state,
)
from nursery_otp._behaviours.system import (
    get_status as get_status,
)
from nursery_otp._behaviours.system import (
    replace_state as replace_state,
)
from nursery_otp._behaviours.system import (
    resume as resume,
)
from nursery_otp._behaviours.system import (
    suspend as suspend,
)
from nursery_otp._behaviours.system import (
    trace as trace,
)
from nursery_otp._behaviours.timed_calls import call_with_timeout as call_with_timeout
from nursery_otp._behaviours.tree import open_supervisor as open_supervisor
from nursery_otp._policy.breaker import (
    CircuitBreaker as CircuitBreaker,
)
from nursery_otp._policy.dead_letters import (
    AutomaticRetry as AutomaticRetry,
)
from nursery_otp._policy.dead_letters import (
    DeadLetter as DeadLetter,
)
from nursery_otp._policy.dead_letters import (
    DeadLetterOptions as DeadLetterOptions,
)
from nursery_otp._policy.dead_letters import (
    DeadLetterStatistics as DeadLetterStatistics,
)
from nursery_otp._policy.dead_letters import (
    FormerRecipient as FormerRecipient,
)
from nursery_otp._policy.dead_letters import (
    RetryReport as RetryReport,
)
from nursery_otp._policy.dead_letters import (
    UnreadableMessage as UnreadableMessage,
)
from nursery_otp._policy.delivery import (
    BroadcastResult as BroadcastResult,
)
from nursery_otp._policy.delivery import (
    Delivery as Delivery,
)
from nursery_otp._policy.delivery import (
    DeliveryOptions as DeliveryOptions,
)
from nursery_otp._policy.delivery import (
    DeliveryStatistics as DeliveryStatistics,
)
from nursery_otp._policy.events import (
    CALL_RESULTS as CALL_RESULTS,
)
from nursery_otp._policy.events import (
    EVENTS as EVENTS,
)
from nursery_otp._policy.events import (
    HANDLE_RESULTS as HANDLE_RESULTS,
)
from nursery_otp._policy.events import (
    Event as Event,
)
from nursery_otp._policy.events import (
    SpanEvents as SpanEvents,
)
from nursery_otp._policy.exits import (
    KILLED as KILLED,
)
from nursery_otp._policy.exits import (
    NOPROC as NOPROC,
)
from nursery_otp._policy.exits import (
    NORMAL as NORMAL,
)
from nursery_otp._policy.exits import (
    SHUTDOWN as SHUTDOWN,
)
from nursery_otp._policy.exits import (
    Crashed as Crashed,
)
from nursery_otp._policy.exits import (
    ExitReason as ExitReason,
)
from nursery_otp._policy.exits import (
    Failed as Failed,
)
from nursery_otp._policy.exits import (
    Killed as Killed,
)
from nursery_otp._policy.exits import (
    NoProc as NoProc,
)
from nursery_otp._policy.exits import (
    Normal as Normal,
)
from nursery_otp._policy.exits import (
    Shutdown as Shutdown,
)
from nursery_otp._policy.exits import (
    is_normal as is_normal,
)
from nursery_otp._policy.letters import (
    AddLetter as AddLetter,
)
from nursery_otp._policy.letters import (
    LetterChange as LetterChange,
)
from nursery_otp._policy.letters import (
    LetterRecord as LetterRecord,
)
from nursery_otp._policy.letters import (
    LetterStore as LetterStore,
)
from nursery_otp._policy.letters import (
    OpenedStore as OpenedStore,
)
from nursery_otp._policy.letters import (
    RemoveLetter as RemoveLetter,
)
from nursery_otp._policy.letters import (
    UpdateLetter as UpdateLetter,
)
from nursery_otp._policy.letters import (
    check_letter as check_letter,
)
from nursery_otp._policy.mailboxes import MailboxOptions as MailboxOptions
from nursery_otp._policy.monitors import MonitorOptions as MonitorOptions
from nursery_otp._policy.monitors import MonitorStatistics as MonitorStatistics
from nursery_otp._policy.restarts import Backoff as Backoff
from nursery_otp._policy.specs import ChildSpec as ChildSpec
from nursery_otp._policy.specs import check_childspecs as check_childspecs
from nursery_otp._policy.supervision import AutoShutdown as AutoShutdown
from nursery_otp._policy.supervision import FailedToStart as FailedToStart
from nursery_otp._policy.timeout_explained import ShadowedRule as ShadowedRule
from nursery_otp._policy.timeout_explained import TimeoutExplanation as TimeoutExplanation
from nursery_otp._policy.timeout_patterns import ANY as ANY
from nursery_otp._policy.timeouts import Timeouts as Timeouts
from nursery_otp._runtime.breakers import (
    set_breaker as set_breaker,
)
from nursery_otp._runtime.broadcasting import (
    broadcast as broadcast,
)
from nursery_otp._runtime.calls import Call as Call
from nursery_otp._runtime.causes import Explanation as Explanation
from nursery_otp._runtime.causes import Incident as Incident
from nursery_otp._runtime.census import Census as Census
from nursery_otp._runtime.census import GroupCounts as GroupCounts
from nursery_otp._runtime.census import RuntimeCounts as RuntimeCounts
from nursery_otp._runtime.context import current_runtime as current_runtime
from nursery_otp._runtime.crash_reports import CrashReport as CrashReport
from nursery_otp._runtime.current import (
    ProcessInfo as ProcessInfo,
)
from nursery_otp._runtime.current import (
    current_message as current_message,
)
from nursery_otp._runtime.current import (
    current_ref as current_ref,
)
from nursery_otp._runtime.current import (
    mailbox as mailbox,
)
from nursery_otp._runtime.current import (
    process_context as process_context,
)
from nursery_otp._runtime.current import (
    process_info as process_info,
)
from nursery_otp._runtime.current import (
    shutdown_scope as shutdown_scope,
)
from nursery_otp._runtime.dead_letters import (
    DeadLetterQueue as DeadLetterQueue,
)
from nursery_otp._runtime.dead_letters import (
    dead_letters as dead_letters,
)
from nursery_otp._runtime.delivery import (
    delivery_statistics as delivery_statistics,
)
from nursery_otp._runtime.explaining import explain as explain
from nursery_otp._runtime.letter_events import LetterEvent as LetterEvent
from nursery_otp._runtime.links import (
    kill as kill,
)
from nursery_otp._runtime.links import (
    link as link,
)
from nursery_otp._runtime.links import (
    send_exit as send_exit,
)
from nursery_otp._runtime.links import (
    trap_exits as trap_exits,
)
from nursery_otp._runtime.links import (
    unlink as unlink,
)
from nursery_otp._runtime.mailbox import Mailbox as Mailbox
from nursery_otp._runtime.mailbox import MailboxStatistics as MailboxStatistics
from nursery_otp._runtime.messages import (
    Down as Down,
)
from nursery_otp._runtime.messages import (
    Exit as Exit,
)
from nursery_otp._runtime.messages import (
    Message as Message,
)
from nursery_otp._runtime.messages import (
    MessageInfo as MessageInfo,
)
from nursery_otp._runtime.monitor_manager import (
    find_leaks as find_leaks,
)
from nursery_otp._runtime.monitor_manager import (
    list_monitors as list_monitors,
)
from nursery_otp._runtime.monitor_manager import (
    monitor_stats as monitor_stats,
)
from nursery_otp._runtime.monitors import Monitor as Monitor
from nursery_otp._runtime.monitors import demonitor as demonitor
from nursery_otp._runtime.monitors import monitor as monitor
from nursery_otp._runtime.monitors import monitored as monitored
from nursery_otp._runtime.refs import (
    Address as Address,
)
from nursery_otp._runtime.refs import (
    Name as Name,
)
from nursery_otp._runtime.refs import (
    Ref as Ref,
)
from nursery_otp._runtime.refs import (
    Via as Via,
)
from nursery_otp._runtime.refs import (
    register as register,
)
from nursery_otp._runtime.refs import (
    unregister as unregister,
)
from nursery_otp._runtime.refs import (
    whereis as whereis,
)
from nursery_otp._runtime.requests import Request as Request
from nursery_otp._runtime.requests import RequestCollection as RequestCollection
from nursery_otp._runtime.runtime import Ledger as Ledger
from nursery_otp._runtime.runtime import Runtime as Runtime
from nursery_otp._runtime.sending import send as send
from nursery_otp._runtime.sending import send_nowait as send_nowait
from nursery_otp._runtime.spawning import (
    spawn as spawn,
)
from nursery_otp._runtime.spawning import (
    spawn_link as spawn_link,
)
from nursery_otp._runtime.spawning import (
    spawn_monitor as spawn_monitor,
)
from nursery_otp._runtime.spawning import (
    start as start,
)
from nursery_otp._runtime.spawning import (
    start_link as start_link,
)
from nursery_otp._runtime.spawning import (
    start_monitor as start_monitor,
)
from nursery_otp._runtime.stopping import stop as stop
from nursery_otp._runtime.stopping import stop_nowait as stop_nowait
from nursery_otp._runtime.telemetry import SpanEmitter as SpanEmitter
from nursery_otp._runtime.telemetry import Telemetry as Telemetry
from nursery_otp._runtime.timeout_control import (
    explain_timeout as explain_timeout,
)
from nursery_otp._runtime.timeout_control import (
    get_timeout as get_timeout,
)
from nursery_otp._runtime.timeout_control import (
    override_timeouts as override_timeouts,
)
from nursery_otp._runtime.timeout_control import (
    set_timeouts as set_timeouts,
)
from nursery_otp._runtime.timeout_files import load_timeouts as load_timeouts
from nursery_otp._runtime.timeout_report import (
    OperationTimeouts as OperationTimeouts,
)
from nursery_otp._runtime.timeout_report import (
    TimeoutReport as TimeoutReport,
)
from nursery_otp._runtime.timeout_report import (
    observe_timeouts as observe_timeouts,
)
from nursery_otp._runtime.timeout_report import (
    timeout_report as timeout_report,
)
from nursery_otp._runtime.timer import Timer as Timer
from nursery_otp._runtime.timer import send_after as send_after
from nursery_otp._runtime.timer import send_interval as send_interval
from nursery_otp._runtime.tracers import CombinedTracer as CombinedTracer
from nursery_otp._runtime.tracers import ContextVarTracer as ContextVarTracer
from nursery_otp._runtime.tracing import MessageKind as MessageKind
from nursery_otp._runtime.tracing import TracedMessage as TracedMessage
from nursery_otp._runtime.tracing import Tracer as Tracer
from nursery_otp.errors import (
    AlreadyNamed as AlreadyNamed,
)
from nursery_otp.errors import (
    AlreadyPresent as AlreadyPresent,
)
from nursery_otp.errors import (
    AlreadyStarted as AlreadyStarted,
)
from nursery_otp.errors import (
    BadReturn as BadReturn,
)
from nursery_otp.errors import (
    BroadcastFailed as BroadcastFailed,
)
from nursery_otp.errors import (
    CallExited as CallExited,
)
from nursery_otp.errors import (
    CallTimeout as CallTimeout,
)
from nursery_otp.errors import (
    CannotLoad as CannotLoad,
)
from nursery_otp.errors import (
    CannotStore as CannotStore,
)
from nursery_otp.errors import (
    ChildNotFound as ChildNotFound,
)
from nursery_otp.errors import (
    ChildRestarting as ChildRestarting,
)
from nursery_otp.errors import (
    ChildRunning as ChildRunning,
)
from nursery_otp.errors import (
    CircuitOpen as CircuitOpen,
)
from nursery_otp.errors import (
    Deadlock as Deadlock,
)
from nursery_otp.errors import (
    DeliveryTimeout as DeliveryTimeout,
)
from nursery_otp.errors import (
    HandlerTimeout as HandlerTimeout,
)
from nursery_otp.errors import (
    HiddenError as HiddenError,
)
from nursery_otp.errors import (
    Ignore as Ignore,
)
from nursery_otp.errors import (
    InvalidSpec as InvalidSpec,
)
from nursery_otp.errors import (
    LeakedResources as LeakedResources,
)
from nursery_otp.errors import (
    LetterNotFound as LetterNotFound,
)
from nursery_otp.errors import (
    MailboxFull as MailboxFull,
)
from nursery_otp.errors import (
    MailboxOverflow as MailboxOverflow,
)
from nursery_otp.errors import (
    MaxChildrenReached as MaxChildrenReached,
)
from nursery_otp.errors import (
    MissingExtra as MissingExtra,
)
from nursery_otp.errors import (
    NameTaken as NameTaken,
)
from nursery_otp.errors import (
    NoProcess as NoProcess,
)
from nursery_otp.errors import (
    NoRuntime as NoRuntime,
)
from nursery_otp.errors import (
    NotForDynamic as NotForDynamic,
)
from nursery_otp.errors import (
    NotInProcess as NotInProcess,
)
from nursery_otp.errors import (
    OTPError as OTPError,
)
from nursery_otp.errors import (
    ProcessDown as ProcessDown,
)
from nursery_otp.errors import (
    RestartLimitReached as RestartLimitReached,
)
from nursery_otp.errors import (
    StartFailed as StartFailed,
)
from nursery_otp.errors import (
    StartIgnored as StartIgnored,
)
from nursery_otp.errors import (
    StartTimeout as StartTimeout,
)
from nursery_otp.errors import (
    Stop as Stop,
)
from nursery_otp.errors import (
    StopTimeout as StopTimeout,
)
from nursery_otp.errors import (
    StoreError as StoreError,
)
from nursery_otp.errors import (
    SupervisorEnded as SupervisorEnded,
)
from nursery_otp.errors import (
    UnknownOperation as UnknownOperation,
)
