"""An iterator that works ahead of its consumer, so that reading and writing overlap."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

_END = object()
_T = TypeVar("_T")


def prefetch(items: Iterable[_T], depth: int = 1) -> Generator[_T, None, None]:
    """Yield `items`, the next ones being made in a thread meanwhile.

    Args:
        items: Made in the thread, one after the other; an error among them is raised here.
        depth: How many may wait to be taken.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def make() -> None:
        try:
            for item in items:
                if not _offer(ready, (item, None), stopped):
                    return
            _offer(ready, (_END, None), stopped)
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            _offer(ready, (_END, error), stopped)

    maker = threading.Thread(target=make, name="prefetch", daemon=True)
    maker.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        maker.join()


def _offer(ready: "queue.Queue[Any]", item: Any, stopped: threading.Event) -> bool:
    """Wait until there is room; False when nobody takes items any more."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
