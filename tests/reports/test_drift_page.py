import base64
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from worlds.html_page import Page

from feature_platform.reports.drift_page import drift_page
from feature_platform.reports.numbers import chance, moment, number, percent
from feature_platform.reports.pictures import overlay_data_uri, overlay_svg
from feature_platform.reports.ranges import ranges_svg
from feature_platform.reports.trend import trend_svg
from feature_platform.statistics import Comparison, compare_many


@pytest.fixture(scope="module")
def windows():
    random = np.random.default_rng(5)

    def columns(*, late: bool) -> dict[str, pa.Array]:
        names = random.choice(["card", "cash"], size=2000).astype("U20")
        if late:
            names[:200] = "<script>alert(1)</script>"
        return {
            "calm": pa.array(random.normal(size=2000)),
            "amount": pa.array(random.lognormal(0.8 if late else 0, size=2000)),
            "method": pa.array(names),
            "tags": pa.array([["a"] * int(n) for n in random.integers(4, size=2000)]),
            **({} if late else {"gone": pa.array([True, False] * 1000)}),
        }

    references = columns(late=False)
    return [
        compare_many(references, columns(late=day == 3), window=f"2026-03-0{day}")
        for day in (1, 2, 3)
    ]


@pytest.fixture(scope="module")
def page(windows: list[tuple[Comparison, ...]]):
    history = [each for window in windows[:2] for each in window]
    return drift_page(windows[2], title="payments", history=history, note="Asked by hand.")


def test_the_page_opens_offline_and_asks_for_nothing(page: str):
    found = Page(page)
    assert not {"link", "iframe", "img"} & set(found.tags)
    assert ("script", {}) in found.attributes  # inline
    assert not re.search(r"https?://|url\(|@import|fetch\(|import\(|XMLHttp|sendBeacon", page)
    assert all("src" not in attributes for _, attributes in found.attributes)


def test_the_worst_feature_comes_first(page: str):
    order = [page.index(f'id="feature-{name}"') for name in ("gone", "method", "amount", "calm")]
    assert order[0] < min(order[1:3])
    assert max(order[1:3]) < order[3]


def test_every_link_leads_to_a_section(page: str):
    attributes = [each for _, each in Page(page).attributes]
    ids = [each["id"] for each in attributes if "id" in each]
    links = [each["href"] for each in attributes if "href" in each]
    assert len(links) == 5
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_sentence_threshold_and_both_sizes_are_on_the_page(
    page: str, windows: list[tuple[Comparison, ...]]
):
    text = Page(page).text
    for each in windows[2]:
        assert " ".join(each.sentence.split()) in text
    amount = next(each for each in windows[2] if each.feature == "amount")
    assert number(amount.measure("psi").value) in text
    assert number(amount.measure("psi").threshold) in text
    assert "set by effect" in text
    assert "unseen" in text
    assert "null" in text
    assert "Asked by hand." in text


def test_a_verdict_is_told_by_word_and_mark_and_not_by_colour_alone(page: str):
    text = Page(page).text
    assert "\u25b2 drift" in text
    assert "\u2713 ok" in text


def test_pictures_have_words_and_headings_descend_by_one(page: str):
    found = Page(page)
    for tag, attributes in found.attributes:
        if tag == "svg":
            assert attributes["role"] == "img"
            said = ("windows from", "Middle half of the reference", "bins, reference beside")
            assert any(each in attributes["aria-label"] for each in said)
    levels = [int(tag[1]) for tag in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert ("html", {"lang": "en"}) in found.attributes
    assert found.tags.count("table") == found.tags.count("caption") + 1  # the overview's heading


def test_names_from_the_data_are_never_markup(page: str):
    assert page.count("<script>") == 1
    assert "&lt;script&gt;" in page or "unseen" in page


def test_the_trend_shows_every_window_once_oldest_first(windows: list[tuple[Comparison, ...]]):
    amounts = [next(each for each in window if each.feature == "amount") for window in windows]
    svg = trend_svg(amounts)
    root = ET.fromstring(svg)  # noqa: S314
    titles = [title.text for title in root.iter("title")]
    assert [title.split(":")[0] for title in titles] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert "drift" in titles[-1]
    assert root.attrib["aria-label"] == "3 windows from 2026-03-01 to 2026-03-03: 2 ok, 1 drift"
    assert trend_svg([]) == ""


def test_the_page_can_be_drawn_from_stored_comparisons(
    page: str, windows: list[tuple[Comparison, ...]]
):
    stored = [Comparison.from_json(each.to_json()) for each in windows[2]]
    history = [Comparison.from_json(each.to_json()) for w in windows[:2] for each in w]
    assert drift_page(stored, title="payments", history=history, note="Asked by hand.") == page


def test_where_values_lie_is_drawn_to_scale_and_told_in_words(
    windows: list[tuple[Comparison, ...]],
):
    amount = next(each for each in windows[2] if each.feature == "amount")
    root = ET.fromstring(ranges_svg(amount))  # noqa: S314
    medians = [float(each.attrib["x1"].removesuffix("%")) for each in root.iter("line")]
    # The current one is a factor of 2.2 further from the zero that the axis nearly begins at.
    assert medians[1] - 1 == pytest.approx((medians[0] - 1) * np.exp(0.8), rel=0.15)
    assert root.attrib["aria-label"].startswith("Middle half of the reference 0.5")
    bars = {each.feature: ranges_svg(each, small=True) for each in windows[2]}
    assert bars["method"].count('class="span current"') == 3
    assert bars["gone"] == ""


def test_the_page_says_how_a_change_is_accepted_where_there_is_one(
    page: str, windows: list[tuple[Comparison, ...]]
):
    command = "feature-platform drift --view 'a <b>' --date 2026-03-03 --accept"
    shown = drift_page(windows[2], title="payments", accept=command)
    assert command in Page(shown).text
    assert "<b>'" not in shown
    assert "If the change is meant" not in page
    assert "If the change is meant" not in drift_page(windows[1], title="payments", accept=command)


def test_a_page_without_features_says_so():
    assert "There was no feature to compare" in Page(drift_page([], title="payments")).text


def test_the_picture_is_well_formed_and_says_what_it_shows(windows: list[tuple[Comparison, ...]]):
    for each in windows[2]:
        root = ET.fromstring(overlay_svg(each))  # noqa: S314
        title = next(root.iter("{http://www.w3.org/2000/svg}title")).text
        assert each.sentence in title
    uri = overlay_data_uri(windows[2][0])
    kind, _, data = uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data).decode() == overlay_svg(windows[2][0])


def test_numbers_are_written_for_people():
    assert [number(x) for x in (0.01234, 12345.6, float("inf"), float("nan"), None)] == [
        "0.0123",
        "12,346",
        "\u221e",
        "\u2013",
        "\u2013",
    ]
    assert [percent(x) for x in (0.5, 0.0001, 0.0)] == ["50.0%", "<0.1%", "0.0%"]
    assert [chance(x) for x in (0.04321, 1e-12, None)] == ["0.043", "<0.000001", "\u2013"]
    assert moment(1_772_323_200.0) == "2026-03-01 00:00"
