"""What looks like an identity in a descriptor, whoever the patient is."""

from __future__ import annotations

import re
from typing import Final

from hounsfield.deid.months import MONTH, SOON_A_DIGIT

__all__ = ["PATTERNS", "TAKEN", "TITLED", "UID"]

#: Stands where a number was taken out before, so that what follows is not taken for it.
TAKEN: Final = "\ufffb"

_MONTH = rf"{MONTH}\.?"
_OF = r"(?:(?:del?|of)\s)?"
_YEAR = r"(?:19|20)\d{2}"
_ROMAN = r"(?:I{1,3}|IV|VI{0,3}|IX|XI{0,2})"
_LONG_AGO = r"19[0-3]\d"
_BUDDHIST = r"(?:25[4-9]\d)"
_LETTER = r"[^\W\d_]"
#: Over 89 years: ages that identify (45 CFR 164.514(b)(2)(i)(C)).
_OLD = r"(?:9\d|1[01]\d)"
_OLD_IN_WORDS = (
    r"(?:ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|one)\shundred)"
)
#: What a number beside it is measured in: it is no age.
_MEASURED = (
    r"(?![.,]?\d|\s?(?:%|°|/|x\b|[ckm]?m\b|ml\b|kgs?\b|lbs?\b|bpm\b|kv\b|ms\b|degrees?|percent"
    r"|min|sec|h(?:ou)?rs?\b|h\b|days?\b|weeks?\b|months?\b))"
)
_DAY, _IN_YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"

#: A UID of somebody's, not of the Standard's own.
UID: Final = re.compile(r"(?<![\d.])(?!1\.2\.840\.10008\.)(?=[\d.]{16})[0-2](?:\.\d+){4,}")

#: A name after a title; in capitals DR is a way to take pictures.
TITLED: Final = (
    re.compile(
        r"\b(?:Dr|Prof|Mr|Mrs|Ms|Miss|Sir|Herr|Frau|Mme)\b\.?\s+[A-Z][\w'\-]+(?:\s+[A-Z][\w'\-]+)?"
    ),
    re.compile(r"\b(?:DR|PROF|MRS|MISS)\.\s*[A-Z][\w'\-]+(?:\s+[A-Z][\w'\-]+)?"),
)

#: (kind, pattern), in the order they are applied.
PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern, flags))
    for kind, pattern, flags in (
        ("email", r"(?<![\w.+\-])[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+", 0),
        ("locator", r"\b(?:https?|ftp)://\S+|\bwww\.\S+", re.I),
        ("date", rf"(?<!\d){_YEAR}([-/. _]{{0,2}}){_IN_YEAR}\1(?:0[1-9]|[12]\d|3[01])(?!\d)", 0),
        ("date", rf"(?<!\d){_YEAR}:{_IN_YEAR}:{_DAY}(?!\d)", 0),  # as cameras write them
        ("date", rf"(?<!\d){_YEAR}([-/.])\d{{1,2}}\1\d{{1,2}}(?!\d)", 0),
        ("date", rf"(?<!\d){_YEAR}\s?[年년]\s?\d{{1,2}}\s?[月월](?:\s?\d{{1,2}}\s?[日일])?", 0),
        ("date", r"[明大昭平令]\S?\s?(?:\d{1,2}|元)年\d{1,2}月(?:\d{1,2}日)?", 0),
        ("date", rf"(?<!\d){_DAY}{_IN_YEAR}{_YEAR}(?!\d)|(?<!\d){_IN_YEAR}{_DAY}{_YEAR}(?!\d)", 0),
        (
            "date",
            rf"(?<![\d.])(?:\d{{1,2}}([-/. _])(?:\d{{1,2}}|{_ROMAN})\1{_YEAR}"
            rf"|{_DAY}([-/.]){_IN_YEAR}\2{_BUDDHIST})(?!\d)",
            0,
        ),
        # With blanks around what parts it, before a whole year.
        ("date", rf"(?<![\d.]){_DAY}\s?([-/.])\s?{_IN_YEAR}\s?\1\s?{_YEAR}(?!\d)", 0),
        ("date", rf"(?<!\d){_YEAR}\s?([-/.])\s?{_IN_YEAR}\s?\1\s?{_DAY}(?!\d)", 0),
        (
            "date",
            rf"(?<![\d.])(?:{_DAY}([-/]){_IN_YEAR}\1|{_IN_YEAR}([-/]){_DAY}\2)\d{{2}}(?![\d.])",
            0,
        ),
        ("date", rf"(?<![\w.]){_DAY}\.{_IN_YEAR}\.\d{{2}}(?![\d.])", 0),
        (
            "date",
            rf"(?<!\d){_YEAR}[\s.,\-/_]{{0,2}}{_MONTH}[\s.,\-/_]{{0,2}}\d{{1,2}}(?!\d)",
            re.I,
        ),
        (
            "date",
            rf"(?<!\w)\d{{1,2}}(?:st|nd|rd|th|er)?[\s.\-/]*{_OF}{_MONTH}[\s.,\-/]*{_OF}"
            rf"(?:{_YEAR}|'?\d{{2}})(?!\d)",
            re.I,
        ),
        (
            "date",
            rf"{SOON_A_DIGIT}{_MONTH}[\s.,\-/]*{_OF}(?:\d{{1,2}}(?:st|nd|rd|th)?[\s.,\-/]+)?{_YEAR}"
            r"(?!\d)",
            re.I,
        ),
        ("date", rf"(?<![\d./]){_IN_YEAR}/{_YEAR}(?![\d/])", 0),
        ("identifier", UID.pattern, 0),
        ("telephone", r"(?<![\w.])\+\d{1,3}[\s\d()./\-]{6,18}\d", 0),
        ("telephone", r"(?<![\w.])(?:1[\s.\-])?\(?\d{3}\)?[\s.\-]\d{3}[\s.\-]\d{4}(?!\d)", 0),
        # As short as within a town, where the text says what it is.
        (
            "telephone",
            rf"(?<!{_LETTER})(?:(?:call|tel(?:ephone)?|phone|fax|pager|mobile|handy)"
            r"[.:\s]{1,3}\d(?:[\s/\-]?\d){3,}|ext[.:\s]{1,3}\d{4,})(?!\.?\d)",
            re.I,
        ),
        # With an area code, as in France and in Germany.
        ("telephone", r"(?<![\w.])0\d(?:[\s.\-]\d{2}){4}(?!\d)", 0),
        ("telephone", r"(?<![\w.])\(?0\d{2,4}\)?\s?[/\-\s]\s?\d(?:[\s\-]?\d){4,}(?!\d)", 0),
        ("identifier", r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)", 0),
        ("identifier", rf"(?:(?<!\d)\d{{6}}|{TAKEN})[\-+]\d{{4}}(?!\d)", 0),  # personnummer, CPR
        ("identifier", r"(?<!\d)[12](?:\s?\d{2}){3}(?:\s?\d{3}){2}(?:\s?\d{2})?(?!\d)", 0),  # NIR
        ("identifier", r"(?<!\w)[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z](?!\w)", re.I),  # fiscale
        (
            "identifier",
            r"(?<![a-z])(?:mrn|mr\s?#|pid|pat(?:ient)?\s?id|id|acc(?:ession)?(?:\s?(?:no|#))?|ssn|nhs"
            rf"|case|dob|born)\s*[.:#=]+\s*[\w/.\-{TAKEN}]+",
            re.I,
        ),
        ("identifier", r"(?<![a-z])(?:mrn|ssn|dob|accession)\s*[\w\-]*\d[\w/.\-]*", re.I),
        (
            "identifier",
            rf"(?<!{_LETTER})(?:mrn|mr\s?#|hn|pid|id|ssn|nhs|case|fall|pat(?:ient(?:en)?)?|accession)"
            r"[\s.\-]{0,2}(?:is|no|nr|number|num|nummer)?[\s.:#=]{0,3}[A-Z]{0,3}[\-/]?\d{4,}[\w/\-]*",
            re.I,
        ),
        ("identifier", r"(?<!\w)#\s?\d{4,}[\w/\-]*", 0),
        (
            "identifier",
            r"(?:番号|病历号|病歷號|病案号)\s?:?\s?[A-Z]{0,3}-?\d{4,}[A-Z\d\-]*",
            re.I,
        ),
        # Letters before it from the first on, else each of many would be tried.
        (
            "identifier",
            rf"(?:(?<![^\W_.]){_LETTER}+|(?<![\d.]))\d{{6,}}{_LETTER}*(?![\d.]\d)",
            0,
        ),
        (
            "age",
            rf"(?<!\d)0?{_OLD}[\s\-]*(?:y\.?/?o\.?|y(?:ea)?rs?|jahren?|jährige?[rns]?|ans|anni|años"
            rf"|anos|jaar|lat|лет|года?|歳|才|岁|歲|세)(?!{_LETTER})",
            re.I,
        ),
        (
            "age",
            rf"(?<!{_LETTER})(?:aged?|(?:patienten)?alter)(?:\sover)?[\s:=_\-]{{0,4}}0?{_OLD}(?!\d)y?",
            re.I,
        ),
        (
            "age",
            rf"(?<!{_LETTER})(?:{_OLD_IN_WORDS}[\s\-]+(?:y/?o|y(?:ea)?rs?(?:[\s\-]olds?)?)|aged?\s{_OLD_IN_WORDS})"
            rf"(?!{_LETTER})",
            re.I,
        ),
        (
            "age",
            rf"(?<!{_LETTER})(?:patient|pt|he|she|who)\s(?:is|was|turned|turns|will\sbe)"
            rf"(?:\s(?:now|over|about|almost|nearly|aged))*\s(?:{_OLD}|{_OLD_IN_WORDS})"
            rf"(?!{_LETTER}){_MEASURED}",
            re.I,
        ),
        # A year alone tells the age of those who were born long ago.
        (
            "age",
            rf"(?:(?<!{_LETTER})(?:born|geb(?:oren)?|jg|jahrgang|née?|yob)\b\.?|\*|\bb\.)"
            rf"\s?(?:in\s)?{_LONG_AGO}(?!\d)",
            re.I,
        ),
        (
            "age",  # 90Y is yttrium
            rf"(?<!\d)(?:09\d|9[1-9]|1[01]\d)\s?Y(?![a-z])|(?<!\w)(?:{_OLD}/[MF]|[MF]/{_OLD})(?!\w)",
            re.I,
        ),
        (
            "age",  # TC 99M is technetium
            rf"(?<!TC)(?<!TC[\s\-])(?<![\w.]){_OLD}\s?(?:[yY][oO]?)?\s?[MF](?!\w|\.\d|[\s\-]*T[Cc])"
            rf"|(?<![\w.])(?:[MF]{_OLD}(?!\w|\.\d)|{_OLD}\s?[jJ](?!\w))",
            0,
        ),
        (
            "age",
            rf"(?<!{_LETTER})(?:his|her|their|ihren|seinen)\s(?:(?:early|mid|late)[\s\-])?"
            rf"90(?:['’]?s|ern)(?!{_LETTER})",
            re.I,
        ),
        *(("name", pattern.pattern, 0) for pattern in TITLED),
        (
            "name",
            r"\b(?:patient|pat|name|physician|referr(?:ed|er) by|operator|tech(?:nologist)?)\s*[:=]"
            r"\s*[^\W\d_][\w'\-]*(?:[\s,^]+[A-Z][\w'\-]*){0,2}",
            re.I,
        ),
        (
            "address",
            r"\b\d{1,5}\s+(?:[A-Z][\w'\-]+\s+){1,3}"
            r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Boulevard|Blvd|Way)\b\.?",
            0,
        ),
    )
)
