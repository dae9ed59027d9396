from dataclasses import fields

import numpy as np
import pyarrow as pa

from feature_platform.statistics import Thresholds, compare
from feature_platform.statistics.drift_statistics import STATISTICS, full_title


def test_every_threshold_belongs_to_a_statistic():
    deciding = [each for each in STATISTICS.values() if each.threshold is not None]
    declared = {each.threshold or each.name for each in deciding}
    assert declared == {each.name for each in fields(Thresholds)} - {"alpha", "min_rows"}


def test_every_statistic_says_what_it_measures():
    assert all(each.title and each.compute.__doc__ for each in STATISTICS.values())


def test_a_statistic_without_a_threshold_is_evidence_only(random: np.random.Generator):
    before, now = (pa.array(random.normal(size=500)) for _ in range(2))
    found = compare(before, now, thresholds=Thresholds(ks=None))
    assert found.measures
    for each in found.measures:
        assert each.decides == (STATISTICS[each.name].threshold is not None and each.name != "ks")


def test_the_part_of_a_list_is_spoken_after_the_statistic():
    assert full_title("psi") == "PSI"
    assert full_title("elements.length.psi") == "PSI of the length of the elements"
    assert full_title("elements.of_an_older_release") == "of_an_older_release of the elements"
