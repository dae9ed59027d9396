from datetime import UTC, datetime

import pytest
from feast.protos.feast.types.Value_pb2 import Value
from worlds.html_page import Page

from feature_platform.reports.skew_page import skew_page
from feature_platform.skew.parity import Cause, Parity, parity
from feature_platform.skew.service_skew import FeatureSkew, ServiceSkew, SkewThresholds
from feature_platform.skew.skew_verdict import judged
from feature_platform.statistics import compare

MOMENT = datetime(2026, 3, 1, 7, tzinfo=UTC)


def feature(name: str, wrong: int) -> FeatureSkew:
    """A hundred keys, some of which are served three times what training holds."""
    training = [float(number) for number in range(100)]
    served = [3 * value if place < wrong else value for place, value in enumerate(training)]
    causes: list[Cause] = ["value" if place < wrong else "match" for place in range(100)]
    found: Parity = parity(
        causes,
        [Value(double_val=value) for value in served],
        [Value(double_val=value) for value in training],
        keys=[{"user": f"<{number}>"} for number in range(100)],
        moments=[MOMENT] * 100,
        lags=[None] * 100,
    )
    import pandas as pd

    compared = compare(pd.Series(training), pd.Series(served), feature=name)
    return judged(name, found, compared, SkewThresholds(), "online")


@pytest.fixture
def page() -> Page:
    unjudged = FeatureSkew("far", "insufficient", "far cannot be compared: it is hidden.", "online")
    found = ServiceSkew(
        service="model <1>",
        moment=MOMENT,
        seed=7,
        online=(feature("calm", 0), feature("skewed", 60), unjudged),
        logged=(),
        requests=100,
        vectors=None,
        populations={"users": 1234},
        notes=("request data (x) was drawn by type",),
    )
    return Page(skew_page(found))


def test_the_worst_feature_comes_first_and_says_what_is_wrong(page: Page):
    rows = [dict(attributes)["id"] for tag, attributes in page.attributes if "id" in attributes]
    sections = [row for row in rows if row.startswith("online-")]
    assert sections == ["online-skewed", "online-far", "online-calm"]
    assert "40.00% of 100 values are served as trained, 60.00% are wrong" in page.text
    assert "far cannot be compared: it is hidden." in page.text


def test_keys_population_seed_and_notes_are_told(page: Page):
    assert "100 requests (seed 7)" in page.text
    assert "Keys in the materialized windows: users 1,234." in page.text
    assert "Request data (x) was drawn by type." in page.text


def test_examples_are_text_and_nothing_is_fetched(page: Page):
    assert "user='<0>'" in page.text
    assert "model <1>: served against trained" in page.text
    assert not {"link", "img", "iframe"} & set(page.tags)
