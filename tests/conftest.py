"""Fixtures for all tests, in which order and phase they run, and what is told of them.

Tests marked `alone` judge times. A plain run has them at its end. Where several test runs share a
machine, `--phase together` leaves them out, and `--phase alone`, one run after the other, makes
good for it: `scripts/everything` does so.

Tests marked `once` prove what neither another Python nor another server changes: what a type
checker says, how a page looks. `--again` leaves them out, where another run has them.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from natsrpc.codecs import registry
from natsrpc.errors import RpcError, ServerNotFoundError
from natsrpc.testing import find_server
from tests.core.harness import transport

pytest_plugins = ["natsrpc.testing.fixtures"]

# No deadline: a test may take as long as a loaded machine needs.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

_pid = os.getpid()

SERVER_FIXTURES = {
    "nats_server",
    "fresh_server",
    "nats_cluster",
    "jetstream_server",
    "fresh_jetstream",
    "jetstream_cluster",
}
"""A test that takes one of these is marked `live`; one that starts servers itself says so."""

_left_out_by_phase = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--phase", choices=["together", "alone"], help="without, or only, `alone`")
    parser.addoption("--again", action="store_true", help="without the tests marked `once`")
    parser.addoption(
        "--transport", choices=["ws", "wss"], help="run the live tests of the core over WebSocket"
    )
    parser.addoption("--tenth", action="store_true", help="with --transport: a tenth of them")
    parser.addoption("--progress", metavar="FILE", help="where to tell how many tests are done")


def _interrupt(number: int, frame: object) -> None:
    """Have a run that is told to end leave its fixtures and blocks, which end what they started."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends it at once
    if os.getpid() != _pid:  # forked by a test
        os.kill(os.getpid(), number)
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)
    if config.getoption("transport"):
        transport.use(config.getoption("transport"))
    file = config.getoption("progress")
    if file:
        config.pluginmanager.register(Progress(Path(file)))


def pytest_report_header() -> list[str]:
    """Tell at the start what is missing here, and what is left out therefore."""
    node = shutil.which("node") or "missing, so no test with JavaScript or pyright runs"
    try:
        server = str(find_server())
    except ServerNotFoundError as error:
        server = f"missing, so no test marked `live` runs: {error}"
    return [f"nats-server: {server}", f"node: {node}"]


class Progress:
    """Keeps in a file how many tests are done, of how many, and below that each that failed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._total = self._done = 0
        self._failed: dict[str, None] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)
        self._write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid] = None
        if report.when == "teardown":
            self._done += 1
            self._write()

    def _write(self) -> None:
        lines = [f"{self._done} {self._total}", *self._failed]
        whole = self._file.with_suffix(".new")
        whole.write_text("\n".join(lines) + "\n", encoding="utf-8")
        whole.replace(self._file)  # a reader never finds half of it


# which tests run, and in which order


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even load the files that have nothing for the phase `alone`."""
    if config.getoption("phase") != "alone" or not collection_path.name.startswith("test_"):
        return None
    asked_for = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    if not collection_path.is_file() or collection_path in asked_for:
        return None
    return True if "mark.alone" not in collection_path.read_text(encoding="utf-8") else None


def pytest_itemcollected(item: pytest.Item) -> None:
    if SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker("live")


@pytest.hookimpl(trylast=True)  # what other options select is known then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=is_alone)
    if config.getoption("transport"):
        transport.select(config, items, tenth=config.getoption("tenth"))
    if config.getoption("again"):
        config.hook.pytest_deselected(items=[item for item in items if is_once(item)])
        items[:] = [item for item in items if not is_once(item)]
    phase = config.getoption("phase")
    if phase is None:
        return
    left_out = [item for item in items if is_alone(item) != (phase == "alone")]
    config.hook.pytest_deselected(items=left_out)
    config.stash[_left_out_by_phase] = bool(left_out) or phase == "alone"
    items[:] = [item for item in items if is_alone(item) == (phase == "alone")]
    items.sort(key=scattered)


def is_once(item: pytest.Item) -> bool:
    return item.get_closest_marker("once") is not None


def scattered(item: pytest.Item) -> int:
    """An order of whole files that is always the same, and has slow ones not all at its start.

    So the count of tests that are done tells how far a run is, and runs that began together do not
    all compute, and then all wait, at the same time.
    """
    return zlib.crc32(item.nodeid.partition("::")[0].encode())


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def pytest_collection_finish() -> None:
    """Spare each collection of garbage the objects of a few hundred modules, which all stay."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what cannot run here. The reason is told once for all of them, and CI fails."""
    if is_alone(item) and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("judges times, and other tests run beside it: run --phase alone, too")
    if item.get_closest_marker("live") is not None:
        try:
            find_server()
        except ServerNotFoundError as error:
            if os.environ.get("CI"):
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let it be no failure that all tests selected are of the other phase."""
    none = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    if none and session.config.stash.get(_left_out_by_phase, False):
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture
def restored_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget at the end of the test which codecs it registered."""
    for table in ("_by_name", "_by_content_type"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


@pytest.fixture(autouse=True)
def only_the_module_s_own_error_classes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a test know the error classes that a program of its module alone would know.

    Error classes are registered by name for the whole process, and here one process imports all
    test modules, several of which have an error of the same name.
    """
    module = request.module
    own = [value for value in vars(module).values() if isinstance(value, type)]
    known = {
        name: [
            cls
            for cls in classes
            if cls in own or cls.__module__ in (module.__name__, RpcError.__module__)
        ]
        for name, classes in RpcError.registered.items()
    }
    monkeypatch.setattr(RpcError, "registered", {n: found for n, found in known.items() if found})
