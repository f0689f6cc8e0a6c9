"""What the routes work with, made once for each process."""

from dataclasses import dataclass

from app.accounts import Accounts
from app.cache import Cache, open_cache
from app.database import Database
from app.metrics import Metrics
from app.search import Search
from app.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    database: Database
    cache: Cache
    search: Search
    accounts: Accounts
    metrics: Metrics

    @staticmethod
    def open(settings: Settings) -> "Services":
        metrics = Metrics()
        database = Database(settings.database_url)
        cache = open_cache(settings.redis_url)
        search = Search(database, settings.elasticsearch_url, metrics)
        return Services(settings, database, cache, search, Accounts(database, cache, metrics), metrics)

    def close(self) -> None:
        self.search.close()
        self.cache.close()
        self.database.close()
