"""Where `module:Class` of an eval file is looked for: each file gets the modules of its own folder, whatever else has their names."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

SHARED = {*sys.stdlib_module_names, "__main__", "evalsuite"}
"""Names that are never looked for in a folder."""
_loaded: dict[Path, dict[str, ModuleType]] = {}
"""File or package folder -> its modules, while they are not in sys.modules."""


@contextlib.contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """Relative paths start from the eval file's folder, and so do its imports."""
    with modules_of(folder), contextlib.chdir(folder):
        yield


@contextlib.contextmanager
def modules_of(*folders: Path) -> Iterator[None]:
    """Inside the block modules are looked for in these folders, then where pytest was started, then as always.

    Every file is loaded once. Modules from elsewhere that have the name of one in the folders are out of the way, and
    afterwards sys.path and sys.modules are as they were. Of several folders, what lies in two cannot be imported.
    """
    homes = list(dict.fromkeys(folder.resolve() for folder in (*folders, Path.cwd())))
    refusal = _Refusal(homes)
    before = {name: module for name, module in sys.modules.items() if "." not in name}
    hidden = _take([name for name, m in before.items() if _at_home(name, homes, len(folders)) not in (None, _place(m))])
    kept = before.keys() - hidden.keys()
    for place, modules in _loaded.items():
        if place.stem not in kept and _at_home(place.stem, homes, len(folders)) == place:
            sys.modules.update(modules)
    sys.path[:0] = map(str, homes)
    if len(folders) > 1:
        sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        new = {name: _place(module) for name, module in sys.modules.items() if "." not in name and name not in kept}
        for home in map(str, homes):
            sys.path.remove(home)
        own = {name: at for name, at in new.items() if at and at.parent in homes and str(at.parent) not in sys.path}
        for name, modules in _take(own).items():
            _loaded[own[name]] = modules
        for modules in hidden.values():
            sys.modules.update(modules)
        if refusal in sys.meta_path:
            sys.meta_path.remove(refusal)


class _Refusal:
    """Finds nothing, and refuses what lies in two folders: trials that run together share their imports."""

    def __init__(self, homes: Sequence[Path]) -> None:
        self.homes = homes

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if path is None and len(found := _places(name, self.homes)) > 1:
            places = " and as ".join(map(str, found))
            raise ImportError(
                f"{name} is there as {places}, whose trials run together: import it at the top of the module"
            )
        return None


def _take(names: Collection[str]) -> dict[str, dict[str, ModuleType]]:
    """Take modules and what is below them out of sys.modules."""
    found: dict[str, dict[str, ModuleType]] = {}
    for full in list(sys.modules):
        if (name := full.partition(".")[0]) in names:
            found.setdefault(name, {})[full] = sys.modules.pop(full)
    return found


def _at_home(name: str, homes: Sequence[Path], n_folders: int) -> Path | bool | None:
    """Where the folders have the module; False where several do and none comes first, None where none does."""
    found = _places(name, homes)
    return (found[0] if len(found) == 1 or n_folders == 1 else False) if found else None


def _places(name: str, homes: Sequence[Path]) -> list[Path]:
    """The files or package folders of that name, first come first."""
    if name in SHARED:
        return []
    spaces = not getattr(
        sys.modules.get(name), "__file__", None
    )  # an installed package goes before a folder without code
    found = []
    for home in homes:
        package, file = home / name, home / f"{name}.py"
        if (package / "__init__.py").is_file() or (spaces and not file.is_file() and any(package.rglob("*.py"))):
            found.append(package)
        elif file.is_file():
            found.append(file)
    return found


def _place(module: ModuleType) -> Path | None:
    """The file of a module, or the folder of a package."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        path = Path(file).resolve()
        return path.parent if path.stem == "__init__" else path
    return next((Path(part).resolve() for part in getattr(module, "__path__", ())), None)
