"""Who may talk to the page: only those who have the token, from the page itself.

A page on a device is reached by any website that the device's browser shows, so that it needs more than a closed port:
a token that no other site knows, the host's own name (against DNS rebinding), the page's own origin (against forged
requests), and a policy by which nothing is loaded from outside.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "acne_monitor"
MAX_BODY = 64 * 1024
"""Bytes of a request: corrections and notes, never a photograph."""
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self' {inline}; script-src {script}; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that lets in only requests with the token, host and origin of the page."""

    def __init__(self, app: App, token: str, hosts: frozenset[str], scheme: str):
        """Wraps an application.

        Args:
            app: The application.
            token: Of 256 bits, given to the person who started the server.
            hosts: Values of `Host` that are the page, with port.
            scheme: `http` or `https`.
        """
        self._app, self._token, self._hosts, self._scheme = app, token, hosts, scheme

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Processes one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _with_headers(refusal, scope, receive, send)
            return
        await _with_headers(self._app, scope, _limited(receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> App | None:
        """Returns the answer to a request that is not let in."""
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("unknown host", 400)
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if given and scope["method"] == "GET" and hmac.compare_digest(given.encode(), self._token.encode()):
            # The token leaves the address bar, the history and the log at once.
            answer = RedirectResponse(scope["path"], 303)
            secure = self._scheme == "https"
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", secure=secure)
            return answer
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if not hmac.compare_digest(cookie.encode("latin-1", "replace"), self._token.encode()):
            return PlainTextResponse("open the address that acne-monitor printed", 403)
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"{self._scheme}://{host}":
            return PlainTextResponse("foreign origin", 403)
        if int(headers.get("content-length") or 0) > MAX_BODY:
            return PlainTextResponse("too large", 413)
        return None


def _limited(receive: Receive) -> Receive:
    """Returns `receive` that ends a body larger than `MAX_BODY`, whatever length was stated."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return {"type": "http.disconnect"} if received > MAX_BODY else message

    return limited


async def _with_headers(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _HEADERS.items():
                headers[name] = value
            # The report is a file of its own with its style inside, and runs nothing.
            is_report = scope["path"].startswith("/report/")
            headers["Content-Security-Policy"] = _POLICY.format(
                inline="'unsafe-inline'" if is_report else "", script="'none'" if is_report else "'self'"
            )
            message["headers"] = headers.raw
        await send(message)

    await app(scope, receive, wrapped)
