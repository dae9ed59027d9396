"""A changed definition is applied, and what it changes is materialized again, a range a view."""

from collections.abc import Callable, Iterable
from datetime import timedelta

import dagster as dg
from worlds.automation.shop import LONG_AND_SHORT, ONE, Shop, asked, day

from feature_platform.registry.registry_apply import apply

NOW = day(12.5)
APPLY = [("", "", ["registry"])]


def put_on_record(shop: Shop, requests: Iterable[dg.RunRequest]) -> None:
    """Runs that succeeded, as a daemon's are on record: with what each was to make."""
    for request in requests:
        done = dg.DagsterRun(
            job_name="made",
            status=dg.DagsterRunStatus.SUCCESS,
            asset_selection=frozenset(request.asset_selection or ()),
            tags=request.tags,
        )
        shop.instance.add_run(done)


def settled(shop: Shop, *views: str) -> None:
    """A repo that is applied and online, and whose sensor has seen it so."""
    shop.record(0, 11, *views)
    assert shop.look("definition_changed", NOW).requests == []


def test_a_repo_that_is_as_it_was_starts_nothing(make_shop: Callable[..., Shop]):
    shop = make_shop(LONG_AND_SHORT)
    settled(shop, "long", "short")
    assert shop.look("definition_changed", NOW).requests == []


def test_a_new_repo_is_applied_first_and_then_each_view_is_one_range(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(LONG_AND_SHORT)
    found = shop.look("definition_changed", NOW)
    assert asked(found) == APPLY
    assert found.change is not None
    assert "feature view long" in found.change.added
    assert shop.start(found.requests) == [True]
    found = shop.look("definition_changed", NOW)
    # At most their TTL back, which is ten and four days.
    assert asked(found) == [
        ("2026-03-09", "2026-03-12", ["feature_views/short", "sources/orders"]),
        ("2026-03-03", "2026-03-12", ["feature_views/long", "sources/orders"]),
    ]
    assert shop.start(found.requests) == [True, True]
    assert shop.look("definition_changed", NOW).requests == []
    assert shop.sample.windows("short") == ["2026-03-09..2026-03-13"]


def test_only_the_view_whose_data_changes_is_materialized_again(make_shop: Callable[..., Shop]):
    shop = make_shop(LONG_AND_SHORT)
    settled(shop, "long", "short")
    shop.edit('view("short", orders, 4)', 'view("short", orders, 4, ("orders", "returns"))')
    found = shop.look("definition_changed", NOW)
    assert asked(found) == APPLY
    assert shop.start(found.requests) == [True]
    found = shop.look("definition_changed", NOW)
    assert [each[2] for each in asked(found)] == [["feature_views/short", "sources/orders"]]
    assert shop.start(found.requests) == [True]
    assert shop.look("definition_changed", NOW).requests == []


def test_a_view_that_was_applied_by_hand_and_never_materialized_is_a_new_one(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE)
    assert shop.sample.run("registry").success
    assert shop.look("gap", NOW).requests == []
    found = shop.look("definition_changed", NOW)
    assert [(first, last) for first, last, _ in asked(found)] == [("2026-03-03", "2026-03-12")]


def test_what_changes_no_data_is_applied_and_starts_nothing_else(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    settled(shop, "only")
    shop.edit('view("only", orders, 10)', 'view("only", orders, 9, owner="team:shop")')
    found = shop.look("definition_changed", NOW)
    assert asked(found) == APPLY
    shop.start(found.requests)
    assert shop.look("definition_changed", NOW).requests == []


def test_a_change_that_somebody_else_applied_is_not_lost(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    settled(shop, "only")
    shop.edit('view("only", orders, 10)', 'view("only", orders, 10, ("orders", "returns"))')
    assert shop.sample.run("registry").success
    found = shop.look("definition_changed", NOW)
    assert asked(found) == [("2026-03-03", "2026-03-12", ["feature_views/only", "sources/orders"])]


def test_a_backfill_that_fails_is_tried_again_and_not_for_ever(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    settled(shop, "only")
    shop.edit('view("only", orders, 10)', 'view("only", orders, 10, ("orders", "missing"))')
    shop.start(shop.look("definition_changed", NOW).requests)
    outcomes = []
    for minutes in range(0, 100, 10):
        now = NOW + timedelta(minutes=minutes)
        outcomes += shop.start(shop.look("definition_changed", now).requests)
    assert outcomes == [False, False, False]
    observed = shop.instance.fetch_observations(shop.sample.key("feature_views/only"), limit=10)
    assert len(observed.records) == 1


def test_a_definition_that_changes_more_windows_than_a_look_may_start_is_made_for_all_of_them(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE, windows_a_run=4, runs_a_tick=1)
    settled(shop, "only")
    shop.edit('("only", orders, 10)', '("only", orders, 10, ("orders", "returns"))')
    apply(shop.sample.project.store(), shop.sample.project.contents)
    spans = []
    for minutes in range(0, 60, 5):
        found = shop.look("definition_changed", NOW + timedelta(minutes=minutes))
        spans += [each[:2] for each in asked(found)]
        put_on_record(shop, found.requests)
    assert spans == [
        ("2026-03-09", "2026-03-12"),
        ("2026-03-05", "2026-03-08"),
        ("2026-03-03", "2026-03-04"),
    ]
    # A day that comes due later was made for what the repo says by then.
    assert shop.look("definition_changed", NOW + timedelta(days=1)).requests == []


def test_a_view_whose_registry_was_lost_and_made_anew_is_made_again(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE)
    settled(shop, "only")
    (shop.sample.repo / "data/registry.db").unlink()
    apply(shop.sample.project.store(), shop.sample.project.contents)
    assert shop.look("gap", NOW).requests == []
    found = shop.look("definition_changed", NOW)
    assert [(first, last) for first, last, _ in asked(found)] == [("2026-03-03", "2026-03-12")]


def test_a_definition_that_comes_back_is_made_again_over_what_the_other_has_left(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE.replace("orders, 10)", "orders, 10_000)"))
    for number in range(12):
        shop.write(number, orders=100, table="visits")

    def served() -> list[int | None]:
        return shop.sample.online(["only:orders"], [{"customer": 1}])["orders"]

    def made(now: float) -> list[tuple[str, str]]:
        """Apply what the repo says, and make what the sensor then asks for."""
        shop.start(shop.look("definition_changed", day(now)).requests)
        found = shop.look("definition_changed", day(now + 0.01))
        assert shop.start(found.requests) == [True]
        put_on_record(shop, found.requests)
        return [(first, last) for first, last, _ in asked(found)]

    whole = [("2026-03-01", "2026-03-12")]
    assert (made(12.5), served()) == (whole, [1])
    shop.edit('view("only", orders', 'view("only", table("visits")')
    assert (made(12.6), served()) == (whole, [100])
    shop.edit('view("only", table("visits")', 'view("only", orders')
    assert (made(12.7), served()) == (whole, [1])
    assert shop.look("definition_changed", day(12.8)).requests == []
