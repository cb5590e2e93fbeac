"""Under which licence a file of a package stands, as far as the package says so."""

from __future__ import annotations

import email.parser
import fnmatch
import re
from pathlib import PurePosixPath

UNKNOWN = "see copyright"
# What copyright files that are not machine-readable say.
_PHRASES = (
    (re.compile(r"\bCC[- ]BY[- ]SA[- ]([0-9]\.[0-9])", re.I), "CC-BY-SA-{}"),
    (re.compile(r"\bAttribution[- ]Share-?Alike ([0-9]\.[0-9])", re.I), "CC-BY-SA-{}"),
    (re.compile(r"\bCC[- ]BY[- ]([0-9]\.[0-9])", re.I), "CC-BY-{}"),
    (re.compile(r"common-licenses/([A-Z][A-Za-z]*(?:-[0-9.]*[0-9])?)"), "{}"),
    (re.compile(r"GNU General Public License[^.]{0,80}version ([23])", re.I), "GPL-{}"),
    (re.compile(r"\b(public domain)\b", re.I), "public-domain"),
    (re.compile(r"\b(Redistribution and use in source and binary forms)"), "BSD"),
)


def debian_licence(text: str, path: str) -> str:
    """The short name for the file installed as `path`, from its package's copyright file.

    The paths in a machine-readable copyright file (DEP-5) are the source package's, so one fits if
    it equals the end of the installed path, or at least two folders at its own end do; the last
    stanza that fits wins, as DEP-5 says, else the one for all files. Of another copyright file, the
    licences it speaks of; with "see copyright" where that leaves a doubt.
    """
    stanzas = _file_stanzas(text)
    names = PurePosixPath(path).parts
    ends = ["/".join(names[at:]) for at in range(len(names))]
    for shorten in (False, True):
        for patterns, licence in reversed(stanzas):
            if any(_fits(pattern, ends, shorten) for pattern in patterns if pattern != "*"):
                return licence
    for patterns, licence in reversed(stanzas):
        if "*" in patterns:
            return licence
    if stanzas:
        return UNKNOWN
    # Whole files speak of several, and only a reader can tell which is for what.
    found = {name.format(match[1]) for phrase, name in _PHRASES for match in phrase.finditer(text)}
    named = "/".join(sorted(found))
    return f"{named} ({UNKNOWN})" if len(found) > 1 else named or UNKNOWN


def metadata_licence(text: str) -> str:
    """The licence a wheel's METADATA names: expression, else classifier, else free text."""
    fields = email.parser.HeaderParser().parsestr(text)
    classified = [
        line.rsplit("::", 1)[1].strip()
        for line in fields.get_all("Classifier", [])
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    named = (fields.get("License") or "").strip()
    one_line = named if named and "\n" not in named and len(named) <= 60 else ""
    return fields.get("License-Expression") or one_line or ", ".join(classified) or UNKNOWN


def _file_stanzas(text: str) -> list[tuple[list[str], str]]:
    """(patterns, licence) of each stanza about files, in order; none if it is not DEP-5."""
    head = text[:2000]
    if "Format:" not in head and "Format-Specification:" not in head:
        return []
    stanzas = []
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r", "")):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] = fields.get(name, "") + "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value
        licence = fields.get("license", "").strip().split("\n")[0].strip()
        if "files" in fields and licence:
            patterns = [p.removeprefix("./") for p in re.split(r"[\s,]+", fields["files"]) if p]
            stanzas.append((patterns, licence))
    return stanzas


def _fits(pattern: str, ends: list[str], shorten: bool) -> bool:
    """Whether `pattern`, or with `shorten` its end, matches one of a path's `ends`."""
    parts = pattern.split("/")
    starts = range(1, len(parts)) if shorten else range(1)
    for at in starts:
        rest = parts[at:]
        # One folder is too little to go by, unless the pattern names the file itself.
        if shorten and len(rest) < 3 and not (len(rest) == 1 and not re.search(r"[*?]", rest[0])):
            continue
        if any(fnmatch.fnmatchcase(end, "/".join(rest)) for end in ends):
            return True
    return False
