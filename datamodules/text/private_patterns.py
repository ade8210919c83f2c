"""Symbols and patterns of what is private in e-mails."""

from __future__ import annotations

import re


def _words(text: str) -> list[str]:
    return text.split()


NAME, NUMBER, PHONE, EMAIL, LINK, ADDRESS, RARE = map(chr, range(0xE020, 0xE027))
"""Symbols, characters of Unicode's private use area, of each kind of private text."""
LINE, SEPARATOR = "\ue028", "\ue029"
"""Symbols of the end of a line, and of the end of the context that a text is read with, such as its subject."""
SHOWN = {
    NAME: "<name>",
    NUMBER: "<number>",
    PHONE: "<phone>",
    EMAIL: "<e-mail>",
    LINK: "<link>",
    ADDRESS: "<address>",
    RARE: "<word>",
}
"""What a reader is shown for each kind of private text."""
SYMBOLS = (*SHOWN, LINE, SEPARATOR)
"""All symbols."""
FEWEST = 5
"""Number of e-mails that a word must be in to be a common one. Set by hand."""
NAME_SHARE, AMBIGUOUS_SHARE = 0.5, 0.1
"""Share of capital letters within sentences from which on a word is a name, and may be one. Set by hand."""

STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Way|Court|Ct|Circle|Cir|Place|Pl|Parkway|Pkwy"
    "|Highway|Hwy|Plaza|Square|Sq|Loop|Freeway|Fwy|Trail|Terrace"
)
PATTERNS = (
    (EMAIL, r"(?<![^\s<>()\[\],;:\"])[^\s<>()\[\],;:\"@]+@[^\s<>()\[\],;:\"]*[^\W_]"),
    (LINK, r"[a-z]+://\S*[^\W_]/?|\bwww\.\S*[^\W_]|(?:[a-z]:)?(?:\\+[^\s\\]+)+"),
    (
        LINK,
        r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|gov|edu|mil|biz|info|us|uk|html?|docx?|xlsx?|pptx?|pdf|txt|zip|exe|jpe?g"
        r"|gif|csv|asp|php|rtf|wpd|url|mdb|pst)\b(?:/\S*[^\W_])?",
    ),
    (
        ADDRESS,
        r"\b\d+[\w-]*\s+(?:[nsew]\.?\s+)?(?:[\w'.]+\s+){0,3}(?:street|avenue|ave|blvd|boulevard|parkway|pkwy)\b\.?"
        rf"|(?-i:\b\d+[\w-]*\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w'.]*\s+){{1,3}}(?:{STREET})\b\.?)"
        r"|\bp\.?\s?o\.?\s?box\s+\w*\d\w*",
    ),
    (
        PHONE,
        r"(?<!\w)(?=[+(\d])(?:\+?\d{1,3}[\s.-]*)?\(?\d{3}\)?[\s./-]*\d{3}[\s.-]{0,3}\d{4}(?!\w)(?:\s*(?:x|ext\.?)\s*\d+)?"
        r"|(?<![\w.,/-])\d{3}[.-]\d{4}(?![\w-])|(?<!\w)(?:x|ext\.?)[\s.-]*\d{3,6}(?!\w)",
    ),
    (NUMBER, r"(?<!\w)[^\W\d]*\d\w*(?:[-.,:/'\u2019&]\w*\d\w*)*"),
)
"""Regular expressions of private text other than words, in the order in which they are tried, without case."""
PRIVATE = tuple((symbol, re.compile(pattern, re.IGNORECASE)) for symbol, pattern in PATTERNS)
WORD = re.compile(r"[^\W\d_]+(?:['\u2019&][^\W\d_]+)*")
LOCAL_PART = re.compile(r"(?<![\w.-])([\w.-]+)@")
POSSESSIVE = re.compile(r"['\u2019]s$", re.IGNORECASE)
SENTENCE_START = re.compile(rf"(?:^|[.!?:;\n\r\t{LINE}{SEPARATOR}*>\u2022]|--|\s-\s|\s\s)[\s\"'\u201c\u2018(\[-]*$")
GREETING = re.compile(
    r"\b(?:hi|hello|dear|hey|hiya|greetings|morning|afternoon|evening|thanks|thank you),?\s(?!\s)", re.I
)
TITLE = re.compile(r"\b(?:mr|mrs|ms|dr|messrs|miss|prof|rev|sen|gov)\.?\s(?!\s)", re.IGNORECASE)
LONGEST_CLOSING = 60
"""Characters at the end of a text that are searched for the name of its writer. Set by hand."""
LONGEST_BEFORE = 300
"""Characters before a continuation that decide whether its words are names. Set by hand."""
BEFORE = 12
"""Characters before a word that are searched for a greeting or a title. Set by hand."""
OPENING = re.compile(r"\s*([^\W\d_]+(?:(?:\s?[,/&+]\s?|\s(?:and|&)\s|\s)[^\W\d_]+){0,3})\s*(?:[,:;]|--?\s|\s\s)")
"""The words before the first punctuation mark of a text, which may address its reader."""
CLOSING = re.compile(r"(?:^|[\n,.!?]|\s\s)\s*([^\W\d_]+(?:\s[^\W\d_]\.?)?(?:\s[^\W\d_]+)?)\s*$")
"""The last words of a text, which may name its writer."""
KEPT = frozenset(
    _words(
        "i i'm i'll i've i'd a monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur "
        "thurs fri sat sun january february march april may june july august september october november december "
        "jan feb mar apr jun jul aug sep sept oct nov dec hi hello dear hey thanks thank regards sincerely cheers "
        "best all everyone everybody team folks guys gentlemen ladies sir madam there mr mrs ms dr am pm ok fyi "
        "asap ps re fw cc christmas thanksgiving easter internet english american e-mail email per please attached "
        "friends greetings good morning afternoon evening love yes no sorry great congratulations hope happy the "
        "you and"
    )
)
"""Words that are no names where they have a capital letter, and not private."""
EITHER = frozenset(
    _words(
        "may april june august march love hope jan will mark bill grant rob sue pat art gene rose grace joy frank "
        "rich chip drew jean dick guy bob jack dale earl miles case young long short best"
    )
)
"""Common words that are names where someone is addressed or signs. Set by hand."""
FUNCTION_WORDS = frozenset(
    _words(
        "in on of at to for from if is it as by this that these those we he she they what when where how who why "
        "which can could would should do does did have has had are was were be not or but so your our my their his "
        "her its as an all any some no yes please let then after before with about just also"
    )
)
"""Words that are suggested with a capital letter although they may be found as names. Set by hand."""
UNAMBIGUOUS = KEPT - EITHER
