"""The file of a registry, local or in an object store, written only over what was read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from feature_platform.core.published_files import published
from feature_platform.registry.registry_address import local_registry_file
from feature_platform.registry.registry_locks import unreachable

if TYPE_CHECKING:
    from feast import FeatureStore


class RegistryFile(Protocol):
    """One complete registry message, kept somewhere, with a version that changes with it."""

    def read(self) -> tuple[bytes, Any]:
        """Content and version; an absent file is empty, and has a version of its own.

        Raises:
            OSError: Or the client library's own error, when it cannot be read.
        """

    def write(self, content: bytes, version: Any) -> bool:
        """Replace it if it still has that version; False when it does not.

        Raises:
            OSError: Or the client library's own error, when it cannot be written.
        """


def registry_file(store: "FeatureStore") -> RegistryFile | None:
    """The file of the store's registry, or None where it is not kept in one we can write so."""
    local = local_registry_file(store)
    if local is not None:
        return LocalFile(local)
    path = str(store.config.registry.path or "")
    if path.startswith("gs://"):
        return GcsFile(path)
    if path.startswith("s3://"):
        return S3File(path, dict(store.config.registry.s3_additional_kwargs or {}))
    return None


def make_registry_object(store: "FeatureStore") -> None:
    """Make a registry in an object store that is not there yet, unless somebody just has.

    Feast does when it first looks, over whatever another machine has put there since.

    Raises:
        RegistryError: It cannot be reached.
    """
    target = registry_file(store)
    if target is None or isinstance(target, LocalFile):
        return
    from feast.infra.registry.registry import REGISTRY_SCHEMA_VERSION
    from feast.protos.feast.core.Registry_pb2 import Registry

    try:
        content, version = target.read()
        if not content:
            empty = Registry(registry_schema_version=REGISTRY_SCHEMA_VERSION)
            target.write(empty.SerializeToString(), version)
    except Exception as error:  # each client library raises its own
        raise unreachable(store, error) from error


class LocalFile:
    """A local file; its version is unused, as edits of it are made under a lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[bytes, None]:
        """Content, empty when there is no file."""
        return (self._path.read_bytes() if self._path.exists() else b""), None

    def write(self, content: bytes, version: None) -> bool:  # noqa: ARG002 - see the class
        """Put a complete new file in its place, so that readers see the old or the new one."""
        with published(self._path) as unfinished:
            unfinished.write_bytes(content)
        return True


class GcsFile:
    """An object in GCS; its version is its generation, 0 when it is absent."""

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
            generation = int(blob.generation)  # a download overwrites what the blob knows of itself
            try:
                content = blob.download_as_bytes(if_generation_match=generation)
            except (NotFound, PreconditionFailed):
                continue  # replaced between the two requests
            return bytes(content), generation

    def write(self, content: bytes, version: int) -> bool:
        """Upload on the condition that the generation is still the one that was read."""
        from google.api_core.exceptions import PreconditionFailed

        try:
            self._bucket.blob(self._name).upload_from_string(
                content, content_type="application/octet-stream", if_generation_match=version
            )
        except PreconditionFailed:
            return False
        return True


class S3File:
    """An object in S3; its version is its ETag, empty when it is absent."""

    def __init__(self, url: str, extra: dict[str, Any]) -> None:
        import boto3  # type: ignore[import-untyped]

        parts = urlsplit(url)
        self._client = boto3.client("s3", endpoint_url=os.environ.get("FEAST_S3_ENDPOINT_URL"))
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
        """Put on the condition that the ETag is still the one that was read."""
        from botocore.exceptions import ClientError

        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        try:
            self._client.put_object(**self._at, Body=content, **condition, **self._extra)
        except ClientError as error:
            # 412: somebody wrote in between; 409: somebody is writing now.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                return False
            raise
        return True
