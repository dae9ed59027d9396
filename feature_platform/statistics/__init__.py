"""Profiles, references, distances and verdicts, with numpy, scipy and Arrow only."""

from feature_platform.statistics.compare import compare, compare_many, compare_windows, measure_many
from feature_platform.statistics.comparison import BinShare, Comparison, Summary, Verdict
from feature_platform.statistics.measures import Measure
from feature_platform.statistics.profiles.columns import ColumnLike, Kind
from feature_platform.statistics.profiles.profile import (
    Profile,
    merge_profiles,
    profile,
    profile_batches,
)
from feature_platform.statistics.reference import Reference, SeasonWindow
from feature_platform.statistics.seasons import season_of
from feature_platform.statistics.thresholds import Rule, Thresholds, guide_rules
from feature_platform.statistics.verdicts import benjamini_hochberg, correct

__all__ = [
    "BinShare",
    "ColumnLike",
    "Comparison",
    "Kind",
    "Measure",
    "Profile",
    "Reference",
    "Rule",
    "SeasonWindow",
    "Summary",
    "Thresholds",
    "Verdict",
    "benjamini_hochberg",
    "compare",
    "compare_many",
    "compare_windows",
    "correct",
    "guide_rules",
    "measure_many",
    "merge_profiles",
    "profile",
    "profile_batches",
    "season_of",
]
