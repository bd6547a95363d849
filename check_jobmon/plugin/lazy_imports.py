"""Imports with less of the standard library: what psycopg imports and a check never uses waits until it is used.

By Python's documented hooks alone: a finder in sys.meta_path and a module's own __getattr__ (PEP 562). A module that waits
is the real one with its code not yet run; the first name asked of it that isn't known here runs it. So the worst that
another version of Python or psycopg can do is to make a check as slow as it would be without this.
tests/benchmarks/process.py says what it pays.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

ASYNCIO = {
    "AbstractEventLoop": "events",
    "CancelledError": "exceptions",
    "Event": "locks",
    "Future": "futures",
    "Lock": "locks",
    "Queue": "queues",
    "Task": "tasks",
    "TimeoutError": "exceptions",
    "create_task": "tasks",
    "gather": "tasks",
    "get_event_loop": "events",
    "get_running_loop": "events",
    "shield": "tasks",
    "sleep": "tasks",
    "to_thread": "threads",
    "wait_for": "tasks",
}
"""What psycopg takes of asyncio while it is imported, and which part of asyncio has it."""


def _part(module: str, name: str) -> Callable[[], object]:
    return lambda: getattr(importlib.import_module(module), name)


def _later(module: str, name: str) -> Callable[[], object]:
    def call(*arguments: Any, **keywords: Any) -> object:
        _run(sys.modules[module])
        return getattr(sys.modules[module], name)(*arguments, **keywords)

    return lambda: call


def _version(distribution: str) -> str:
    """As importlib.metadata.version(), by the name of the folder that records what is installed (packaging.python.org)."""
    start = distribution.replace("-", "_").lower() + "-"
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info") and name.lower().startswith(start):
                return name[len(start) : -len(".dist-info")]
    metadata = sys.modules["importlib.metadata"]
    _run(metadata)
    return str(metadata.version(distribution))


WAITING: Mapping[str, Mapping[str, Callable[[], object]]] = {
    # the parts of it that psycopg needs do without SSL, streams, subprocesses and the event loops
    "asyncio": {name: _part(f"asyncio.{part}", name) for name, part in ASYNCIO.items()},
    # functions that are imported by their names, and wait until they are called
    **{
        module: {name: _later(module, name) for name in names}
        for module, names in {
            "base64": ("b64decode", "b64encode"),
            "json": ("dumps", "loads"),
            "random": ("randint", "shuffle"),
            "traceback": ("extract_stack",),
            "urllib.parse": ("quote_from_bytes",),
        }.items()
    },
    # psycopg asks for its own version only, for which an e-mail parser would be loaded
    "importlib.metadata": {"version": lambda: _version},
    **{
        name: {}
        for name in (
            *("copy", "ctypes", "ctypes.util", "fnmatch", "inspect", "linecache", "locale", "queue", "shutil"),
            *("ssl", "subprocess", "tempfile", "textwrap", "token", "tokenize"),
        )
    },
}
"""The modules that may wait, each with the names that it can give without being run."""


class _Waiting:
    """A loader that leaves a module's code for later (importlib.abc.Loader)."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        def __getattr__(name: str) -> object:  # noqa: N807
            return _give(module, name)

        module.__dict__["__getattr__"] = __getattr__


def _give(module: ModuleType, name: str) -> object:
    """A name of a module that waits."""
    known = WAITING[module.__name__].get(name)
    if known:
        value = known()
        module.__dict__[name] = value
        return value
    if name == "__path__":
        raise AttributeError(name)  # the import system asks whether it is a package
    folders = module.__dict__.get("__path__")
    if folders and PathFinder.find_spec(f"{module.__name__}.{name}", folders):
        return importlib.import_module(f"{module.__name__}.{name}")
    _run(module)
    return getattr(module, name)


def _run(module: ModuleType) -> None:
    """Run the code that was left for later."""
    if module.__dict__.pop("__getattr__", None):
        spec = module.__spec__
        assert spec is not None
        assert isinstance(spec.loader, _Waiting)
        spec.loader = module.__loader__ = spec.loader.loader
        spec.loader.exec_module(module)


class _Finder:
    """A finder that makes some modules wait (importlib.abc.MetaPathFinder)."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in WAITING:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Waiting(spec.loader))
        return spec


@contextmanager
def sparing() -> Iterator[None]:
    """Imports made meanwhile leave for later what may wait."""
    sys.meta_path.insert(0, _Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(_Finder)
