"""What can be run: retrievers with their settings, plug-ins, measures."""

from __future__ import annotations

import inspect
from typing import Any

from evalsuite.retrieval.measures import FAMILIES
from evalsuite.retrieval.retrievers import BUILTIN, GRAMMAR, builtin_class, parameters, plugins


def catalogue() -> dict[str, Any]:
    """{"retrievers": [{"name", "about", "settings": {key: default}}], "plugins", "measures", "grammar"}."""
    entries = []
    for name in BUILTIN:
        kind = builtin_class(name)
        about = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
        settings = {key: default for key, (_, default) in parameters(kind).items()}
        entries.append({"name": name, "about": about, "settings": settings})
    suffix = {"required": "@k", "optional": "[@k]", "none": ""}
    return {
        "retrievers": entries,
        "plugins": sorted(plugins()),
        "measures": [family + suffix[cutoff] for family, (_, cutoff) in FAMILIES.items()],
        "grammar": GRAMMAR,
    }
