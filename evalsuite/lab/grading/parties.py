"""Names of parties with their legal forms: GmbH, Ltd., S.A. and the like are optional, but not interchangeable."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.lab.grading.scan import Phrase, Scan, Span, words_of
from evalsuite.lab.grading.spec import Spec

_FORMS = {
    "gmbh": "gmbh", "ag": "ag", "kg": "kg", "ohg": "ohg", "ug": "ug", "se": "se", "gmbh and co kg": "gmbh and co kg",
    "ltd": "ltd", "limited": "ltd", "llp": "llp", "lp": "lp", "plc": "plc", "llc": "llc", "l l c": "llc", "l p": "lp",
    "inc": "inc", "incorporated": "inc", "corp": "corp", "corporation": "corp", "co": "co", "company": "co",
    "co ltd": "co ltd", "pty ltd": "pty ltd", "pte ltd": "pte ltd", "sa": "sa", "s a": "sa", "sas": "sas", "s a s": "sas",
    "sarl": "sarl", "s a r l": "sarl", "s à r l": "sarl", "sàrl": "sarl", "spa": "spa", "s p a": "spa", "srl": "srl",
    "s r l": "srl", "bv": "bv", "b v": "bv", "nv": "nv", "n v": "nv", "ab": "ab", "a s": "as", "oy": "oy",
    "aps": "aps", "sl": "sl", "s l": "sl", "p l c": "plc", "l l p": "llp", "public limited company": "plc",
}  # fmt: skip
_LONGEST_FORM = 3
_GROUP_WORDS = ("holding", "holdings", "group", "international")


class Name:
    """A party's name: the legal form (GmbH, Ltd., S.A.) may be missing in the text, but not another one in its place.

    "Halden Freight GmbH" is found in "Halden Freight" and "Halden Freight GmbH", not in "Halden Freight Ltd" or
    "Halden Freight Holdings GmbH". A name given without a form is found with any.
    """

    def __init__(self, text: str, where: str) -> None:
        words = words_of(text)
        length = _form_length(words, len(words), before=True)
        self.form = _FORMS.get(" ".join(words[len(words) - length :]), "") if length < len(words) else ""
        self.phrase = Phrase(text, where)
        if self.form:
            self.phrase.words = self.phrase.words[:-length]

    def spans(self, scan: Scan) -> list[Span]:
        """Every place in a file, in order; the legal form is part of it."""
        return scan.once(self, lambda: self._find(scan))

    def _find(self, scan: Scan) -> list[Span]:
        found = []
        for start, end in self.phrase.spans(scan):
            last = scan.first[scan.block_at(start) + 1]
            following = scan.words[end : min(last, end + _LONGEST_FORM + 1)]
            if following[:1] and following[0] in _GROUP_WORDS and _form_length(following, 1):
                continue
            length = _form_length(following, 0)
            form = _FORMS.get(" ".join(following[:length]), "")
            if not (self.form and form) or form == self.form:
                found.append((start, end + length))
        return found


def _form_length(words: Sequence[str], at: int, before: bool = False) -> int:
    """How many words a legal form takes that begins (or ends, if `before`) at a position; 0 if there is none."""
    for length in range(_LONGEST_FORM + 1, 0, -1):
        low, high = (at - length, at) if before else (at, at + length)
        if low >= 0 and high <= len(words) and " ".join(words[low:high]) in _FORMS:
            return length
    return 0


def names(spec: Spec) -> list[Name]:
    """One name, or a list of aliases."""
    return [Name(item.text(), item.where) for item in spec.items_or_one("names")]
