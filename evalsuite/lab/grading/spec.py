"""A check as rubric.yaml writes it, read key by key; every mistake names its place and what is accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NoReturn

from evalsuite.errors import InputError, shown
from evalsuite.lab.grading.scan import Phrase


@dataclass(frozen=True)
class Spec:
    """A value with the path of its key ("rubric.yaml C-003.near.terms[1]")."""

    value: Any
    where: str

    def fail(self, accepted: str) -> NoReturn:
        raise InputError(f"{accepted}; found {shown(self.value)}", where=self.where)

    def at(self, key: str | int) -> Spec:
        """The value under a key or index."""
        return Spec(self.value[key], f"{self.where}[{key}]" if isinstance(key, int) else f"{self.where}.{key}")

    def fields(self, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Spec]:
        """The values of a mapping with exactly these keys. Raises InputError for one that is missing or unknown."""
        known = ", ".join([*required, *(f"{key} (optional)" for key in optional)])
        if not isinstance(self.value, dict):
            self.fail(f"must be a mapping with {known}")
        for key in self.value:
            if key not in (*required, *optional):
                raise InputError(f"key {key!r} is not known; accepted: {known}", where=self.where)
        for key in required:
            if key not in self.value:
                raise InputError(f"key {key!r} is missing; accepted: {known}", where=self.where)
        return {key: self.at(key) for key in self.value}

    def items(self, of: str) -> list[Spec]:
        """The elements of a list that is not empty."""
        if not isinstance(self.value, list) or not self.value:
            self.fail(f"must be a list of {of}, with at least one")
        return [self.at(i) for i in range(len(self.value))]

    def items_or_one(self, of: str) -> list[Spec]:
        """The elements of a list, or the value itself as the only one."""
        return self.items(of) if isinstance(self.value, list) else [self]

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value.strip():
            self.fail("must be a string with at least one word (put quotes round a number that is meant as text)")
        return self.value

    def phrase(self) -> Phrase:
        return Phrase(self.text(), self.where)

    def phrases(self) -> list[Phrase]:
        """One phrase, or a list of alternatives."""
        return [item.phrase() for item in self.items_or_one("strings")]

    def number(self, low: float = -math.inf, high: float = math.inf) -> Decimal:
        limits = (
            f" from {low:g} to {high:g}" if math.isfinite(high) else f" of at least {low:g}" if low > -math.inf else ""
        )
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)) or not math.isfinite(self.value):
            self.fail(f"must be a number{limits}, without quotes or units")
        if not low <= self.value <= high:
            self.fail(f"must be a number{limits}")
        return Decimal(str(self.value))

    def whole(self, low: int) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < low:
            self.fail(f"must be a whole number of at least {low}")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail("must be true or false")
        return self.value

    def one_of(self, names: Sequence[str], what: str) -> str:
        """The only key of a mapping, which must be one of `names`."""
        known = ", ".join(names)
        if not isinstance(self.value, dict) or not self.value:
            self.fail(f"must be a mapping with one {what} ({known}) or a string, which means quote")
        for key in self.value:
            if key not in names:
                close = get_close_matches(str(key), names, n=1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise InputError(f"{what} {key!r} is not known{hint}; accepted: {known}", where=self.where)
        if len(self.value) > 1:
            found = ", ".join(self.value)
            raise InputError(
                f"has {len(self.value)} kinds ({found}); one is accepted: join them in all_of, any_of or near",
                where=self.where,
            )
        return str(next(iter(self.value)))
