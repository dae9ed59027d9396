"""A training set's manifest tells the content of the sources that its rows were joined from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from training.test_known_by import CORRECTED, LABELS, opened, write
from worlds.times import day

from feature_platform.errors import SourceError
from feature_platform.training import training_set
from feature_platform.training.training_set import build_training_set

if TYPE_CHECKING:
    from worlds.samples import Sample


@pytest.mark.parametrize("changes", [1, 2])
def test_a_source_that_changes_while_it_is_joined_is_joined_again(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch, changes: int
):
    sample = opened(make_repo)
    write(sample, CORRECTED)
    change_while_joined(sample, monkeypatch, changes)

    made = build_training_set(
        sample.project, "service", LABELS, sample.repo / "out", timestamp="event_timestamp"
    )

    # The value is the row's number, and each change puts one more row before it.
    assert made.to_arrow().column("n").to_pylist() == [1 + changes] * 2
    assert made.snapshot.manifest["sources"]["v"]["rows"] == 2 + changes


def test_a_source_that_never_rests_is_refused(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    sample = opened(make_repo)
    write(sample, CORRECTED)
    change_while_joined(sample, monkeypatch, 99)

    with pytest.raises(SourceError, match="changed while they were joined") as caught:
        build_training_set(
            sample.project, "service", LABELS, sample.repo / "out", timestamp="event_timestamp"
        )

    assert caught.value.is_transient
    assert not (sample.repo / "out").exists()


def change_while_joined(sample: "Sample", patch: pytest.MonkeyPatch, times: int) -> None:
    """The first joins each find that a row has come meanwhile."""
    join = training_set.joined_features
    done: list[int] = []

    def joined(*given: Any, **named: Any) -> Any:
        found = join(*given, **named)
        if len(done) < times:
            done.append(1)
            write(sample, [*[(2, day(1), None)] * len(done), *CORRECTED])
        return found

    patch.setattr(training_set, "joined_features", joined)
