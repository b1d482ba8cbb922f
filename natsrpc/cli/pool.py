"""`Pool`: a supervised pool as its pages show it: health, figures and facts.

The web room's pages ask it through the protocol that they state. The figures of the workers are in
shared memory (`natsrpc.observe.figures`): each worker writes its own, and what one has written is
kept when it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from natsrpc.errors import ConfigError
from natsrpc.version import __version__

from .process import WorkerProcess
from .supervisor import Supervisor

__all__ = ["Pool"]

_HEALTH_TIMEOUT = 2.0  # seconds for an answer about a worker's health
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "natsrpc-run-"  # of the folders of pools
_AGE = 60.0  # seconds after which a folder that nobody has locked is left behind, not just made
_ADDED_UP = ("counter", "histogram", "summary")  # prometheus_client's files of sums


class Pool:
    """What there is to know of a pool. Leaving it as a block removes its files.

    Args:
        supervisor: the pool's.
        say: called with one line of text for what people want to know of.

    `has_started` and `is_draining` are set by `natsrpc run`.
    """

    def __init__(self, supervisor: Supervisor, *, say: Callable[[str], None]) -> None:
        self.supervisor = supervisor
        self._say = say
        self._is_torn = False  # and it was told
        self.has_started: bool = False
        self.is_draining: bool = False
        self._began = time.time()
        self._folder: Path | None = None
        self._lock = -1
        self._ledger: Any = None
        self._numbers = 0
        self._names: dict[WorkerProcess, str] = {}
        self._prometheus = os.environ.get(_MULTIPROCESS, "")
        self._own_prometheus = False
        if self._prometheus:
            self._check_writable(self._prometheus)
        supervisor.on_end.append(self._forget)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
        if self._own_prometheus:
            os.environ.pop(_MULTIPROCESS, None)

    def measure(self) -> None:
        """Have the workers write figures that `metrics` shows.

        Raises:
            ConfigError: there is no folder to write to.
        """
        from natsrpc.observe.figures import Ledger

        parent = _memory_folder() or tempfile.gettempdir()
        _sweep(Path(parent))
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = _locked(self._folder)
        except OSError as error:
            raise ConfigError(
                f"there is no folder for metrics, TMPDIR names one: {error.strerror}"
            ) from None
        self._ledger = Ledger()
        self.supervisor.further = self._settings
        if not self._prometheus:
            # of what the services count besides; read by prometheus_client when it is imported
            self._prometheus = str(self._folder / "prometheus")
            os.mkdir(self._prometheus)
            os.environ[_MULTIPROCESS] = self._prometheus
            self._own_prometheus = True

    def _check_writable(self, folder: str) -> None:
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            text = f"{_MULTIPROCESS} is {folder!r}, which is no folder to write to"
            raise ConfigError(text) from None

    def _settings(self, worker: WorkerProcess) -> dict[str, Any]:
        assert self._folder is not None
        self._numbers += 1
        name = self._names[worker] = str(self._folder / f"worker-{self._numbers}")
        return {"figures": name}

    def _forget(self, worker: WorkerProcess) -> None:
        """Keep the figures of a worker that has ended; its gauges are of no worth any more."""
        name = self._names.pop(worker, None)
        if name is not None:
            self._ledger.close(Path(name))
        if self._prometheus:
            with contextlib.suppress(ImportError, OSError):
                from prometheus_client import multiprocess

                gone: Any = multiprocess.mark_process_dead
                gone(worker.pid, self._prometheus)
        if self._own_prometheus:
            # a file that is torn stays, and the page tells of it
            with contextlib.suppress(ImportError, OSError, ValueError, RuntimeError, struct.error):
                _fold(Path(self._prometheus), worker.pid)

    # -- what the pages show -----------------------------------------------------------------------

    async def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether calls are answered: each target has a worker that is connected, serves, does not
        drain and whose probes are well. And the health of each worker."""
        workers = self.supervisor.workers
        healths = await asyncio.gather(*(each.health(_HEALTH_TIMEOUT) for each in workers))
        told = [
            {"target": worker.target, "pid": worker.pid, "state": worker.state, **health}
            for worker, health in zip(workers, healths, strict=True)
        ]
        well = {each["target"] for each in told if each["status"] == "ok"}
        if self.is_draining:
            status = "draining"
        elif not self.has_started:
            status = "starting"
        else:
            status = "ok" if well >= set(self.supervisor.settings.targets) else "unwell"
        return status == "ok", {"status": status, "workers": told}

    def metrics(self) -> str:
        """The figures of all workers, dead ones included, as Prometheus reads them."""
        from natsrpc.observe.figures import Series, render

        workers = self.supervisor.workers
        counts: dict[tuple[str, str], int] = {}
        for target in self.supervisor.settings.targets:
            counts[target, "ready"] = 0
        for worker in workers:
            key = worker.target, worker.state
            counts[key] = counts.get(key, 0) + 1
        pool = [
            Series("natsrpc_pool_workers", "gauge", {"target": target, "state": state}, [count])
            for (target, state), count in counts.items()
        ]
        pool.append(Series("natsrpc_pool_restarts", "counter", {}, [self.supervisor.restarts]))
        ours = [*self._ledger.series([Path(name) for name in self._names.values()]), *pool]
        return render(ours) + self._others({each.name for each in ours})

    def _others(self, ours: set[str]) -> str:
        """What services count by prometheus_client, but for figures that are shown already."""
        try:
            from prometheus_client import CollectorRegistry, generate_latest, multiprocess
        except ImportError:
            return ""

        class Rest:
            """All that is not ours."""

            def collect(self) -> Any:
                return [each for each in found.collect() if each.name not in ours]

        collector: Any = multiprocess.MultiProcessCollector
        found = collector(None, self._prometheus)
        registry = CollectorRegistry()
        try:
            registry.register(Rest())
            shown = generate_latest(registry).decode()
        except Exception as error:  # a file that was cut short, by a full disk or a killed writer
            if not self._is_torn:
                name = type(error).__name__
                self._say(
                    f"/metrics leaves out what services count by prometheus_client: its files in "
                    f"{self._prometheus} cannot be read: {name}: {error}"
                )
            self._is_torn = True
            return ""
        self._is_torn = False
        return shown

    def info(self) -> dict[str, Any]:
        """The facts: versions, targets, services, workers."""
        settings, workers = self.supervisor.settings, self.supervisor.workers
        services = {
            service["name"]: {**service, "target": worker.target}
            for worker in workers
            for service in worker.services
        }
        now = asyncio.get_running_loop().time()
        return {
            "natsrpc": __version__,
            "pid": os.getpid(),
            "started": _rfc3339(self._began),
            "targets": list(settings.targets),
            "restarts": self.supervisor.restarts,
            "services": list(services.values()),
            "workers": [
                {
                    "name": worker.name,
                    "target": worker.target,
                    "pid": worker.pid,
                    "state": worker.state,
                    "seconds": round(now - worker.began, 3),
                    "requests": worker.requests,
                    "memory": worker.memory(),
                }
                for worker in workers
            ],
        }


def _rfc3339(seconds: float) -> str:
    from natsrpc.observe.logs import rfc3339

    return rfc3339(seconds)


def _memory_folder() -> str | None:
    """Where files are memory, if there is such a place; else a folder for temporary files."""
    memory = "/dev/shm"  # noqa: S108  # in it, a folder is made that only this user can enter
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK | os.X_OK):
        return memory
    return None


def _locked(folder: Path) -> int:
    """Lock a folder for as long as this process lives, and return the descriptor; -1 where there
    are no locks. Children do not have it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return -1
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sweep(parent: Path) -> None:
    """Remove the folders of pools whose supervisor was killed. A lock tells that it is gone, for a
    process id means nothing to a container that shares the memory."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, or somebody else removes it
            if time.time() - folder.stat().st_mtime < _AGE:
                continue
            lock = _locked(folder)
            if lock >= 0:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _fold(folder: Path, pid: int) -> None:
    """Add what a process that has ended counted by prometheus_client to what others have left. Its
    files, 64 KiB each, go: else a pool that replaces its workers would fill the memory."""
    from prometheus_client import mmap_dict

    values: Any = mmap_dict.MmapedDict
    for kind in _ADDED_UP:
        path = folder / f"{kind}_{pid}.db"
        if not path.exists():
            continue
        counted = list(values.read_all_values_from_file(str(path)))
        left = values(str(folder / f"{kind}_0.db"))
        for key, value, timestamp, _ in counted:
            left.write_value(key, left.read_value(key)[0] + value, timestamp)
        left.close()
        path.unlink()
