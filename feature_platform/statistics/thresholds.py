"""How large a change matters, and the guide's simple rules."""

import math
from dataclasses import dataclass

from feature_platform.statistics.profiles.profile import Profile


@dataclass(frozen=True)
class Thresholds:
    """The effect of each statistic from which a change beyond chance is drift; None to ignore it.

    Half of it is a warning. The defaults of `psi` and `ks` are those of a shift of a normal feature
    by 0.15 standard deviations.

    Attributes:
        psi: Population stability index, above its expected value.
        ks: Kolmogorov-Smirnov distance of numbers.
        share_change: Largest change of the share of a category.
        null_rate_change: Change of the null rate. The guide's rule has 0.05.
        unseen_share: Share of rows in categories that the reference lacks; of an open set of
            values, such as ids, the share of a single new value, twice this above the usual.
        new_share_rise: Share of new values of an open set, above the most in a window of the
            reference.
        distinct_change: Change of distinct values over values, where nearly all are new.
        infinite_share_change: Change of the share of infinite values.
        mean_change: Change of the mean over the reference's mean, and at least 0.15 of the
            reference's standard deviation, since a mean near zero changes by any factor.
        max_multiplier: Maximum over the reference's maximum, if that is above zero.
        alpha: Probability that a family of features without any change raises an alarm.
        min_rows: Rows of window and reference below which the verdict is `insufficient` unless the
            feature has drifted beyond chance.
    """

    psi: float | None = 0.0225
    ks: float | None = 0.06
    share_change: float | None = 0.06
    null_rate_change: float | None = 0.02
    unseen_share: float | None = 0.01
    new_share_rise: float | None = 0.1
    distinct_change: float | None = 0.1
    infinite_share_change: float | None = 0.01
    mean_change: float | None = 0.3
    max_multiplier: float | None = 2.0
    alpha: float = 0.0075
    min_rows: int = 30


DEFAULT_THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Rule:
    """One of the guide's rules; it ignores sample sizes, so it does not decide.

    Its value is NaN where it does not apply.
    """

    name: str
    value: float
    threshold: float

    @property
    def broken(self) -> bool:
        """Whether the value is above the threshold."""
        return self.value > self.threshold


def guide_rules(
    reference: Profile,
    current: Profile,
    *,
    mean_change: float = 0.3,
    null_rate_change: float = 0.05,
    max_multiplier: float = 2.0,
) -> tuple[Rule, ...]:
    """The guide's rules: changes of mean (relative) and null rate, ratio of the maxima."""
    return (
        Rule("mean_change", mean_ratio(reference, current), mean_change),
        Rule("null_rate_change", abs(current.null_rate - reference.null_rate), null_rate_change),
        Rule("max_multiplier", max_ratio(reference, current), max_multiplier),
    )


def mean_ratio(reference: Profile, current: Profile) -> float:
    """Change of the mean over the reference's absolute mean; NaN where that is 0 or unknown."""
    if not abs(reference.mean) > 0:
        return math.nan
    return abs(current.mean - reference.mean) / abs(reference.mean)


def max_ratio(reference: Profile, current: Profile) -> float:
    """Maximum over the reference's maximum; NaN where that is not above 0."""
    return current.maximum / reference.maximum if reference.maximum > 0 else math.nan
