"""The services named on a command line: `module:attribute` or `path/to/file.py:attribute`.

Without an attribute, `service` is meant. Its value is a `Service` or a list of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from natsrpc import Service  # the public name: it makes services answer discovery
from natsrpc.errors import ConfigError

__all__ = ["load_module", "load_services"]


def load_services(target: str) -> list[Service]:
    """Import the target's module and return its services.

    Raises:
        ConfigError: there is no such file, module or attribute, or it is no service. An error that
            the module itself raises while it is imported is not caught.
    """
    where, attribute = _split(target)
    module = load_module(where)
    value = getattr(module, attribute, None)
    if value is None:
        found = [name for name, each in vars(module).items() if isinstance(each, Service)]
        named = " or ".join(f"`{where}:{name}`" for name in found or ["NAME"])
        raise ConfigError(f"{where!r} has no attribute {attribute!r}; name one: {named}")
    services = [value] if isinstance(value, Service) else value
    if not isinstance(services, list | tuple) or not services:
        kind = type(value).__name__
        raise ConfigError(f"{target!r} is of type {kind}, expected a Service or a list of them")
    for service in services:
        if not isinstance(service, Service):
            raise ConfigError(f"{target!r} holds {service!r}, expected a Service")
    return list(services)


def load_module(where: str) -> ModuleType:
    """Import a module by its file, or by its name; the current folder is searched first.

    Raises:
        ConfigError: there is no such file or module. An error that the module itself raises while
            it is imported is not caught.
    """
    if where.endswith(".py"):
        return _load_file(Path(where))
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        # a module missing inside the module is its own fault, and keeps its traceback
        if error.name is not None and (where + ".").startswith(error.name + "."):
            raise ConfigError(f"there is no module {where!r} here or on the path") from None
        raise


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # pydantic resolves the names in string annotations by `sys.modules`
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _split(target: str) -> tuple[str, str]:
    where, colon, attribute = target.rpartition(":")
    # the colon of a Windows drive is followed by no name
    if colon and attribute.isidentifier():
        return where, attribute
    return target, "service"
