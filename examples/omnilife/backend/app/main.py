"""The application: `uvicorn app.main:app`."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import errors
from app.api import accounts, entries, habits, operators, overview
from app.log import configure
from app.requests import Requests
from app.services import Services
from app.settings import Settings

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    services = Services.open(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        log.info("starts", extra={"fields": {"environment": settings.environment}})
        yield
        services.close()
        log.info("ends")

    app = FastAPI(
        title="OmniLife",
        version=settings.revision,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.services = services
    errors.install(app)
    app.add_middleware(Requests, metrics=services.metrics, settings=settings)

    for part in (accounts, habits, entries, overview, operators):
        app.include_router(part.router)
    # People ask through the proxy, which passes on the prefix that brought them here.
    app.include_router(operators.router, prefix="/api", include_in_schema=False)
    return app


def from_environment() -> FastAPI:
    settings = Settings.from_environment()
    configure(settings.log_level, settings.revision)
    return create_app(settings)


app = from_environment()
