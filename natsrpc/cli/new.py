"""`natsrpc new`: makes a project that runs, out of the templates beside this file.

A template is a file whose name ends with `.tmpl`; `{{name}}` and the like in it, and `NAME` in its
path, are replaced. The rule kept here: nothing that exists is touched, and what could not be
written whole is removed again.
"""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from natsrpc.errors import ConfigError
from natsrpc.version import __version__

from .command import exit_code, fail
from .output import show

__all__ = ["files", "first_steps", "new", "requirement"]

_MAX_NAME = 40
_SUFFIX = ".tmpl"
_name = re.compile(r"[a-z](?:[a-z0-9_]*[a-z0-9])?")
_not_word = re.compile(r"[^a-z0-9]+")
_mark = re.compile(r"\{\{(\w+)\}\}")
_TAKEN = frozenset(
    {"aux", "con", "nul", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
    | {"tests", "hatchling", "mypy", "natsrpc", "pydantic", "pydantic_settings", "pytest"}
    | {"pytest_asyncio", "ruff"}
)
"""Names that would be in the way: of devices on Windows, of the project's other folder, and of
packages that it needs."""

_EXTRAS = "cli,web"
_UNRELEASED = (
    "# It fails as long as the package index has no natsrpc: the one here came from elsewhere.\n"
)


def new(
    name: Annotated[
        str,
        typer.Argument(help="Of the folder, the package and the service, as in `shop`."),
    ],
) -> None:
    """Make the folder NAME with a service that runs, its tests, an image and a workflow."""
    try:
        count = _write(_checked(name), Path.cwd())
    except ConfigError as error:
        fail(str(error), exit_code(error))
    show(f"made {name}: {count} files. Next:")
    for line in (
        f"cd {name}",
        *first_steps(),
        'pip install -e ".[dev]"',
        "pytest",
        "natsrpc run --embedded",
    ):
        show(f"    {line}")
    show("and in another terminal:")
    show(f'    natsrpc call {name}.add \'{{"text": "buy milk"}}\'')


def files(name: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a project with this name."""
    first = first_steps()
    words = {
        "name": name,
        "NAME": name.upper(),
        "requirement": requirement(),
        "first": "".join(f"{line}\n" for line in first),
        "unreleased": _UNRELEASED if first else "",
    }
    root = resources.files(__package__) / "templates" / "project"
    for path, template in _templates(root, ""):
        text = template.read_text(encoding="utf-8")
        yield _filled(path, words), _mark.sub(lambda found: words[found[1]], text)


def requirement() -> str:
    """The requirement of this natsrpc: by its commit if that was installed from a repository, else
    by its version."""
    try:
        origin = _origin()
        vcs = origin["vcs_info"]
        place = f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    except (KeyError, TypeError):
        return f"natsrpc[{_EXTRAS}]>={__version__}"
    return f"natsrpc[{_EXTRAS}] @ {place}"


def first_steps() -> list[str]:
    """The commands to install this natsrpc with, where it came from a folder or a file: only there
    can it be had for sure. The project does not require it from there, for others have none."""
    url = urlsplit(str(_origin().get("url", "")))
    if url.scheme != "file":
        return []
    place = shlex.quote(f"{url2pathname(url.path)}[{_EXTRAS},server]")
    return [f"pip install {place}    # the package index may not have it yet"]


def _origin() -> Mapping[str, Any]:
    """Where this natsrpc was installed from (PEP 610); nothing if from an index."""
    try:
        told = metadata.distribution("natsrpc").read_text("direct_url.json")
        origin = json.loads(told or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _templates(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from _templates(each, f"{path}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield path + each.name.removesuffix(_SUFFIX), each


def _filled(path: str, words: Mapping[str, str]) -> str:
    return "/".join(words["name"] if part == "NAME" else part for part in path.split("/"))


def _checked(name: str) -> str:
    """Return the name, if a folder, a package and a service can have it.

    Raises:
        ConfigError: they cannot.
    """
    if not _name.fullmatch(name) or len(name) > _MAX_NAME:
        close = _not_word.sub("_", name.lower()).strip("_")[:_MAX_NAME].strip("_")
        hint = f": {close!r} would do" if close and _name.fullmatch(close) else ""
        raise ConfigError(
            f"{name!r} is no name of a package, expected up to {_MAX_NAME} lower-case letters, "
            f"digits and _, a letter first{hint}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ConfigError(f"{name!r} is a word of Python: choose another name")
    if name in sys.stdlib_module_names:
        raise ConfigError(f"{name!r} is a module of Python's standard library: choose another name")
    if name in _TAKEN or _is_installed(name):
        raise ConfigError(f"{name!r} is taken by a package or a system: choose another name")
    return name


def _is_installed(name: str) -> bool:
    found = importlib.util.find_spec(name)
    if found is None:
        return False
    places = [found.origin, *(found.submodule_search_locations or ())]
    here = Path.cwd().resolve()  # what is here is seen by the one who makes the folder
    return not any(place and Path(place).resolve().is_relative_to(here) for place in places)


def _write(name: str, parent: Path) -> int:
    """Write the project into a folder of that name, and return how many files it has.

    Raises:
        ConfigError: the folder exists, or cannot be written.
    """
    folder, count = parent / name, 0
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(f"{name!r} exists here already: nothing was written") from None
    except OSError as error:
        raise ConfigError(f"cannot make the folder {name!r}: {error.strerror}") from None
    try:
        for path, text in files(name):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
            count += 1
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise ConfigError(f"cannot write {name!r}: {error.strerror}") from None
        raise
    return count
