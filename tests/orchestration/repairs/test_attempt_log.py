"""What a cursor remembers: tries, and numbers that keep run keys apart."""

from datetime import timedelta

from worlds.automation.shop import day

from feature_platform.orchestration.repairs.attempt_log import AttemptLog

WAIT = timedelta(minutes=10)


def test_a_try_of_a_clock_that_ran_a_year_ahead_is_not_waited_for():
    log = AttemptLog()
    log.record_attempt("only", {"2026-03-01": "a"}, day(365))
    found = log.triage("only", {"2026-03-01": "a"}, day(2), tries=3, wait=WAIT)
    assert found.ready == ("2026-03-01",)


def test_however_often_something_was_tried_the_next_wait_is_a_time():
    log = AttemptLog()
    for _ in range(100):
        log.record_attempt("only", {"2026-03-01": "a"}, day(2))
    found = log.triage("only", {"2026-03-01": "a"}, day(30), tries=200, wait=WAIT)
    assert found.ready == ("2026-03-01",)


def test_runs_have_new_numbers_each_time_and_the_same_from_the_same_cursor():
    log = AttemptLog()
    first = log.next_serial(day(2))
    cursor = log.write()
    numbers = {AttemptLog.read(cursor).next_serial(day(2) + each * WAIT) for each in range(3)}
    assert len(numbers) == 1
    assert first not in numbers
    # Whoever resets the cursor wants another try, and Dagster has seen the old key.
    assert AttemptLog.read(None).next_serial(day(2.5)) not in {first, *numbers}
