"""What feature_platform asks of one kind of online store."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from feature_platform.online.store_faults import Signs, StoreFault, fault_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from feature_platform.encoding.feast_rows import Row
    from feature_platform.online.guarded_writer import OnlineWriter
    from feature_platform.online.online_size import OnlineSize


class OnlineBackend:
    """One kind of online store. The defaults work for any store that Feast can use.

    A subclass is registered in `feature_platform.online.stores`, or, from another distribution, by
    an entry point of the group ``feature_platform.online_stores``. Its module is imported to find
    out which store it serves, so it imports the store's client library inside methods only.

    Attributes:
        types: Each ``online_store.type`` that it serves, and the full name of each class.
        plugin: Full name of the class that `feature_platform.plugins` offers to Feast, if any.
        signs: By what errors of its driver are told apart.
        packages: Modules of the client that `extra` installs.
        extra: An extra of feature-platform. A store of another distribution has none: its
            distribution declares what it needs.
    """

    types: tuple[str, ...] = ()
    plugin: str = ""
    signs: tuple[Signs, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str = ""

    def serves(self, name: str) -> bool:
        """Whether `name` is a type or the full name of a class of this kind."""
        public = f"feature_platform.plugins.{self.plugin.rpartition('.')[2]}"
        return name in self.types or bool(self.plugin and name in (self.plugin, public))

    def writer(self, online: Any, config: "RepoConfig") -> "OnlineWriter | None":
        """A guarded bulk writer for the store `online`.

        None where there is none, or where the tables have columns that it does not fill; the store
        is then written through Feast, by `GenericWriter`.
        """

    def prepare(self, online: Any) -> None:
        """Give Feast's ``OnlineStore`` instance the time-outs that it lacks, before it is used."""

    def size(self, store: "FeatureStore", views: Sequence[str]) -> "OnlineSize | None":
        """How many keys and bytes the store holds; None if it cannot be measured."""

    def fault(self, error: BaseException) -> StoreFault | None:
        """What an error of its driver means; None where that is not known."""
        return fault_of(error, self.signs)

    def require_fit(self, config: "RepoConfig", view: Any, rows: "Sequence[Row]") -> None:
        """Check that rows fit the store, before any of them is written through Feast.

        Raises:
            OnlineStoreError: One does not; it names its key, and the feature that is too large.
        """

    def addresses(self, options: Any) -> list[tuple[str, int]]:
        """Hosts and ports that the ``online_store`` section `options` names."""
        return named_addresses(options)

    def location(self, options: Any) -> str:
        """Where a store without addresses is: a path or a region."""
        return str(getattr(options, "path", "") or getattr(options, "region", ""))

    def examine(self, config: "RepoConfig", timeout: float) -> None:
        """Check more than that the addresses answer, for ``feature-platform doctor``.

        Args:
            config: The repo's configuration.
            timeout: Seconds that a connection may take.

        Raises:
            FeaturePlatformError: The store cannot be used as it is.
        """

    def update_remedy(self, error: Exception) -> str:  # noqa: ARG002 - for subclasses
        """What to do when Feast could not make the tables of the feature views."""
        return "check that the store runs, and that its user may make tables"


def named_addresses(options: Any) -> list[tuple[str, int]]:
    """Hosts and ports in a store's section, under the option names that Feast's stores use."""
    if text := getattr(options, "connection_string", None):
        parts = [part.strip() for part in str(text).split(",") if "=" not in part]
        pairs = [part.rpartition(":") for part in parts]
        return [(host, int(port)) for host, _, port in pairs if port.isdigit()]
    if getattr(options, "host", None) and getattr(options, "port", None):
        return [(str(options.host), int(options.port))]
    if endpoint := getattr(options, "endpoint_url", None):
        url = urlsplit(str(endpoint))
        return [(url.hostname or "", url.port or (443 if url.scheme == "https" else 80))]
    return []
