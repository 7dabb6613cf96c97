"""Opens storage for runs and ticks. The environment is read here, when used, never at import."""

from functools import cached_property

import dagster as dg
from sqlalchemy import Engine

from platform_assets.settings import OrchestrationSettings
from storage.control.engine import make_engine
from storage.hot_store.settings import HotStoreSettings
from storage.settings import StorageSettings


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Settings and control database of the warehouse. Tests pass their own subclass or set the environment."""

    @cached_property
    def storage(self) -> StorageSettings:
        """Addresses, from the environment."""
        return StorageSettings()

    @cached_property
    def orchestration(self) -> OrchestrationSettings:
        """Limits and intervals, from the environment."""
        return OrchestrationSettings()

    @cached_property
    def hot_store(self) -> HotStoreSettings:
        """Where live events are kept, and how long."""
        return HotStoreSettings()

    @cached_property
    def engine(self) -> Engine:
        """The control database."""
        return make_engine(self.storage, pool_size=2)
