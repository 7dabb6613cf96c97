"""Opens the hot store that the settings name."""

from storage.hot_store.settings import HotStoreSettings
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings


def open_hot_store(settings: HotStoreSettings, storage: StorageSettings, *, pool_size: int = 4) -> HotStore:
    """The store; nothing is connected before it is used. The caller closes it."""
    if settings.backend == "dynamodb":
        from storage.hot_store.dynamodb import DynamoHotStore

        return DynamoHotStore(settings, storage.aws_region, storage.aws_profile)
    from storage.hot_store.postgres import PostgresHotStore

    return PostgresHotStore(storage.database_url, pool_size=pool_size)
