"""Runs the migrations, one process at a time, each of them wholly or not at all."""

from alembic import context
from sqlalchemy import text

from app.database import open_engine
from app.models import Base
from app.settings import Settings

# Two hosts may begin a release at the same moment.
POSTGRES_LOCK = 0x6F6D6E69


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or Settings.from_environment().database_url
    engine = open_engine(url)
    with engine.connect().execution_options(writes=True) as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": POSTGRES_LOCK})
            context.run_migrations()
    engine.dispose()


run()
