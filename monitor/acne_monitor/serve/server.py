"""Starts the page."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

import click
import uvicorn

from acne_monitor.detector import Detector
from acne_monitor.serve.app import Pages
from acne_monitor.serve.live import Live
from acne_monitor.serve.security import Guard
from acne_monitor.store.store import Store, StoreError
from acne_runtime.cli.native_logs import silence_native_logs

_MAX_READERS = 32


def run_server(
    folder: Path,
    source: int | str,
    model_name: str,
    host: str,
    port: int,
    cert: Path | None,
    key: Path | None,
    token: str | None = None,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
        folder: The store.
        source: Camera number, video file or stream.
        model_name: A shipped model or a model file.
        host: Address to listen on.
        port: 0 for any that is free.
        cert: Certificate in PEM form, for https.
        key: Its key.
        token: For tests; by default a new one of 256 bits.

    Raises:
        StoreError: There is no store, or the address cannot be used.
    """
    Store(folder).close()
    with silence_native_logs():
        pages = Pages(folder, Live(source, model_name), Detector(model_name))
    token = token or secrets.token_urlsafe(32)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # the address is printed below, and must work then
    except OSError as error:
        raise StoreError(
            f"`host` {host}, `port` {port}: cannot be used ({error.strerror})", parameter="port"
        ) from error
    port = listener.getsockname()[1]
    scheme = "https" if cert is not None else "http"
    names = {host, "127.0.0.1", "localhost", "[::1]"} if cert is None else {host, socket.gethostname()}
    hosts = frozenset(f"[{name}]:{port}" if ":" in name and "[" not in name else f"{name}:{port}" for name in names)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"{scheme}://{shown}:{port}/?token={token}")
    click.echo(
        "Open this address; it works on this device only. Ctrl-C ends."
        if cert is None
        else "Open this address; Ctrl-C ends."
    )
    config = uvicorn.Config(
        Guard(pages.app(), token, hosts, scheme),
        log_level="warning",
        access_log=False,  # it would write down the token
        server_header=False,
        limit_concurrency=_MAX_READERS,
        ssl_certfile=cert,
        ssl_keyfile=key,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listener])
