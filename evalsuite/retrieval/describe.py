"""What can be run: retrievers with their settings, plug-ins, measures."""

from __future__ import annotations

import inspect
from typing import Any

from evalsuite.retrieval.measures import FAMILIES
from evalsuite.retrieval.retrievers import BUILTIN, GRAMMAR, builtin_class, parameters, plugins, required


def catalogue() -> dict[str, Any]:
    """{"retrievers": [{"name", "role", "track", "about", "settings": {key: default}, "required": [key]}], "plugins", ...}.

    Role and track of a system made of others are at least those named here: the furthest of its parts counts.
    """
    entries = []
    for name in BUILTIN:
        kind = builtin_class(name)
        about = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
        settings = {key: default for key, (_, default) in parameters(kind).items()}
        entries.append(
            {
                "name": name,
                "role": getattr(kind, "own_role", kind.role),
                "track": getattr(kind, "own_track", kind.track),
                "about": about,
                "settings": settings,
                "required": [key for key in required(kind) if key in settings],
            }
        )
    suffix = {"required": "@k", "optional": "[@k]", "none": ""}
    return {
        "retrievers": entries,
        "plugins": sorted(plugins()),
        "measures": [family + suffix[cutoff] for family, (_, cutoff) in FAMILIES.items()],
        "grammar": GRAMMAR,
    }
