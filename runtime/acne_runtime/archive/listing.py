"""Lists the photographs of an archive: a folder, a text file with a name per line, or an object store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from acne_runtime.errors import SourceError, one_line
from acne_runtime.sources import image_files


def is_url(name: str) -> bool:
    """Returns whether a name is of an object store or another file system, such as `s3://bucket/faces`."""
    return "://" in name


def open_file_system(url: str) -> tuple[Any, str]:
    """Returns the fsspec file system of a URL and the path in it.

    Raises:
        SourceError: fsspec has no such file system, or its package is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        file_system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:  # fsspec names the package that is missing
        raise SourceError(f"{url}: {one_line(error)}") from error
    return file_system, path


def list_archive(source: str, recursive: bool = False) -> tuple[list[str], str]:
    """Lists photographs, sorted by name.

    Args:
        source: A folder; a `.txt` file with a path or URL per line, paths from its folder; or the URL of a folder
            in a file system that fsspec knows, such as `s3://bucket/faces`, all of it.
        recursive: Whether the folders of a local folder are looked into.

    Returns:
        Paths and URLs, and what was left out, in words; empty if nothing.

    Raises:
        SourceError: There is no photograph, or the archive cannot be listed.
    """
    if is_url(source):
        return _list_url(source)
    path = Path(source)
    if path.is_dir():
        names = [str(file) for file in image_files.list_images(path, recursive)]
        return names, image_files.describe_left_out(path, recursive)
    if path.suffix.lower() == ".txt" and path.is_file():
        return image_files.read_list(path), ""
    raise SourceError(f"{source}: no folder, list of photographs (.txt) or URL of an object store")


def _list_url(url: str) -> tuple[list[str], str]:
    file_system, root = open_file_system(url)
    try:
        found = file_system.find(root)
    except Exception as error:  # each file system has errors of its own
        raise SourceError(f"{url}: cannot be listed ({one_line(error)})") from error
    suffixes = {path: PurePosixPath(path).suffix.lower() for path in found}
    names = sorted(file_system.unstrip_protocol(path) for path in found if suffixes[path] in image_files.SUFFIXES)
    if not names:
        raise SourceError(f"{url}: no image here")
    others = Counter(
        suffix or "file without suffix"
        for suffix in suffixes.values()
        if suffix not in image_files.SUFFIXES | image_files.DOCUMENTS
    )
    return names, image_files.describe_counts(others)


def read_photograph(name: str, max_pixels: int) -> bytes:
    """Returns the content of a photograph of an archive.

    Args:
        name: Its path or URL.
        max_pixels: As for `image_files.read_image`.

    Raises:
        SourceError: It cannot be read.
    """
    if not is_url(name):
        return image_files.read_content(Path(name), max_pixels)
    try:
        file_system, path = open_file_system(name)
        content: bytes = file_system.cat_file(path)
    except SourceError:
        raise
    except Exception as error:  # of the network, of permissions; each file system has its own
        raise SourceError(f"{name}: {one_line(error)}") from error
    return content
