"""Who may send requests: the host and origin they name, the token they bring, and their size."""

from __future__ import annotations

import ipaddress
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from anyio import move_on_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mgsv.studio.options import LOOPBACK_NAMES, StudioOptions
from mgsv.studio.problems import Refusal, respond

API = "/api/"
LARGEST_BODY = 64 << 10
"""Bytes of a request that is no upload."""
LARGEST_QUERY = 4 << 10
DRAINED = 16 << 20
"""Bytes that are read of a refused request."""
PATIENCE = 3.0
"""Seconds for them."""
TOKEN_COOKIE, WORKSPACE_COOKIE = "mgsv-token", "mgsv-workspace"
YEAR = 365 * 24 * 3600

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_WORKSPACE = re.compile(r"[A-Za-z0-9_-]{22}")


class Guard:
    """Lets requests through to `app` that may be made, and puts `HEADERS` on all responses.

    A page elsewhere can make a browser send requests here, and by DNS rebinding have it take this
    for that page's own server. So the host has to be one of ours, and where the browser names the
    origin, that has to be the host.

    Each browser has a workspace of its own by a cookie, in `scope["state"]["workspace"]`; programs
    that bring no cookie share one.
    """

    def __init__(
        self, app: ASGIApp, options: StudioOptions, uploads: str, *, workspaces: bool = True
    ) -> None:
        """uploads: the one path whose body may be large; its route has a limit of its own.
        workspaces: whether browsers get them; without, no browser is told from another.
        """
        self._workspaces = workspaces
        self._app, self._options, self._uploads = app, options, uploads
        self._names = LOOPBACK_NAMES | {name.lower() for name in options.names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        new_workspace = ""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                api = scope["path"].startswith(API)
                headers.setdefault("Cache-Control", "no-store" if api else "no-cache")
                if new_workspace:
                    headers.append("Set-Cookie", _cookie(WORKSPACE_COOKIE, new_workspace, scope))
            await send(message)

        headers = Headers(scope=scope)
        cookies = _cookies(headers)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            if entered := self._check_token(scope, headers, cookies):
                await entered(scope, receive, guarded)
                return
            limited = self._limited(scope, headers, receive)
        except Refusal as problem:
            await drain(receive)
            await respond(problem.document, problem.headers)(scope, receive, guarded)
            return
        workspace = cookies.get(WORKSPACE_COOKIE, "")
        if not _WORKSPACE.fullmatch(workspace):
            workspace = ""
            if self._workspaces and _is_page(scope):
                workspace = new_workspace = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["workspace"] = workspace
        await self._app(scope, limited, guarded)

    def _check_host(self, headers: Headers) -> None:
        if len(headers.getlist("host")) != 1:
            raise Refusal(400, "the request names no host, or several")
        name = _host_name(headers["host"])
        if name in self._names or (not self._options.local and _is_address(name)):
            return
        raise Refusal(
            421, "this is no name of this studio's", "start it with `mgsv studio --name HOST`"
        )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        if not scope["path"].startswith(API):
            return  # the page itself may be linked to
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        own = origin is None or urlsplit(origin).netloc.lower() == headers["host"].lower()
        if not own or site not in (None, "same-origin", "none"):
            raise Refusal(403, "a page of another site has sent this request")

    def _check_token(
        self, scope: Scope, headers: Headers, cookies: dict[str, str]
    ) -> Response | None:
        """None where the request brings the token; for a link with the token in it, what turns it
        into a cookie, so that it does not stay in the browser's history."""
        if not self._options.token:
            return None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(bearer.strip()):
            return None
        if self._is_token(cookies.get(TOKEN_COOKIE, "")):
            return None
        if _is_page(scope):
            query = scope["query_string"][:LARGEST_QUERY].decode("latin-1")
            if self._is_token(parse_qs(query).get("token", [""])[0]):
                response = RedirectResponse("/" + scope["path"].lstrip("/\\"), 303)
                response.headers.append(
                    "Set-Cookie", _cookie(TOKEN_COOKIE, self._options.token, scope)
                )
                return response
        raise Refusal(
            401,
            "this studio wants a token",
            "open the address that `mgsv studio` printed, or send it as `Authorization: Bearer …`",
            {"WWW-Authenticate": "Bearer"},
        )

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._options.token.encode())

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """`receive`, which refuses more than a request may bring."""
        if len(scope["query_string"]) > LARGEST_QUERY:
            raise Refusal(414, "the address is too long")
        if scope["path"] == self._uploads:
            return receive
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            raise _too_large()
        left = LARGEST_BODY

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                await drain(receive)
                raise _too_large()
            return message

        return counted


async def drain(receive: Receive) -> None:
    """Read what else comes of a request that is refused, for some seconds and megabytes: else many
    programs that are still sending never see the answer.
    """
    left = DRAINED
    with move_on_after(PATIENCE):
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break


def _is_page(scope: Scope) -> bool:
    """Whether a person opens it, rather than a script of the page."""
    return scope["method"] == "GET" and not scope["path"].startswith((API, "/static/"))


def _too_large() -> Refusal:
    return Refusal(
        413,
        f"the request has more than {LARGEST_BODY >> 10} kB",
        "send less",
        {"Connection": "close"},  # the rest of it is not read
    )


def _host_name(host: str) -> str:
    """The name in a Host header, lower case, without port or brackets; '' where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """An address cannot be rebound."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        found = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in found.items()}


def _cookie(name: str, value: str, scope: Scope) -> str:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Path=/; Max-Age={YEAR}; HttpOnly; SameSite=Strict{secure}"
