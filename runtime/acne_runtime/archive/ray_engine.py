"""Runs an archive on Ray: parts go to worker actors, on this machine or on a cluster."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from acne_runtime import __version__
from acne_runtime.archive.listing import list_archive
from acne_runtime.archive.part_store import PartStore
from acne_runtime.archive.part_worker import ArchiveSettings, PartWorker
from acne_runtime.errors import AcneEdgeError, BackendError, one_line
from acne_runtime.load import model_files
from acne_runtime.parallel import cpu_count

logger = logging.getLogger(__name__)

PART_SIZE = 256
"""Default photographs of a part: half a minute of work on a core, and few enough files for ten million photographs."""

Progress = Callable[[int, int, int], None]
"""Gets the photographs done, of how many, and how many of them failed."""


def run_archive(
    source: str,
    settings: ArchiveSettings,
    *,
    recursive: bool = False,
    part_size: int = PART_SIZE,
    workers: int = 0,
    cluster: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    start: Callable[[int, str | None], None] | None = None,
) -> tuple[int, int]:
    """Processes an archive and writes its results in parts.

    Args:
        source: As for `list_archive`.
        settings: What is done with each photograph, and where results go.
        recursive: As for `list_archive`.
        part_size: Photographs of a part, from 1.
        workers: Worker processes, each with one thread; 0 for one per CPU core of the machine or the cluster.
        cluster: Address of a Ray cluster, such as `ray://head:10001` or `auto`; `None` starts Ray on this machine.
        resume: Whether parts that are there are left as they are. They must be of the same run.
        progress: Called as parts are finished.
        start: Starts Ray; by default `start_ray`.

    Returns:
        The number of photographs, and how many of them could not be read or used.

    Raises:
        BackendError: Ray is not installed, or the cluster cannot be reached.
        AcneEdgeError: The archive, the model or the folder of results is not usable, or a part cannot be finished.
    """
    if find_spec("ray") is None:
        raise BackendError("Ray is not installed; run: pip install 'acne-edge[ray]'")
    names, left_out = list_archive(source, recursive)
    if left_out:
        logger.warning("%s: %s", source, left_out)
    settings.load_models()  # a wrong model or threshold is said before workers start
    store = PartStore(settings.out, settings.format)
    finished = _begin(store, _describe_run(names, settings, part_size), resume)
    missing = [number for number in range(-(-len(names) // part_size)) if number not in finished]
    parts = [{"number": number, "names": names[number * part_size : (number + 1) * part_size]} for number in missing]
    total, failed = len(names), 0
    done = sum(min(part_size, total - number * part_size) for number in finished)
    if progress is not None:
        progress(done, total, failed)
    if not parts:
        return total, store.count_failures()
    (start or start_ray)(workers, cluster)
    for row in _process_on_ray(parts, settings, workers, _is_outside(cluster)):
        if row["error"]:
            raise AcneEdgeError(f"{row['error']}; what is finished stays, `resume` goes on", parameter="resume")
        done, failed = done + row["photographs"], failed + row["failures"]
        if progress is not None:
            progress(done, total, failed)
    return total, store.count_failures()


def _describe_run(names: list[str], settings: ArchiveSettings, part_size: int) -> dict[str, Any]:
    """Returns what must be the same for parts of one run to fit together."""
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    files = [model_files(name, settings.backend)[0] for name in settings.models]
    return {
        "version": __version__,
        "photographs": len(names),
        "list_sha256": digest,
        "part_size": part_size,
        "models": [[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files],
        "format": settings.format,
        "score_threshold": settings.score_threshold,
        "severity": settings.severity,
        "quality": settings.quality,
        "max_pixels": settings.max_pixels,
    }


def _begin(store: PartStore, run: dict[str, Any], resume: bool) -> set[int]:
    """Prepares the folder of results and returns the parts that are there.

    Raises:
        AcneEdgeError: It holds another run, or one that was not asked to go on.
    """
    before = store.read_run()
    if before is None:
        store.write_run(run)
        return set()
    if not resume:
        raise AcneEdgeError(
            f"{store.folder}: holds the results of a run; add `resume` to go on, or name another folder",
            parameter="resume",
        )
    changed = [name for name in run if before.get(name) != run[name]]
    if changed:
        raise AcneEdgeError(
            f"{store.folder}: its results are of another run ({', '.join(changed)} changed); name another folder"
        )
    return store.finished_parts()


def start_ray(workers: int = 0, cluster: str | None = None) -> None:
    """Starts Ray on this machine, or connects to a cluster.

    Args:
        workers: CPU cores that Ray may use on this machine; 0 for all.
        cluster: Address of a cluster; `None` for this machine.

    Raises:
        BackendError: The cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is raised too
    import ray
    from ray.exceptions import RayError

    try:
        if cluster is None:
            ray.init(
                address="local",
                num_cpus=workers or cpu_count(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=cluster, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, ConnectionError, ValueError, RuntimeError, OSError) as error:
        is_silent = _is_outside(cluster) and "timeout" in str(error)  # Ray does not say why
        hint = "; does it ask for a token? Set RAY_AUTH_MODE=token" if is_silent else ""
        raise BackendError(
            f"`cluster` {cluster}: cannot be reached ({one_line(error)}){hint}", parameter="cluster"
        ) from error


def _is_outside(cluster: str | None) -> bool:
    """Returns whether this machine is no part of the cluster, so that it is a Ray client."""
    return cluster is not None and cluster.startswith("ray://")


class _RemoteRows:
    """Runs Ray Data on a cluster, for a client outside, which cannot run it."""

    def __init__(self, *arguments: Any):
        self._rows = _rows(*arguments)

    def next(self) -> dict[str, Any] | None:
        """Returns what `PartWorker` returned for the next finished part; `None` after the last."""
        return next(self._rows, None)


def _process_on_ray(
    parts: list[dict[str, Any]], settings: ArchiveSettings, workers: int, is_outside: bool
) -> Iterator[dict[str, Any]]:
    """Yields what `PartWorker` returns for each part, as parts are finished."""
    import ray
    from ray.exceptions import RayError

    try:
        if is_outside:
            remote = ray.remote(num_cpus=0)(_RemoteRows).remote(parts, settings, workers)
            while (row := ray.get(remote.next.remote())) is not None:
                yield row
        else:
            yield from _rows(parts, settings, workers)
    except RayError as error:
        raise AcneEdgeError(
            f"Ray ended the run: {one_line(error)[:300]}; `resume` goes on", parameter="resume"
        ) from error
    finally:
        ray.shutdown()


def _rows(parts: list[dict[str, Any]], settings: ArchiveSettings, workers: int) -> Iterator[dict[str, Any]]:
    """Yields what `PartWorker` returns for each part, from inside the cluster."""
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    most = workers or int(ray.cluster_resources().get("CPU", 1))
    data = ray.data.from_items(parts, override_num_blocks=len(parts)).map(
        PartWorker,
        fn_constructor_args=(settings,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(parts))),
        num_cpus=1,
    )
    yield from data.iter_rows()
