"""Does independent work in several threads, with results and errors in the order of the work.

For inputs, which mostly wait for a network.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")

# As many as ask a mirror at once.
MOST = 4


def mapped(
    work: Callable[[_Item], _Done], items: Iterable[_Item], *, most: int = MOST
) -> list[_Done]:
    """Return what work gives for each item, in their order; at most `most` at once.

    Begun in the items' order. When one fails, those after it are not begun any more, and those
    before it come to their end: so the error is that of the first item, in their order, that fails,
    however fast each is.
    """
    wanted = list(items)
    failed = len(wanted)
    guard = threading.Lock()

    def do(place: int) -> _Done | None:
        nonlocal failed
        if place > failed:
            return None
        try:
            return work(wanted[place])
        except BaseException:
            with guard:
                failed = min(failed, place)
            raise

    with ThreadPoolExecutor(max_workers=most) as pool:
        futures = [pool.submit(do, place) for place in range(len(wanted))]
    return cast("list[_Done]", [future.result() for future in futures[: failed + 1]])


class Awaited:
    """Work that other work waits for; it must be begun before those, and fails with them."""

    def __init__(self) -> None:
        self._done: Future[None] = Future()

    def fill(self, work: Callable[[], None]) -> None:
        """Do it. Raises as `work`."""
        try:
            work()
        except BaseException as error:
            self._done.set_exception(error)
            raise
        self._done.set_result(None)

    def wait(self) -> None:
        """Wait until it is done. Raises as the work did."""
        self._done.result()
