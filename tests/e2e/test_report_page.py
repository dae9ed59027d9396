"""A report as somebody reads it: the filter and the switch of theme, by mouse and by keyboard."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from feature_platform.reports.drift_page import drift_page
from feature_platform.statistics import compare_many

pytestmark = pytest.mark.browser

NAMES = ("amount_7d", "amount_30d", "<img src=x onerror=alert(1)>", "مبلغ_كبير", "b" * 200)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five features, of which the first has drifted."""
    random = np.random.default_rng(5)
    before = {name: pa.array(random.normal(size=500)) for name in NAMES}
    now = {name: pa.array(random.normal(3 * (name == NAMES[0]), size=500)) for name in NAMES}
    file = tmp_path_factory.mktemp("report") / "drift.html"
    page = drift_page(compare_many(before, now, window="2026-03-03"), title="payments")
    file.write_text(page, encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def page(browser: Browser, report: str) -> Iterator[Page]:
    context = browser.new_context(color_scheme="light")
    shown = context.new_page()
    said: list[str] = []
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    shown.goto(report)
    yield shown
    context.close()
    assert said == []


def rows(page: Page) -> Locator:
    """The rows of the overview that can be seen."""
    return page.locator("section[aria-labelledby=features] tbody tr").filter(visible=True)


def sections(page: Page) -> Locator:
    return page.locator(".feature").filter(visible=True)


def paper(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_features_are_found_by_name_and_by_verdict(page: Page) -> None:
    box = page.get_by_role("searchbox", name="Filter")
    expect(rows(page)).to_have_count(5)
    box.fill("30D amount")
    expect(rows(page).get_by_role("link")).to_have_text(["amount_30d"])
    expect(sections(page)).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text("1 of 5 shown")
    box.fill("")
    page.get_by_role("checkbox", name="1 drift").check()
    expect(rows(page).get_by_role("link")).to_have_text(["amount_7d"])
    expect(page.get_by_role("heading", name="Without drift")).to_be_hidden()
    page.get_by_role("checkbox", name="4 ok").check()
    expect(rows(page)).to_have_count(5)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_script_is_found_as_it_is_written(page: Page, name: str) -> None:
    page.get_by_role("searchbox", name="Filter").fill(name)
    expect(rows(page).get_by_role("link")).to_have_text([name])
    expect(sections(page).get_by_role("heading", name=name)).to_be_visible()
    rows(page).get_by_role("link").click()
    expect(sections(page).get_by_text("In plain numbers")).to_be_in_viewport()


def test_the_keyboard_is_enough(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("checkbox", name="1 drift")).to_be_focused()
    page.keyboard.press("Space")
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox", name="Filter")).to_be_focused()
    page.keyboard.type("no such")
    expect(page.get_by_role("status")).to_have_text("0 of 5 shown")
    page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Dark", pressed=True)).to_be_focused()


def test_the_theme_is_the_systems_until_it_is_switched_and_paper_is_always_light(
    page: Page,
) -> None:
    light, switch = paper(page), page.get_by_role("button", name="Dark")
    page.emulate_media(color_scheme="dark")
    dark = paper(page)
    assert dark != light
    expect(switch).to_have_attribute("aria-pressed", "true")
    page.emulate_media(color_scheme="light")
    switch.click()
    assert paper(page) == dark
    page.reload()
    assert paper(page) == dark
    page.emulate_media(media="print")
    assert paper(page) == light
    page.emulate_media(media="screen")
    switch.click()
    assert paper(page) == light
    page.emulate_media(color_scheme="dark")
    assert paper(page) == dark


@pytest.mark.parametrize("scripts", [True, False])
def test_a_phone_shows_the_whole_page_with_and_without_scripts(
    browser: Browser, report: str, *, scripts: bool
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=scripts
    )
    page = context.new_page()
    page.goto(report)
    expect(rows(page)).to_have_count(5)
    expect(sections(page)).to_have_count(5)
    expect(page.get_by_text("1 drift")).to_be_visible()
    shown = 4 if scripts else 0
    expect(page.locator(".tools :is(input, button)").filter(visible=True)).to_have_count(shown)
    right = page.get_by_role("main").bounding_box()
    assert right is not None
    for each in (rows(page).first, sections(page).first):
        box = each.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= right["width"]
    context.close()
