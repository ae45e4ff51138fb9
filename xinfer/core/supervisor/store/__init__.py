"""Where the desired state is kept: in a database on disk that one supervisor has to itself."""

from xinfer.core.supervisor.store.contract import CannotStart, Store, StoredRegistration
from xinfer.core.supervisor.store.opening import open_store

__all__ = ["CannotStart", "Store", "StoredRegistration", "open_store"]
