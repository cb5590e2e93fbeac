"""Serve a studio until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from fastapi import APIRouter
from starlette.types import ASGIApp

from mgsv.errors import ConfigError
from mgsv.files import StrPath
from mgsv.studio.app import behind_guard, create_app
from mgsv.studio.listening import create_listening_app
from mgsv.studio.options import StudioOptions
from mgsv.study.study import open_study

GRACE = 3
"""Seconds that requests under way get at the end."""
MOST_CONNECTIONS = 1000


def serve_studio(
    options: StudioOptions,
    *,
    ready: Callable[[str], None],
    browser: bool = False,
    routers: Sequence[APIRouter] = (),
    pages: Sequence[tuple[str, Path]] = (),
) -> None:
    """Serve until SIGINT or SIGTERM.

    ready: called with the address once the port is taken. browser: open the page there. routers,
    pages: see `create_app`. Raises `ConfigError` where the port or the folder cannot be used.
    """
    app = behind_guard(create_app(options, routers=routers, pages=pages))
    _serve(app, options, ready, browser)


def serve_study(
    folder: StrPath, options: StudioOptions, *, ready: Callable[[str], None], browser: bool = False
) -> None:
    """Serve the listening test in `folder`, and nothing else; see `serve_studio`.

    Raises as `open_study` does, too.
    """
    _serve(create_listening_app(open_study(folder), options), options, ready, browser)


def _serve(
    app: ASGIApp, options: StudioOptions, ready: Callable[[str], None], browser: bool
) -> None:
    with contextlib.closing(_listening(options)) as listening:
        port = listening.getsockname()[1]
        ready(address(options, port))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
            ws="none",
        )
        if browser:
            threading.Timer(0.5, webbrowser.open, [address(options, port)]).start()
        logging.getLogger("uvicorn.error").addFilter(_is_fault)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])


def _is_fault(record: logging.LogRecord) -> bool:
    """Not that a request was ended with the studio."""
    ended = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return not ended and "graceful shutdown" not in str(record.msg)


def address(options: StudioOptions, port: int) -> str:
    """What to open in a browser."""
    host = next(iter(options.names), options.host)
    host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    token = f"?token={options.token}" if options.token else ""
    return f"http://{host}:{port}/{token}"


def _listening(options: StudioOptions) -> socket.socket:
    kind = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(kind, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"`port` {options.port}: another program has it", "give another, or 0 for any"
            ) from error
        raise ConfigError(
            f"`host` {options.host}, `port` {options.port}: {error.strerror}", "give others"
        ) from error
    return listening
