"""Names of people and parties in running text: capitalised words, but not the capitals of a title or a sentence.

Without a dictionary, a word counts as ordinary if the documents or the deliverable have it in lower case somewhere,
if it is one of the words memoranda like to capitalise, or if it ends as English nouns and adjectives do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_SUFFIX = (
    r"Inc|Incorporated|Corp|Corporation|LLC|L\.L\.C|LLP|L\.L\.P|LP|L\.P|Ltd|Limited|PLC|plc|P\.L\.C|GmbH|mbH|AG|KG|"
    r"KGaA|"
    r"SE|UG|OHG|SA|S\.A|SAS|S\.A\.S|SARL|S\.à r\.l|Sàrl|S\.r\.l|Srl|S\.p\.A|SpA|NV|N\.V|BV|B\.V|AB|ASA|A/S|ApS|Oy|"
    r"Oyj|SL|S\.L|"
    r"Pty|Pte|N\.A|Co|Company|Holdings?|Partners|Ventures|Bank|Associates"
)
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'&.-]*[\w]|[A-ZÀ-ÖØ-Þ]\.?"
_JOINED = r"(?: (?:(?:of|de|la|le|van|von|der|den|du|di|da|zu|&|y) ){0,2}| ?/ ?)"
_SEQUENCE = re.compile(rf"(?<![\w'.@/-])(?:{_CAPITAL})(?:,? (?:{_SUFFIX})\b\.?|{_JOINED}(?:{_CAPITAL})(?![\w]))*")
_LEGAL = re.compile(rf"(?:,? (?:{_SUFFIX})\.?)+$")
_FIRM = re.compile(rf",? (?:{_SUFFIX})\.?$")
_TITLE = re.compile(r"(?:Mr|Mrs|Ms|Dr|Prof|Messrs|Herr|Frau|Mme|Sir|Dame)\.? (?=[A-ZÀ-Þ])")
_LAW = re.compile(
    r"\b(?:Act|Code|Law|Regulations?|Directive|Rules?|Statute|Ordinance|Constitution|Convention|Treaty|Amendment|Court|"
    r"Circuit|District|U\.S\.C|C\.F\.R|Restatement|Commission|Department|Agency|Ministry|Authority|Standards?|"
    r"University)\b"
)
_ENDING_PARTS = """
tion tions sion sions ment ments ness ity ities ance ances ence ences ing ings able ible ary ory ive ives ful less
ship ous ally ual ural ency ancy encies ancies ures ism ized ised ated ables ology holder holders wide based
specific level term ical ional ential edly
"""
_ENDINGS = tuple(_ENDING_PARTS.split())
_MEMO_WORDS = """
a an the this that these those all any each every no not none some both either neither other another such same its
our your their his her we you they it i he she who what which when where why how if in on at by for from to of off
out over under upon with within without and or but nor as than then so yet also only just more most less least very
per via vs is are was were be been being has have had do does did can could may might must shall should will would
memo memorandum privileged confidential draft attorney client work product counsel partner associate re cc subject
january february march april june july august september october november december monday tuesday wednesday thursday
friday saturday sunday jan feb mar apr jun jul aug sep sept oct nov dec today q1 q2 q3 q4 fy executive summary
overview background facts fact scope purpose question questions short brief answer answers analysis discussion
conclusion conclusions recommendation recommendations next step steps action actions item items key issue issues
risk risks red flag flags finding findings table appendix annex schedule exhibit section clause article part chapter
page note notes source sources document documents file files data room matter deal target buyer seller purchaser
vendor lender borrower landlord tenant lessor lessee licensor licensee employer employee supplier customer parent
subsidiary guarantor agent trustee party parties counterparty company group board director directors officer
officers chief manager chair president vice senior junior general head owner founder shareholder investor agreement
contract lease loan credit facility deed letter notice consent waiver amendment approval term terms condition
conditions covenant warranty indemnity guarantee escrow closing signing date price purchase sale sell share shares
stock asset assets merger change control transfer default breach cure remedy damages liability cap basket claim
claims dispute law court judge statute rule rules act code state federal local tax report review check list high low
medium critical moderate severe material immediate urgent pending open closed yes n/a tbd amount value total net
gross cost costs fee fees rate revenue profit loss margin debt equity cash fund funds bank trust capital market
business service services plan plans policy policies process programme program project phase site plant legal
finance financial commercial technical environmental employment labor labour insurance property real estate
intellectual trade mark patent copyright license licence software system systems security privacy health safety
north south east west northern southern eastern western central united states kingdom america american european
union europe england wales scotland ireland germany france spain italy german french spanish english british new
york jersey delaware california texas city county street road avenue suite floor day days week month year years
first second third one two three four five six seven eight nine ten post pre non sub anti cross long full final
initial current annual monthly quarterly recommended required proposed expected governing applicable relevant
important main top best dear sincerely regards hereby herein thereof see cf eg ie ltd inc llc corp gmbh plc llp lp
ag sa nv bv co confirm obtain engage define make resolve negotiate demand require assess model consider verify seek
request prepare ensure include ask add get replace agree serve send give take keep adverse expense expenses use
docket nos incident stale operating status location rating severity likelihood impact response comment comments
basis reference timing priority deadline trigger triggers consequence working clean dirty tracker register index tab
sheet internal external assigned missing unknown confirmed
"""
_ORDINARY = frozenset(_MEMO_WORDS.split())


def names_in(text: str, known_lower: Collection[str], known: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """(name as written, the phrases a document must hold) for each name of a normalised text.

    known_lower: words that occur in lower case; known: all words of the documents, in lower case. A phrase is given as
    lower-case words; one of an unknown word is that word alone.
    """
    for match in _SEQUENCE.finditer(text):
        written = match[0]
        titled = _TITLE.match(written) is not None
        if _LAW.search(written) or written.isupper():
            continue
        if _FIRM.search(written) and (core := _core(_LEGAL.sub("", written), known_lower)):
            yield written, [" ".join(core)]
            continue
        tokens = [token for part in re.split(r"'s\b", written) for token in [*_tokens(_TITLE.sub("", part)), ""]]
        runs = _proper_runs(tokens, known_lower)
        if titled and not runs and tokens[0]:
            runs = [[tokens[0].lower()]]  # "Mr Stone"
        several = sum(bool(token) for token in tokens) > 1 or titled
        unknown = [word for run in runs for word in run if several and word not in known and len(word) > 2]
        if several and runs:
            yield written, unknown or [" ".join(run) for run in runs]


def is_ordinary(word: str, known_lower: Collection[str]) -> bool:
    """True for a word (as written) that is no part of a name by itself: common, an acronym, a code, or one letter."""
    low = word.lower()
    if low in _ORDINARY or len(word) < 2 or (word.isupper() and len(word) <= 6) or any(c.isdigit() for c in word):
        return True
    if low in known_lower or low.removesuffix("s") in known_lower or f"{low}s" in known_lower:
        return True
    return (len(low) > 5 and low.endswith(_ENDINGS)) or (len(low) > 7 and low.endswith("ed"))


def _tokens(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _proper_runs(tokens: list[str], known_lower: Collection[str]) -> list[list[str]]:
    runs: list[list[str]] = [[]]
    for token in tokens:
        initial = len(token) == 1 and runs[-1]
        if initial:
            continue
        if is_ordinary(token, known_lower):
            runs.append([])
        else:
            runs[-1].append(token.lower())
    return [run for run in runs if run]


def _core(name: str, known_lower: Collection[str]) -> list[str]:
    """The words of a firm's name without the ordinary ones that only begin the sentence ("Under Halden Freight")."""
    tokens = _tokens(name)
    while tokens and is_ordinary(tokens[0], known_lower):
        tokens.pop(0)
    return [token.lower() for token in tokens]
