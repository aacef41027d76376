"""Detects corrupt model files by a SHA-256 stored in the manifest: they might run and return wrong results."""

from __future__ import annotations

import hashlib
import json

_ZEROS = b"0" * 64


def compute_digest(content: bytes, stated: str) -> str:
    """Returns the SHA-256 of a model file, in hexadecimal, with the digest stored in it replaced by zeros.

    Args:
        content: The content of the file.
        stated: The 64 digits in its manifest.
    """
    return hashlib.sha256(content.replace(stated.encode(), _ZEROS)).hexdigest()


def digest_mismatch(content: bytes, manifest_text: str | bytes | None) -> bool:
    """Returns whether a model file differs from the digest in its manifest; False if there is no digest.

    Args:
        content: The content of the file.
        manifest_text: The manifest in the file, or next to it.
    """
    try:
        stated = json.loads(manifest_text or "{}").get("digest", "")
        return bool(stated) and compute_digest(content, stated) != stated
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False  # not a manifest, which reading it will report
