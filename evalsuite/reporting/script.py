"""The page's script and style: the modules of static/ as one inline script, and the policy that lets only these two run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

START = "main"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z]+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?function (\w+)|const (\w+))", re.M)


@cache
def script() -> str:
    """All modules that main.js needs, each in a scope of its own, those that are imported first.

    A module may import names from its neighbours and export functions and constants; no cycles.
    """
    done: dict[str, str] = {}

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"static/{name}.js imports itself through {', '.join(importers)}")
        if name in done:
            return
        source = _read(f"{name}.js")
        for found in _IMPORT.finditer(source):
            add(found[2], (*importers, name))
        exports = ", ".join(first or second for first, second in _EXPORT.findall(source))
        body = _EXPORT.sub("", _IMPORT.sub(r"const {\1} = \2_js;\n", source))
        done[name] = f"const {name}_js = (() => {{\n{body}return {{ {exports} }};\n}})();\n"

    add(START, ())
    return f'"use strict";\n{"".join(done.values())}'


@cache
def style() -> str:
    """The page's style sheet."""
    return _read("page.css")


def policy(*, scripted: bool = True, served: bool = False) -> str:
    """The Content-Security-Policy: nothing but our own script and style, by hash; a served page may also ask its server."""
    parts = ["default-src 'none'", f"style-src '{_hash(style())}'", "base-uri 'none'", "form-action 'none'"]
    if scripted:
        parts.append(f"script-src '{_hash(script())}'")
    if served:
        parts.append("connect-src 'self'")
    return "; ".join(parts)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return (files("evalsuite.reporting") / "static" / name).read_text(encoding="utf-8")
