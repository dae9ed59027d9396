"""What the guarded online stores have in common: writes under a guard, and fast reads."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from feature_platform.encoding.encoded_rows import EncodedRows, encode_feast_rows
from feature_platform.errors import FeaturePlatformError
from feature_platform.online.fast_read import FastReads
from feature_platform.online.guarded_writer import Guard, guard_of
from feature_platform.online.naming_writer import too_large
from feature_platform.online.store_errors import store_error
from feature_platform.online.stores import backend_of
from feature_platform.online.written_rows import with_valid_times

_log = logging.getLogger(__name__)


class GuardedStore(FastReads):
    """A mixin for one of Feast's online stores; it precedes Feast's class among the bases."""

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write the rows that the guard lets in; see Feast's ``OnlineStore``.

        Raises:
            OnlineStoreError: A row has no event time, or one too far in the future, and none is
                written; or the store refused them.
        """
        data = with_valid_times(table, data)
        if not self._is_guarded(config):
            _log.warning("vector columns are written by Feast, without the guard against old rows")
            super().online_write_batch(config, table, data, progress)  # type: ignore[misc]
            return
        for rows in encode_feast_rows(data, config.entity_key_serialization_version):
            with self._errors(config, table, rows):
                self._write(config, table, rows, guard_of(table))
            if progress:
                progress(len(rows))

    @contextmanager
    def _errors(self, config: Any, table: Any, rows: EncodedRows | None = None) -> Iterator[None]:
        """Raise what is known of the driver's errors as an `OnlineStoreError` with its remedy."""
        try:
            yield
        except FeaturePlatformError:
            raise
        except Exception as error:
            kind = str(config.online_store.type)
            backend = backend_of(kind)
            if backend.fault(error) is None:
                raise
            named = None if rows is None else too_large(backend, table, rows, error)
            if named is None:
                named = store_error(f"feature view '{table.name}'", kind, error)
            raise named from error

    async def online_write_batch_async(
        self,
        config: Any,
        table: Any,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """`online_write_batch` in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    async def online_read_async(
        self,
        config: Any,
        table: Any,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, Any]]:
        """``online_read`` in a thread."""
        found: list[tuple[Any, Any]] = await asyncio.to_thread(
            self.online_read,  # type: ignore[attr-defined]
            config,
            table,
            entity_keys,
            requested_features,
        )
        return found

    def _is_guarded(self, config: Any) -> bool:  # noqa: ARG002 - for subclasses
        """Whether bulk writes fill all columns of the configured store."""
        return True

    def _write(self, config: Any, table: Any, rows: EncodedRows, guard: Guard) -> None:
        """Write rows of a view."""
        raise NotImplementedError
