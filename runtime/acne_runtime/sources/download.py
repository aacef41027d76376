"""A photograph or video on a web server: fetched whole, then read as a file.

What a server states the length of is a file, and is read once; OpenCV cannot tell its end from a lost connection.
"""

from __future__ import annotations

import base64
import http.client
import logging
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from acne_runtime.errors import SourceError, one_line

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10
_CHUNK = 1 << 16
_PLAYLISTS = ("mpegurl", "dash+xml", "sdp", "x-mixed-replace")
"""Parts of content types of lists that name a stream."""
_ENCODED = "/%:@!$&'()*+,;=?~[]"
"""What may stand in a path or query; the rest, such as blanks and umlauts, is encoded (RFC 3986, 3.3)."""
_FILES = ("image/", "video/mp4", "video/quicktime")
"""Content types of what has an end also where the server does not state its length."""
_MIN_FREE = 64 << 20
"""Bytes that are left free on the disk."""


def download(url: str, name: str, folder: Path) -> Path | None:
    """Fetches a file.

    Args:
        url: With `http` or `https`, and perhaps user name and password.
        name: The same without password, for errors.
        folder: Where to put it.

    Returns:
        The file; `None` for a stream: no image or MP4, and the server states no length.

    Raises:
        SourceError: The server cannot be reached, refuses, or breaks off; or the disk is too small.
    """
    parts = urlsplit(url)
    address = parts._replace(
        netloc=parts.netloc.rpartition("@")[2],
        path=quote(parts.path, safe=_ENCODED),
        query=quote(parts.query, safe=_ENCODED),
    )
    request = urllib.request.Request(urlunsplit(address))
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            kind = answer.headers.get_content_type()
            is_file = answer.length is not None or kind.startswith(_FILES)
            if not is_file or any(part in kind for part in _PLAYLISTS):
                return None
            return _save(answer, name, folder / (Path(unquote(parts.path)).name[-64:] or "file"))
    except urllib.error.HTTPError as error:
        raise SourceError(f"{name}: the server answers {error.code} {error.reason}; check the address") from error
    except http.client.BadStatusLine:
        return None  # not quite HTTP, as radio servers speak it
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        cause = one_line(reason) if isinstance(reason, BaseException) else str(reason)
        raise SourceError(f"{name}: cannot be fetched ({cause}); check the address") from error


def _save(answer: http.client.HTTPResponse, name: str, file: Path) -> Path:
    length, free = answer.length, shutil.disk_usage(file.parent).free - _MIN_FREE
    if length is not None and length > free:
        raise SourceError(f"{name}: {length / 1e6:.0f} MB, and {file.parent} has {free / 1e6:.0f} MB free")
    if length is not None and length > 10e6:
        logger.info("%s: fetching %.0f MB", name, length / 1e6)
    received = 0
    with file.open("wb") as target:
        while chunk := answer.read(_CHUNK):
            target.write(chunk)
            received += len(chunk)
            if received > free:
                raise SourceError(f"{name}: more than {free / 1e6:.0f} MB, for which {file.parent} has no room")
    if length is not None and received < length:
        raise SourceError(f"{name}: the connection ended after {received:,} of {length:,} bytes; try again")
    return file
