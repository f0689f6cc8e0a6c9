"""For those who run it: health, version, metrics."""

from fastapi import APIRouter, Response

from app.api.given import ServicesGiven
from app.api.schemas import Health, Version

router = APIRouter(tags=["operators"])


@router.get("/health")
def health(services: ServicesGiven, response: Response) -> Health:
    fault = services.database.fault()
    if fault:
        response.status_code = 503
    # Without these two we go on, so they do not decide.
    checks = {
        "database": fault or "ok",
        "cache": "ok" if services.cache.is_up() else "down",
        "search": "ok" if services.search.is_up() else "down",
    }
    return Health(status="failing" if fault else "ok", checks=checks)


@router.get("/version")
async def version(services: ServicesGiven) -> Version:
    settings = services.settings
    return Version(service="backend", revision=settings.revision, environment=settings.environment)


@router.get("/metrics")
async def metrics(services: ServicesGiven) -> Response:
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
