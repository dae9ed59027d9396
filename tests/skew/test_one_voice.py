"""The summary of a service says of its features what they say of themselves."""

import re
from typing import Literal, get_args

import pandas as pd
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from worlds.skew_shop import TODAY

from feature_platform.skew.parity import WRONG, Cause, parity
from feature_platform.skew.skew_verdict import FeatureSkew, SkewThresholds, judged, summary_of
from feature_platform.statistics import compare

CAUSES = get_args(Cause)
SAME = compare(pd.Series(range(50)), pd.Series(range(50)), feature="f")


def feature(name: str, causes: list[Cause], origin: Literal["online", "logged"]) -> FeatureSkew:
    values = [Value(int64_val=number) for number in range(len(causes))]
    found = parity(
        causes,
        values,
        values,
        keys=[{"user_id": number} for number in range(len(causes))],
        moments=[TODAY] * len(causes),
        lags=[None] * len(causes),
    )
    return judged(name, found, SAME, SkewThresholds(), origin)


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(CAUSES), min_size=1, max_size=12),
            st.sampled_from(["online", "logged"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_all_features_are_served_as_trained_only_where_each_says_so_of_every_value(
    drawn: list[tuple[list[Cause], Literal["online", "logged"]]],
):
    features = [
        feature(f"f{number}", causes, origin) for number, (causes, origin) in enumerate(drawn)
    ]
    said = summary_of(features, "9 requests")
    whole = [": 100.00% of " in each.sentence and each.verdict == "ok" for each in features]
    assert said.startswith(f"all {len(features)} features are served as trained") == all(whole)
    ok = [each for each in features if each.verdict == "ok"]
    if len(ok) < len(features):
        assert said.startswith(f"{len(features) - len(ok)} of {len(features)} features are not")
    elif not all(whole):
        assert said.startswith(f"none of {len(features)} features is skewed")
        served = re.search(r"(\d+) served as trained, (\d+) with values that differ", said)
        assert served is not None
        assert (int(served[1]), int(served[2])) == (sum(whole), len(whole) - sum(whole))
        # The reasons are those of the features, and none of them is skew.
        reasons = {cause for causes, _ in drawn for cause in causes} - {"match", "absent"}
        assert not reasons & set(WRONG)
        for meaning in ("older than the TTL", "not due yet", "pushed since"):
            assert (meaning in said) == any(meaning in each.sentence for each in features)


def test_a_feature_of_which_every_value_has_outlived_its_ttl_cannot_be_compared():
    found = feature("f", ["expired"] * 5 + ["absent"], "online")
    assert found.verdict == "insufficient"
    assert "each of 5 values is older than the TTL" in found.sentence
    assert feature("f", ["expired"] * 5, "logged").verdict == "drift"
