"""What looks like an identity in a descriptor, whoever the patient is."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["PATTERNS"]

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d{2}"

#: (kind, pattern), in the order they are applied.
PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern, flags))
    for kind, pattern, flags in (
        ("date", rf"(?<!\d){_YEAR}([-/. ]?)(?:0?[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)", 0),
        ("date", rf"(?<![\d.])\d{{1,2}}([-/.])\d{{1,2}}\1{_YEAR}(?!\d)", 0),
        ("date", r"(?<![\d.])\d{1,2}([-/])\d{1,2}\1\d{2}(?![\d.])", 0),
        ("date", r"(?<![\d.])[0-3]\d\.[01]\d\.\d{2}(?![\d.])", 0),
        (
            "date",
            rf"(?<!\w)\d{{1,2}}(?:st|nd|rd|th)?[\s.\-/]*{_MONTH}[\s.,\-/]*(?:{_YEAR}|'?\d{{2}})(?!\d)",
            re.I,
        ),
        (
            "date",
            rf"(?<![a-z]){_MONTH}[\s.,\-/]*(?:\d{{1,2}}(?:st|nd|rd|th)?[\s.,\-/]+)?{_YEAR}(?!\d)",
            re.I,
        ),
        ("email", r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+", 0),
        ("locator", r"\b(?:https?|ftp)://\S+|\bwww\.\S+", re.I),
        ("telephone", r"(?<![\w.])\+\d{1,3}[\s\d()./\-]{6,18}\d", 0),
        ("telephone", r"(?<![\w.])(?:1[\s.\-])?\(?\d{3}\)?[\s.\-]\d{3}[\s.\-]\d{4}(?!\d)", 0),
        ("identifier", r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)", 0),
        (
            "identifier",
            r"(?<![a-z])(?:mrn|mr\s?#|pid|pat(?:ient)?\s?id|id|acc(?:ession)?(?:\s?(?:no|#))?|ssn|nhs"
            r"|case|dob|born)\s*[.:#=]+\s*[\w/.\-]+",
            re.I,
        ),
        ("identifier", r"(?<![a-z])(?:mrn|ssn|dob|accession)\s*[\w\-]*\d[\w/.\-]*", re.I),
        ("identifier", r"(?<![\d.])\d{7,}(?![\d.]\d)", 0),
        ("age", r"(?<!\d)(?:9\d|1[01]\d)[\s\-]*(?:y\.?/?o\.?|y(?:ea)?rs?)(?![a-z])", re.I),
        (
            "name",
            r"\b(?:Dr|Prof|Mr|Mrs|Ms|Miss|Sir|Herr|Frau|Mme)\b\.?\s+[A-Z][\w'\-]+(?:\s+[A-Z][\w'\-]+)?",
            0,
        ),
        ("name", r"\b(?:DR|PROF|MRS|MISS)\.\s*[A-Z][\w'\-]+(?:\s+[A-Z][\w'\-]+)?", 0),
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
