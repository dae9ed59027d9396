"""Small files in a folder or behind a URL, read and written as a whole."""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from feature_platform.core.file_names import path_part
from feature_platform.core.published_files import published
from feature_platform.errors import SourceError

if TYPE_CHECKING:
    from feature_platform.repo.project import FeastProject

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Files:
    """A folder, or a URL that fsspec opens.

    Attributes:
        address: An absolute path or a URL, without a trailing slash.
    """

    address: str

    @classmethod
    def of(cls, project: "FeastProject", folder: str) -> "Files":
        """The files of one project and profile: profiles differ in their sources."""
        part = f"{path_part(project.name)}/{path_part(project.profile or 'default')}"
        if "://" in folder:
            return cls(f"{folder.rstrip('/')}/{part}")
        return cls(f"{project.repo_dir / folder}/{part}")

    def read_text(self, *name: str) -> str | None:
        """The text of a file; None if there is none.

        Raises:
            SourceError: It exists and cannot be read.
        """
        found = self._read("/".join(map(path_part, name)))
        try:
            return None if found is None else found.decode()
        except UnicodeDecodeError as error:
            raise self.damaged(error, *name) from error

    def write_text(self, text: str, *name: str) -> None:
        """Write a file.

        Raises:
            SourceError: It cannot be written.
        """
        self._write("/".join(map(path_part, name)), text.encode())

    def read_json(self, *name: str) -> Any:
        """The object that `write_json` wrote; None if there is none.

        Raises:
            SourceError: It exists and cannot be read.
        """
        found = self._read("/".join(map(path_part, name)) + ".json.gz")
        if found is None:
            return None
        try:
            return json.loads(gzip.decompress(found))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise self.damaged(error, f"{name[-1]}.json.gz", under=name[:-1]) from error

    def parse_json(self, parse: Callable[[Any], Parsed], *name: str) -> Parsed | None:
        """What `parse` makes of the object that `write_json` wrote; None if there is none.

        Raises:
            SourceError: It exists and cannot be read or parsed.
        """
        content = self.read_json(*name)
        try:
            return None if content is None else parse(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self.damaged(error, f"{name[-1]}.json.gz", under=name[:-1]) from error

    def damaged(self, why: Exception | str, *name: str, under: tuple[str, ...] = ()) -> SourceError:
        """The error of a damaged file."""
        reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
        return SourceError(
            f"drift file '{'/'.join([self.address, *map(path_part, (*under, *name))])}'",
            f"is damaged ({reason})",
            "remove it; profiles and verdicts are made again, a reference has to be set again",
        )

    def write_json(self, content: Any, *name: str) -> None:
        """Write a JSON object in one move: a reader sees the old one or the new one.

        Raises:
            SourceError: It cannot be written.
        """
        text = json.dumps(content, separators=(",", ":")).encode()
        # Without a timestamp, so that the same content has the same bytes.
        packed = gzip.compress(text, compresslevel=3, mtime=0)
        self._write("/".join(map(path_part, name)) + ".json.gz", packed)

    def names(self, *under: str) -> list[str]:
        """The names in a folder, files without their suffix, sorted."""
        path = "/".join(map(path_part, under))
        try:
            if self._remote:
                filesystem, root = self._filesystem()
                listed = filesystem.ls(f"{root}/{path}", detail=False)
                found = [each.rsplit("/", 1)[-1] for each in listed]
            else:
                found = [each.name for each in Path(self.address, path).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(each.removesuffix(".json.gz") for each in found if not each.startswith("."))

    @property
    def _remote(self) -> bool:
        return "://" in self.address

    def _filesystem(self) -> tuple[Any, str]:
        import fsspec

        filesystem, root = fsspec.core.url_to_fs(self.address)
        return filesystem, root

    def _read(self, path: str) -> bytes | None:
        try:
            if self._remote:
                filesystem, root = self._filesystem()
                content: bytes = filesystem.cat_file(f"{root}/{path}")
                return content
            return Path(self.address, path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused("read", error) from error

    def _write(self, path: str, content: bytes) -> None:
        try:
            if self._remote:
                filesystem, root = self._filesystem()
                # One put: object stores show the old object until the new one is complete.
                filesystem.pipe_file(f"{root}/{path}", content)
                return
            with published(Path(self.address, path)) as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            raise self._refused("written", error) from error

    def _refused(self, verb: str, error: OSError) -> SourceError:
        return SourceError(
            f"drift files in '{self.address}'",
            f"cannot be {verb} ({error.strerror or error})",
            "choose another folder, or make room and give permission",
        )
