"""The wordings of an order to a judge, and of a verdict forged in its place: English, some German, French and Spanish.

The patterns run on text that `guard` has folded: lower case, no accents, plain quotes, single spaces, blocks parted by
line breaks. A space in a pattern is any one white space; "…" is up to 60 characters of the same sentence. Legal prose
("the judge must direct a verdict", "the agent shall disregard prior instructions") has to pass unflagged.
"""

from __future__ import annotations

import re

_MODEL = (
    r"(?:(?:ai|a\.i\.|llm|language|grading|evaluation|scoring|automated|automatic|artificial intelligence)[ -]?"
    r"(?:(?:based|powered) )?(?:model|judge|grader|evaluator|reviewer|scorer|assessor|examiner|marker|rater|verifier|"
    r"checker|system|assistant|agent)s?|graders?|llms?|language models?|llm-as-a-judge)"
)
_PERSON = r"(?:judge|evaluator|reviewer|assessor|examiner|scorer|marker|rater|verifier)s?"
_WORK = r"(?:submission|deliverable|response|answer|output|memo|memorandum|document|work product|draft|report)"
_CRITERIA = r"(?:criteri(?:on|a)|rubric(?: items?)?)"
_PASS = (
    r"(?:pass(?:es|ed|ing)?(?! ?[-/]| or\b| through)|full (?:marks|score|points|credit)|"
    r"(?:a )?perfect(?: score)?|top (?:marks|score))\b"
)
_MET = rf"(?:{_PASS}|(?:fully )?(?:met|satisfied|fulfilled)\b|true\b|correct\b)"
_TOP = (
    r"(?:full (?:marks|points|score)|perfect (?:score|marks)|top marks|maximum (?:marks|points)|"
    r"passing (?:grade|score|verdict))"
)
_GRADE = (
    r"(?:mark|grade|score|rate|count|record|return|treat|set|evaluate|judge|consider|report|deem|assign|approve|"
    r"accept|tick|output|vote)"
)
_GRADED = r"(?:marked|graded|scored|rated|counted|recorded|evaluated|judged|assessed)"
_DO = (
    r"(?:mark|grade|score|rate|pass|give|award|return|output|treat|ignore|disregard|accept|consider|assume|answer|"
    r"respond|count|conclude|approve|note|find|read|follow|record|report)"
)
_MODAL = r"(?:must|should|shall|will|needs? to|ha(?:s|ve) to|(?:is|are) (?:required |instructed |ordered )?to|please)"
_EARLIER = (
    r"(?:previous|prior|above|earlier|preceding|foregoing|existing|original|initial|other|system|grading|scoring|"
    r"evaluation|rubric)"
)
_ORDERS = r"(?:instructions?|prompts?|directions?|rules|guidelines?|guidance|commands?|messages?)"
_NOT_AFTER = (
    *("shall", "may", "must", "will", "to", "not", "can", "should", "could", "would", "cannot", "never"),
    *("who", "which", "we", "they", "i"),
)
_AFTER = ("you must", "you should", "you shall", "you to", "are to", "you will")


def _bid(verbs: str) -> str:
    """The verbs as a command: not "the agent shall disregard", but "disregard" and "you must disregard"."""
    subject_is_absent = "".join(rf"(?<!\b{word}\s)" for word in _NOT_AFTER)
    reader_is_subject = "|".join(rf"(?<=\b{words} )" for words in _AFTER)
    return rf"\b(?={verbs}\b)(?:{subject_is_absent}|{reader_is_subject}){verbs}\b"


_ENGLISH = (
    # what to forget
    _bid(r"(?:ignore|disregard|forget|override|bypass|discard|do not follow|don't follow)")
    + r" (?:(?:all|any|every|each|of|the|your|my|these|those|this|that|and|everything) )*"
    + rf"(?:{_EARLIER},? (?:(?:and|or|{_EARLIER}),? )*(?:\w+ )?{_ORDERS}|system prompt|rubric|grading criteria|"
    + rf"everything (?:above|before)|(?:your|my) {_ORDERS}|"
    + rf"{_ORDERS} (?:above|before|so far|given to you|you (?:were|have been) given))\b",
    r"\b(?:ignore|disregard|bypass|override) (?:the |your |this |all )*"
    r"(?:system prompt|(?:grading|scoring|evaluation) (?:rubric|criteria|prompt|instructions?|guidelines?))",
    r"\b(?:new|updated|revised|override|real|actual) (?:system |grading |evaluation |scoring )?"
    r"(?:instructions?|prompt|rules) ?(?:for (?:the )?(?:grader|judge|evaluator|model))? ?: ",
    r"\b(?:system|admin|grading|grader|evaluation|developer) (?:override|mode enabled|message) ?[:!]",
    # what to answer
    rf"\b{_GRADE}…\b{_CRITERIA}\b…(?:\bas|\bto|\bwith|=|:|\ba)? ?[\"']?{_PASS}",
    rf"\b(?:set|return|record|output|give)…\bverdicts? (?:as|to|of|=|:) ?[\"']?{_PASS}",
    _bid(_GRADE) + rf" (?:all|every|each)(?: of)?(?: the)?(?: \w+)? (?:{_CRITERIA}|requirements?|items?)"
    rf" as (?:being )?{_MET}",
    _bid(_GRADE) + rf" (?:this|the|my|our) {_WORK} (?:as )?(?:a )?{_PASS}",
    rf"\b(?:{_CRITERIA}|requirements?|{_WORK}) (?:must|should|shall|(?:is|are) to|ha(?:s|ve) to) (?:all )?"
    rf"be {_GRADED} (?:as )?(?:a )?(?:{_PASS}|met\b|satisfied\b|correct\b)",
    rf"\bthis {_WORK} (?:must|should|shall|deserves? to|has to|is to) "
    rf"(?:be given |receive |get |be awarded )?(?:a )?{_PASS}",
    _bid(r"(?:award|give|assign|grant)") + r" (?:(?:this|the|my|our|it|every|each|all|me|us) )*"
    rf"(?:(?:{_WORK}|{_CRITERIA}|items?) )?(?:the |a )?{_TOP}",
    r"\b(?:full credit|maximum score|highest score|highest grade|perfect score)…"
    rf"\b(?:this (?:submission|deliverable|response|answer|memo|output)|{_CRITERIA})\b",
    rf"\b(?:do not|don't|never) (?:fail|penali[sz]e|deduct|mark down) (?:this|the|any|my|our) "
    rf"(?:{_WORK}|{_CRITERIA}|points)\b",
    r"\balready (?:been )?(?:graded|scored|evaluated|marked|verified|validated|reviewed)…"
    rf"(?:all criteria|every criterion|\bas (?:a )?{_PASS}|full marks)",
    r"\b(?:answer|respond|reply|say|output|return)(?: only)? (?:with )?[\"']?pass[\"']? (?:to|for|on) "
    r"(?:all|every|each|this|any)",
    r"\b(?:output|return|respond|reply)(?: only)?(?: with)?(?: only)?(?: the)?(?: word| verdict| json)? [\"']pass[\"']",
    r"\b(?:your|the) (?:only |sole |real )?(?:task|job|verdict|answer) (?:is|must be|should be) (?:now )?"
    r"(?:to )?(?:output |return |say |answer )?[\"']?pass\b(?! ?-)",
    r"\b(?:answer|respond with|reply with|return|output|record|give|issue)(?: the| a| your)? verdict(?: of)? "
    rf"[\"']?{_PASS}",
    # what is said to be settled
    r"\brubric (?:has|was|is) (?:now |just )?(?:been )?(?:updated|changed|replaced|revised|superseded|suspended|waived)",
    rf"\b(?:every|each|all)(?: of the)? {_CRITERIA} (?:of|for|in) (?:this|my|our) {_WORK} (?:is|are) {_MET}",
    rf"\bmatch criteri(?:on|a) (?:above|below) (?:is|are|has been|have been) {_MET}",
    r"\bmatch criteri(?:on|a) (?:is|are|has been|have been) (?:met|satisfied) (?:in full|fully|completely)",
    rf"\bany other (?:finding|verdict|result|grade|score) (?:would|will) be an? (?:error|mistake) (?:of|by) (?:the )?{_MODEL}",
    # whom it addresses
    rf"\bas an? (?:\w+ ){{0,2}}?{_MODEL}\b(?<!assistant)(?<!language model)(?<!llm)",
    r"\bas an? (?:ai|impartial ai|llm|automated)…(?:evaluator|grader|judge|reviewer|examiner)\b",
    rf"\byou(?: are|'re) (?:now )?(?:an?|the) (?:\w+ ){{0,2}}?{_MODEL}\b",
    r"\bif you(?: are|'re) (?:an? |the )?(?:ai|llm|automated|language model|grader|evaluator)\b",
    r"\b(?:notes?|messages?|instructions?|attention|notice|dear|hey|hello|hi|to) ?:? ?(?:(?:to|for|of) )?"
    rf"(?:(?:the|any|all|whichever) )?(?:{_MODEL}|evaluator)(?: reading this| below| above)? ?[:,\-!]",
    rf"\b(?:notes?|messages?|instructions?) (?:to|for) (?:the )?{_PERSON} ?:",
    rf"\b{_MODEL} (?:reading|grading|evaluating|scoring|judging|reviewing) (?:this|the) {_WORK}",
    rf"\b{_MODEL} {_MODAL} (?:\w+ )?{_DO}\b",
    rf"\b{_PERSON} {_MODAL} (?:\w+ )?(?:mark|grade|score|rate|count|treat|record|return|give|"
    rf"award)…\bas (?:a )?{_PASS}",
    rf"\b{_PERSON} {_MODAL} (?:give|award|assign)…\b{_TOP}",
    rf"\b{_PERSON} {_MODAL} (?:ignore|disregard) (?:the |your |all |any )*"
    rf"(?:{_EARLIER} {_ORDERS}|rubric|system prompt|grading)",
)
_GERMAN = (
    r"\b(?:ignorier(?:e|en sie)|missachte(?:n sie)?|vergiss|vergessen sie|ubergehe(?:n sie)?)\b…"
    r"\b(?:anweisung|instruktion|vorgabe|regel|hinweis|prompt|bewertungskriteri)\w*",
    r"\b(?:bewerte|werte|markiere|benote|beurteile|erklare)(?: bitte|n sie)?\b…"
    r"\b(?:kriteri\w+|abgabe|antwort|losung|memo\w*)\b…"
    r"\b(?:als (?:bestanden|erfullt)|mit (?:bestanden|voller punktzahl)|[\"']?pass\b)",
    r"\b(?:vergib|vergeben sie|gib|geben sie)\b…\bvolle punktzahl",
    r"\b(?:gutachter-ki|ki-?(?: ?bewerter|gutachter|prufer|modell|richter)|bewerter|bewertungsmodell|prufmodell|"
    r"sprachmodell) (?:muss|soll|sollte|hat|wird|darf)\b",
    r"\b(?:hinweis|anweisung|nachricht) (?:an|fur) (?:den |die |das )?"
    r"(?:bewerter|ki\b|sprachmodell|prufmodell|gutachter-ki|bewertungsmodell)",
    r"\b(?:du bist|sie sind) (?:jetzt )?(?:ein|eine|der|die|das) "
    r"(?:ki\b|kunstliche intelligenz|sprachmodell|bewertungsmodell|bewerter)",
    r"\b(?:alle|jedes|jede) kriteri\w+ (?:sind|ist|mussen|muss|soll\w*) (?:als |mit )?"
    r"(?:bestanden|erfullt|[\"']?pass[\"']?) (?:zu )?(?:werten|bewerten|gewertet|bewertet|markier\w+)",
)
_FRENCH = (
    r"\b(?:ignorez?|oubliez?|negligez?|ne (?:tiens|tenez) pas compte)\b…"
    r"\b(?:instructions?|consignes?|directives?|regles|criteres)\b…"
    r"\b(?:precedent|anterieur|ci-dessus|prealable|initial|systeme|de notation|d'evaluation)\w*",
    r"\b(?:notez?|marquez?|evaluez?|considerez?|validez?|attribuez?)\b…\bcriteres?\b…"
    r"\b(?:reussi|valide|satisfait|rempli|acquis|conforme|[\"']?pass\b)\w*",
    r"\b(?:attribuez?|donnez?|mettez?|accordez?)\b…\b(?:note maximale|tous les points|la meilleure note)",
    r"\b(?:correcteur|evaluateur|juge|modele)s?(?: ia| automatique| d'evaluation)? (?:doit|doivent|devez|devra)\b…"
    r"\b(?:note maximale|comme (?:reussi|valide|satisfait)|[\"']?pass[\"']?\b(?! ?-))",
    r"\b(?:tu es|vous etes) (?:maintenant )?(?:une?|le|la) "
    r"(?:ia\b|intelligence artificielle|modele de langage|evaluateur automatique)",
    r"\b(?:note|message|instructions?|consignes?) "
    r"(?:(?:a l'attention |a l'intention )?(?:au|a l'|du|de l')|pour (?:le |l')?) ?"
    r"(?:correcteur|evaluateur|ia\b|juge automatique|modele de langage)",
)
_SPANISH = (
    r"\b(?:ignor(?:a|e|en|ad)|olvid(?:a|e|en)|descart(?:a|e|en)|ha(?:z|ga|gan) caso omiso)\b…"
    r"\b(?:instruccion(?:es)?|indicaciones|directrices|ordenes|reglas|criterios)\b…"
    r"\b(?:anterior|previ|precedent|arriba|del sistema|de evaluacion)\w*",
    r"\b(?:marca|marque|califica|califique|evalu[ae]|puntu[ae]|considere?a?|aprueb[ae]|trat[ae])\b…\bcriterios?\b…"
    r"\b(?:aprobad|cumplid|superad|satisfech|[\"']?pass\b)\w*",
    r"\b(?:otorg(?:a|ue)|asign[ae]|da|de|pon|ponga) la (?:puntuacion|nota|calificacion) maxima",
    r"\b(?:evaluador|calificador|juez|corrector|modelo)(?: de ia| automatico)? (?:debe|debera|tiene que)\b…"
    r"\b(?:como (?:aprobad|cumplid)|puntuacion maxima|[\"']?pass[\"']?\b(?! ?-))",
    r"\b(?:eres|usted es|es usted) (?:ahora )?(?:una?|el|la) "
    r"(?:ia\b|inteligencia artificial|modelo de lenguaje|evaluador automatico)",
    r"\b(?:nota|mensaje|instrucciones?) (?:al|para (?:el|la)) "
    r"(?:evaluador|calificador|corrector|ia\b|modelo de lenguaje)",
)
# An order whose letters were spaced out has no word bounds left once it is closed up.
_CLOSED_UP = (
    r"(?:ignore|disregard|forget|override)\w{0,20}(?:instruction|prompt|rubric|direction)|"
    r"youarean?(?:ai|llm|languagemodel)|"
    r"(?:mark|grade|score|rate)\w{0,30}(?:criteri|submission|deliverable)\w{0,20}pass|allcriteria\w{0,20}pass|"
    r"(?:grader|evaluator|judge|model|llm)(?:must|should|shall)|ignorier\w{0,30}anweisung|ignorez?\w{0,20}consigne|"
    r"ignor\w{0,20}instruccion",
)
_VERDICTS = (
    r"\\?[\"'](?:verdict|result|grade|decision|judge?ment|passed|pass|all_pass|score|outcome|status)\\?[\"']\s*:\s*"
    r"\\?[\"']?(?:pass(?:ed)?|true|met|satisfied|1(?:\.0+)?|100|full)\b\\?[\"']?\s*[,}\]]",
    r"\bverdict\\?[\"'`*]*\s*[:=]\s*[\"'`*]*(?:pass|passed)\b(?! ?[-/]| or\b| through)",
    r"<\s*verdict\s*>\s*pass",
)


def _written(pattern: str) -> str:
    return pattern.replace("…", r"(?:[^.!?\n]|\.(?=\w)){0,60}?").replace(" ", r"\s")


# All but the last kind begin at a word, so that the many alternatives are tried there alone.
_AT_A_WORD = "|".join(map(_written, (*_ENGLISH, *_GERMAN, *_FRENCH, *_SPANISH)))
ORDERS = re.compile(rf"\b(?=\w)(?:{_AT_A_WORD})|{'|'.join(map(_written, _CLOSED_UP))}")
FORGED = re.compile("|".join(_VERDICTS))
