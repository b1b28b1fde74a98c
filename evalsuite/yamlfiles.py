"""YAML as people write it by hand: a key that stands twice is refused, where YAML itself would take the last."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} appears twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Plain values. Raises yaml.YAMLError, and no other; it is a MarkedYAMLError where the line is known."""
    try:
        return yaml.load(text, _Loader)
    except (ValueError, OverflowError, RecursionError) as error:  # a date that is none, nesting without end
        raise yaml.YAMLError(str(error)) from error
