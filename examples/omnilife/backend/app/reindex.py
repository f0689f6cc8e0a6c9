"""Brings into Elasticsearch what it missed: `python -m app.reindex`."""

from app.services import Services
from app.settings import Settings


def main() -> None:
    services = Services.open(Settings.from_environment())
    try:
        print(f"{services.search.index_all()} things are in the index")
    finally:
        services.close()


if __name__ == "__main__":
    main()
