"""Tells a model file that was damaged on its way, whose answers would be wrong without a word."""

from __future__ import annotations

import hashlib
import json

_ZEROS = b"0" * 64


def compute_digest(content: bytes, stated: str) -> str:
    """Returns the SHA-256, in hexadecimal, of a model file in which the digest that it states counts as zeros.

    Args:
        content: The whole file.
        stated: The 64 digits that stand in its manifest.
    """
    return hashlib.sha256(content.replace(stated.encode(), _ZEROS)).hexdigest()


def digest_mismatch(content: bytes, manifest_text: str | bytes | None) -> bool:
    """Returns whether a model file is not what its manifest was made for; without a digest in it nobody can tell.

    Args:
        content: The whole file.
        manifest_text: The manifest that it carries, or that lies beside it.
    """
    try:
        stated = json.loads(manifest_text or "{}").get("digest", "")
        return bool(stated) and compute_digest(content, stated) != stated
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False  # no manifest at all, which whoever reads it will say
