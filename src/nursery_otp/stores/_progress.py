"""One message on its way to text: how much more it may hold, and what is in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from nursery_otp.stores._writing import Writers

MOST_DEEP = 200
MOST_LONG = 64 * 2**20  # characters of JSON, about
LONG_PLACE = 200  # characters
TOO_LONG = f"the message is longer than {MOST_LONG // 2**20} MiB"


class Problem(Exception):
    """What cannot be stored, on its way up to the message; it collects where it was."""

    def __init__(self, text: str, culprit: object) -> None:
        super().__init__(text)
        self.text = text
        self.culprit = culprit
        self.steps: list[str] = []
        self.containers: list[object] = []

    def inside(self, container: object, step: str) -> Problem:
        """Note that the problem is in `container`, at `step`."""
        self.steps.append(step)
        self.containers.append(container)
        self.culprit = container
        return self

    def place(self) -> str:
        """Where it is, as one would write it in Python; in a structure that contains itself, where it begins again."""
        seen: set[int] = set()
        steps = ""
        for container, step in zip(reversed(self.containers), reversed(self.steps), strict=True):
            if id(container) in seen:
                self.text = "the structure contains itself"
                break
            seen.add(id(container))
            steps += step
        place = steps.removeprefix(".") if steps.startswith((".args", ".kwargs")) else f"message{steps}"
        return place if len(place) <= LONG_PLACE else f"{place[: LONG_PLACE // 2]}...{place[-LONG_PLACE // 2 :]}"


class Writing:
    """One message on its way to text: how deep it is by now, and how much more it may hold.

    The values to begin with are those of the class, as one is made for every message; see `Writers`.
    """

    table: Writers
    deep = 0
    left = MOST_LONG

    def enter(self, container: object, size: int) -> None:
        """Begin a container with `size` elements."""
        self.deep += 1
        self.left -= 32 + 4 * size  # also a bound for the memory and the time that a web of shared parts takes
        if self.left < 0 or self.deep > MOST_DEEP:
            self.refuse(container)

    def refuse(self, container: object) -> NoReturn:
        """Say which bound is exceeded."""
        if self.deep > MOST_DEEP:
            raise Problem(f"nested more than {MOST_DEEP} deep", container)
        raise Problem(TOO_LONG, container)
