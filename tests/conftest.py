"""Fixtures for all tests, and how long Hypothesis may take: as long as a loaded machine needs.

Where several test runs share a machine, `--phase together` leaves out the tests marked `alone`, and
`--phase alone`, one run after the other, makes good for it.
"""

import pytest
from hypothesis import HealthCheck, settings

from natsrpc.codecs import registry
from natsrpc.errors import RpcError

pytest_plugins = ["natsrpc.testing.fixtures"]

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


_left_out_by_phase = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--phase", choices=["together", "alone"], help="without, or only, `alone`")


@pytest.hookimpl(trylast=True)  # what other options select is known then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    phase = config.getoption("phase")
    if phase is None:
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        is_alone = item.get_closest_marker("alone") is not None
        (kept if is_alone == (phase == "alone") else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    config.stash[_left_out_by_phase] = bool(left_out)
    items[:] = kept


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
