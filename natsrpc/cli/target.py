"""The services named on a command line: `module:attribute` or `path/to/file.py:attribute`.

Without an attribute, `service` is meant. Its value is a `Service` or a list of them; with
`--factory`, a function that returns one of these. A file inside a package is imported as a module
of that package, so that its relative imports work.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import inspect
import sys
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from natsrpc import Service  # the public name: it makes services answer discovery
from natsrpc.errors import ConfigError, NatsRpcError
from natsrpc.rpc import users_part

__all__ = ["ModuleFailedError", "described", "frames_of", "load_module", "load_services", "split"]


class ModuleFailedError(NatsRpcError):
    """The user's module raised an error while it was imported, or its factory did. `frames` is the
    traceback, of the user's frames alone."""

    def __init__(self, message: str, *, frames: str = "") -> None:
        super().__init__(message)
        self.frames = frames

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (str(self), self.frames)


def _again(message: str, frames: str) -> ModuleFailedError:
    return ModuleFailedError(message, frames=frames)


def load_services(target: str, *, factory: bool = False) -> list[Service]:
    """Import the target's module and return its services.

    Args:
        target: `module:attribute` or `path/to/file.py:attribute`.
        factory: the attribute is a function to call, which returns the services.

    Raises:
        ConfigError: there is no such file, module or attribute, or it is no service.
        ModuleFailedError: the module, or the function, raised an error.
    """
    where, attribute = split(target)
    module = load_module(where)
    value = getattr(module, attribute, None)
    if value is None:
        found = [name for name, each in vars(module).items() if isinstance(each, Service)]
        named = " or ".join(f"`{where}:{name}`" for name in found or ["NAME"])
        raise ConfigError(f"{where!r} has no attribute {attribute!r}; name one: {named}")
    if factory:
        value = _made(target, value)
    elif inspect.isroutine(value):
        raise ConfigError(f"{target!r} is a function: --factory calls it for the services")
    services = [value] if isinstance(value, Service) else value
    if not isinstance(services, list | tuple) or not services:
        kind = type(value).__name__
        raise ConfigError(f"{target!r} is of type {kind}, expected a Service or a list of them")
    for service in services:
        if not isinstance(service, Service):
            raise ConfigError(f"{target!r} holds {service!r}, expected a Service")
    return list(services)


def _made(target: str, function: Any) -> Any:
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"{target!r} is no plain function, which --factory would call")
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise _failed(f"the factory {target!r}", error) from None


def described(service: Service) -> dict[str, Any]:
    """A service as plain data, for the pages about a pool."""
    contract = service.contract
    return {
        "name": contract.name,
        "version": contract.version,
        "description": contract.description,
        "endpoints": [
            {"name": each.name, "subject": each.subject, "queue_group": each.queue_group}
            for each in contract.endpoints
        ],
    }


def load_module(where: str) -> ModuleType:
    """Import a module by its file, or by its name; the current folder is searched first.

    Raises:
        ConfigError: there is no such file or module.
        ModuleFailedError: the module raised an error while it was imported.
    """
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ConfigError(f"there is no file {where!r}")
        name = _name_of_file(path.resolve())
    else:
        path, name = None, where
        if not all(part.isidentifier() for part in where.split(".")):
            raise ConfigError(
                f"{where!r} is no module: expected `module:service` or `path/to/file.py:service`"
            )
        _search_first(Path.cwd())
    try:
        if path is not None and "." not in name:
            return _load_alone(name, path.resolve())
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # a module missing inside the module is its own fault, and keeps its traceback
        if error.name is not None and (name + ".").startswith(error.name + "."):
            raise ConfigError(f"there is no module {where!r} here or on the path") from None
        raise _failed(repr(where), error) from None
    except (Exception, SystemExit) as error:
        raise _failed(repr(where), error) from None


def _search_first(folder: Path) -> None:
    if str(folder) not in sys.path and not ("" in sys.path and folder == Path.cwd()):
        sys.path.insert(0, str(folder))


def _name_of_file(path: Path) -> str:
    """The name to import a file by: with the packages that it is in, whose parent is searched."""
    names = [path.stem] if path.name != "__init__.py" else []
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    _search_first(folder)
    return ".".join(names)


def _load_alone(name: str, path: Path) -> ModuleType:
    """Import a file that is in no package, under its own name if no other module has that."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", "") == str(path):
        return known
    if known is not None or not name.isidentifier():
        name = f"natsrpc_target_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # pydantic resolves the names in string annotations by `sys.modules`
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _failed(what: str, error: BaseException) -> NatsRpcError:
    """The error to raise for one that the user's code raised."""
    frames = frames_of(error)
    if isinstance(error, SystemExit):
        text = f"{what} called sys.exit({error.code!r}) where it should only define services"
        return ModuleFailedError(text, frames=frames)
    if isinstance(error, RuntimeError) and "cannot be called from a running event loop" in str(
        error
    ):
        # the coroutine that was to run is of no interest any more
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        text = (
            f"{what} runs a program while it is imported, where it should only define services: "
            'put the call under `if __name__ == "__main__":`'
        )
        return ModuleFailedError(text, frames=frames_of(error, deep=False))
    if isinstance(error, ImportError) and "relative import" in str(error):
        text = (
            f"{what} has relative imports and is in no package: an `__init__.py` beside it makes "
            "one, or name it as a module, as in `package.module:service`"
        )
        return ModuleFailedError(text, frames=frames)
    text = f"{what} raised an error while it was loaded"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        text += (
            ": it listens at an address that is in use, as by another worker that has loaded it; "
            "`natsrpc run --http` serves one page with the metrics of all workers"
        )
    return ModuleFailedError(text, frames=frames)


def frames_of(error: BaseException, *, deep: bool = True) -> str:
    """The traceback of an error as Python writes it, of the user's frames alone; those that raised
    it, in packages that the user's called, are among them unless not `deep`."""
    told = traceback.format_exception(type(error), error, users_part(error, deep=deep))
    return "".join(told).rstrip()


def split(target: str) -> tuple[str, str]:
    """The module or file of a target, and the attribute in it."""
    where, colon, attribute = target.rpartition(":")
    # the colon of a Windows drive is followed by no name
    if colon and attribute.isidentifier():
        return where, attribute
    return target, "service"
