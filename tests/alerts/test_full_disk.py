"""A disk that is full at any moment loses no message, and none is told twice."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from feature_platform.errors import AlertError

if TYPE_CHECKING:
    from worlds.alert_desk import Desk
    from worlds.stand_ins.alert_receiver import Receiver

PAGE, HOUR = 4096, timedelta(hours=1)


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process grows past a size: its writes fail as those to a full disk do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_whatever_could_not_be_stored_is_told_once_and_in_order_when_there_is_room_again(
    make_desk: Callable[[str], "Desk"], receiver: "Receiver"
):
    desk = make_desk("  - to: hook")
    first = desk.see("sources/clicks", bad=True)
    remedies: set[str] = set()
    told, failed, went, sent = [("open", first.key)], 0, 0, 0
    for number in range(32):
        bad = bool(number % 2)
        finding = replace(first, event=number + 2, at=desk.now, scopes={"": bad}, clears=not bad)
        desk.events = number + 2
        # Each try has room for a little more: it breaks off while it reads, stores, or sends.
        with room(number * PAGE):
            try:
                desk.tick(finding)
                went += 1
            except AlertError as error:
                failed += 1
                sent += len(receiver.told()) > len(told)
                remedies.add(error.remedy)
        told.append(("open" if bad else "resolve", first.key))
        desk.tick(finding, wait=HOUR)
        assert receiver.told() == told
        with closing(sqlite3.connect(desk.state)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert failed > 3
    assert all("disk is full" in remedy for remedy in remedies)
    assert went > 3
    assert sent, "none was full between sending and noting that"
    with desk.opened() as opened:
        assert opened.outbox.state().pending == {}
