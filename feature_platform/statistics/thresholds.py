"""How large a change matters, and the guide's plain rules."""

import math
from dataclasses import dataclass

from feature_platform.statistics.profiles.profile import Profile


@dataclass(frozen=True)
class Thresholds:
    """From which effect on a change matters, if it is beyond chance. None: it does not decide.

    A warning takes half of each. The defaults of `psi` and `ks` are what a shift of
    a normal feature by 0.15 standard deviations amounts to.

    Attributes:
        psi: Population stability index, above the value that chance gives it.
        ks: Kolmogorov-Smirnov distance of numbers.
        share_change: Greatest change of the share of a category.
        null_rate_change: Change of the share of nulls. The guide's rule has 0.05.
        unseen_share: Share of rows in categories that the reference does not know; of an open set
            of values, such as ids, rows in a single one, twice this above what new ones take.
        new_share_rise: Share of values, of an open set, that the reference does not know, above
            the most that its own windows held of such.
        distinct_change: Change of the distinct values over all values, where nearly all are new.
        infinite_share_change: Change of the share of infinite values.
        mean_change: Change of the mean over the reference's mean; and at least 0.15 of the
            reference's standard deviation, since a mean near zero changes by any factor.
        max_multiplier: Maximum over the reference's maximum, if that is above zero.
        alpha: Chance that a family of features without any change raises an alarm.
        min_rows: Rows below which a window, or a reference, can only be found `insufficient` unless
            it has drifted beyond doubt.
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
    """One of the guide's rules, as it stands: no regard to sample sizes, so it decides nothing.

    Attributes:
        name: ``mean_change``, ``null_rate_change`` or ``max_multiplier``.
        value: What it measured; NaN where it does not apply.
        threshold: From where on it is broken.
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
