"""Where a registry is, said without what opens it."""

from types import SimpleNamespace
from typing import Any

import pytest

from feature_platform.registry.registry_address import configured_address


def config(path: str, kind: str) -> Any:
    return SimpleNamespace(registry=SimpleNamespace(path=path, registry_type=kind))


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("postgresql+psycopg://u:secret@h:5432/db", "sql", "postgresql+psycopg://h:5432/db"),
        ("postgresql+psycopg://h/db?user=u&password=secret", "sql", "postgresql+psycopg://h/db"),
        ("postgresql+psycopg://u:se/cret@h/db", "sql", "postgresql+psycopg://h/db"),
        ("postgresql+psycopg://u:se@cret@h/db", "sql", "postgresql+psycopg://h/db"),
        ("postgresql+psycopg://u:secret@h:port/db", "sql", "postgresql+psycopg://"),
        ("sqlite:////data/registry.db", "sql", "sqlite:////data/registry.db"),
        ("s3://key:secret@bucket/registry.pb", "file", "s3://bucket/registry.pb"),
        ("gs://bucket/a@b/registry.pb", "file", "gs://bucket/a@b/registry.pb"),
        ("data/registry.db", "file", "data/registry.db"),
    ],
)
def test_no_user_password_or_parameter_is_said(path: str, kind: str, said: str) -> None:
    assert configured_address(config(path, kind)) == said
