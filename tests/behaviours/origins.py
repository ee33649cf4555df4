"""Every callback that may say what to do next, and how a test makes it say something."""

from nursery_otp import Continue, Later, answer, cast, send_nowait, start
from tests.behaviours.stage import Puppet, play, settle


class Server(Puppet):
    """A puppet with options by position, as `start` wants them, and a request that only continues."""

    def __init__(self, diary, init=None, terminate=None):
        super().__init__(diary, init=init, terminate=terminate)

    @cast
    def then(self, act):
        """Continue with `act`."""
        return Continue(act)


def _asynchronous(act):
    async def later(server):
        return await settle(play(act, server))

    return later


def _answering(act):
    return lambda server: answer("ok", then=play(act, server))


def _answering_later(act):
    async def later(server):
        return answer("ok", then=await settle(play(act, server)))

    return later


def _pending(act):
    def put_off(server):
        server.later = Later()
        return server.later.pending(then=play(act, server))

    return put_off


_TRIGGERS = {
    "call": lambda ref, act: Server.ask.request(ref, _answering(act)),
    "async call": lambda ref, act: Server.ask_async.request(ref, _answering_later(act)),
    "pending call": lambda ref, act: Server.ask.request(ref, _pending(act)),
    "cast": lambda ref, act: Server.tell(ref, act),
    "async cast": lambda ref, act: Server.tell_async(ref, _asynchronous(act)),
    "info": lambda ref, act: send_nowait(ref, act),
    "async info": lambda ref, act: send_nowait(ref, _asynchronous(act)),
    "continue": lambda ref, act: Server.then(ref, act),
    "async continue": lambda ref, act: Server.then(ref, _asynchronous(act)),
}
ORIGINS = ["init", *_TRIGGERS]
CALLBACKS = {
    "init": "init",
    "call": "Server.ask",
    "async call": "Server.ask_async",
    "pending call": "Server.ask",
    "cast": "tell",
    "async cast": "tell_async",
    "info": "handle_info",
    "async info": "handle_info",
    "continue": "handle_continue",
    "async continue": "handle_continue",
}


async def started(origin, act, diary, *, terminate=None):
    """A server without a supervisor, one of whose callbacks has been told to play `act`."""
    if origin == "init":
        return await start(Server, diary, act, terminate)
    ref = await start(Server, diary, None, terminate)
    _TRIGGERS[origin](ref, act)
    return ref
