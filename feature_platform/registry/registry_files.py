"""The file of a registry, local or in an object store, and writes that never lose another's."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from feature_platform.core.published_files import published
from feature_platform.registry.registry_address import local_registry_file
from feature_platform.registry.registry_errors import registry_errors

if TYPE_CHECKING:
    from feast import FeatureStore


CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""How long an object store may take to answer."""


class RegistryFile(Protocol):
    """One complete registry message with a version that every write changes."""

    def read(self) -> tuple[bytes, Any]:
        """Content and version; a missing file is empty, and has a version too.

        Raises:
            OSError: It cannot be read; client libraries raise their own errors.
        """

    def write(self, content: bytes, version: Any) -> bool:
        """Replace it if it still has that version; False if it does not.

        Raises:
            OSError: It cannot be written; client libraries raise their own errors.
        """


def registry_file(store: "FeatureStore") -> RegistryFile | None:
    """The file of the store's registry; None if it is of a kind without one."""
    local = local_registry_file(store)
    if local is not None:
        return LocalFile(local)
    path = str(store.config.registry.path or "")
    if path.startswith("gs://"):
        return GcsFile(path)
    if path.startswith("s3://"):
        return S3File(path, dict(store.config.registry.s3_additional_kwargs or {}))
    return None


def has_file(store: "FeatureStore") -> bool:
    """Whether `registry_file` finds one; opens no connection."""
    in_object_store = str(store.config.registry.path or "").startswith(("gs://", "s3://"))
    return in_object_store or local_registry_file(store) is not None


def make_registry_object(store: "FeatureStore") -> None:
    """Create a missing registry in an object store, unless another machine creates it first.

    Feast creates it when it first reads it, and overwrites what another machine has written since.

    Raises:
        RegistryError: It cannot be reached.
    """
    target = registry_file(store)
    if target is None or isinstance(target, LocalFile):
        return
    from feast.infra.registry.registry import REGISTRY_SCHEMA_VERSION
    from feast.protos.feast.core.Registry_pb2 import Registry

    with registry_errors(store):
        content, version = target.read()
        if not content:
            empty = Registry(registry_schema_version=REGISTRY_SCHEMA_VERSION)
            target.write(empty.SerializeToString(), version)


class LocalFile:
    """A local file; its version is unused, since its writers hold a lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[bytes, None]:
        """Content, empty if there is no file."""
        return (self._path.read_bytes() if self._path.exists() else b""), None

    def write(self, content: bytes, version: None) -> bool:  # noqa: ARG002 - see the class
        """Replace the file atomically."""
        with published(self._path) as unfinished:
            unfinished.write_bytes(content)
        return True


class GcsFile:
    """An object in GCS; its version is its generation, 0 if it is missing."""

    def __init__(self, url: str) -> None:
        from google.cloud import storage

        parts = urlsplit(url)
        self._bucket = storage.Client().bucket(parts.hostname)
        self._name = parts.path.lstrip("/")

    def read(self) -> tuple[bytes, int]:
        """Content and generation."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        while True:
            blob = self._bucket.get_blob(self._name)
            if blob is None:
                return b"", 0
            generation = int(blob.generation)  # the download overwrites the blob's attributes
            try:
                content = blob.download_as_bytes(if_generation_match=generation)
            except (NotFound, PreconditionFailed):
                continue  # replaced between the two requests
            return bytes(content), generation

    def write(self, content: bytes, version: int) -> bool:
        """Upload if the generation has not changed."""
        from google.api_core.exceptions import PreconditionFailed

        try:
            self._bucket.blob(self._name).upload_from_string(
                content, content_type="application/octet-stream", if_generation_match=version
            )
        except PreconditionFailed:
            return False
        return True


class S3File:
    """An object in S3; its version is its ETag, empty if it is missing."""

    def __init__(self, url: str, extra: dict[str, Any]) -> None:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        parts = urlsplit(url)
        endpoint = os.environ.get("FEAST_S3_ENDPOINT_URL")
        # Before Feast, whose client waits for five minutes, reads it.
        patience = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"mode": "standard"},  # three attempts
        )
        self._client = boto3.client("s3", endpoint_url=endpoint, config=patience)
        self._at = {"Bucket": parts.hostname, "Key": parts.path.lstrip("/")}
        self._extra = extra

    def read(self) -> tuple[bytes, str]:
        """Content and ETag."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        try:
            found = self._client.get_object(**self._at)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return b"", ""
            raise
        return found["Body"].read(), found["ETag"]

    def write(self, content: bytes, version: str) -> bool:
        """Put if the ETag has not changed."""
        from botocore.exceptions import ClientError

        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        try:
            self._client.put_object(**self._at, Body=content, **condition, **self._extra)
        except ClientError as error:
            # 412: another writer was faster; 409: another writer is writing now.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                return False
            raise
        return True
