"""The studio as an application: routes, page, problems and guard put together."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mgsv.studio.options import StudioOptions
from mgsv.studio.problems import MEDIA_TYPE, handle_problems
from mgsv.studio.routes import clips, jobs, tracks
from mgsv.studio.routes.shared import API
from mgsv.studio.security import Guard
from mgsv.studio.studio import OpenStudio

STATIC = Path(str(files("mgsv.studio"))) / "static"
DESCRIPTION = """Find the music for video clips, and the moment of it; hear, move and render it.

What takes a while is a job: 202 with its place in `Location`; its events, or `GET` now and then,
say how far it is. Errors are problem details (RFC 9457)."""


def create_app(
    options: StudioOptions,
    *,
    routers: Sequence[APIRouter] = (),
    pages: Sequence[tuple[str, Path]] = (),
) -> FastAPI:
    """The application, whose studio opens and closes with it.

    Args:
        options: how it is run.
        routers: more routes, which are put under `/api/v1` and get the studio as the own ones do
            (`routes.shared.InStudio`).
        pages: more pages, as (path, HTML file); their scripts and styles lie in `static`.

    Raises `ConfigError` where the studio's folder cannot be used.
    """
    studio = OpenStudio(options)

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        studio.open()
        try:
            yield
        finally:
            studio.close()

    app = FastAPI(
        title="mgsv studio",
        version=importlib.metadata.version("mgsv"),
        description=DESCRIPTION,
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        lifespan=opened,
        separate_input_output_schemas=False,
    )
    app.state.studio = studio
    handle_problems(app, studio.naming)
    for router in (clips.router, jobs.router, tracks.router, *routers):
        app.include_router(router, prefix=API)
    for path, page in (("/", STATIC / "index.html"), *pages):
        app.add_api_route(path, _page(page), include_in_schema=False, response_class=FileResponse)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def behind_guard(app: FastAPI) -> ASGIApp:
    """The application as it is served: nothing reaches it but through the guard."""
    studio: OpenStudio = app.state.studio
    return Guard(app, studio.options, clips.UPLOADS)


def _page(page: Path) -> Any:
    async def show() -> FileResponse:
        return FileResponse(page, media_type="text/html", headers={"Cache-Control": "no-cache"})

    return show


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with problem details as the response to whatever cannot be done."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        problem = {
            "description": "A problem (RFC 9457)",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem
        app.openapi_schema = document
    return app.openapi_schema
