"""Decoding in a process of its own: a file that crashes a decoder costs an error, nothing more.

The functions and `VideoScan` are those of the same names elsewhere in `mgsv.media`, with the same
arguments, results and errors. Beyond those, a decoder that crashes on a file, takes too much memory
or makes no progress gives a `MediaError`, one that was killed a `NoDecoder`, and the next file
gets a new process. Processes are kept between files, as
many as threads decode at the same time, and end with this one.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from mgsv import errors
from mgsv.errors import MediaError, MgsvError, NoDecoder, shown
from mgsv.media import arrange as arranging
from mgsv.media import audio, pictureclock, pictures, preview, tags, video, worker
from mgsv.media import render as rendering
from mgsv.media.decoder import (
    SWITCH,
    Ended,
    NotStarted,
    Stuck,
    borrowed,
    switched_off,
    watched,
)
from mgsv.media.video import Frame

__all__ = [
    "VideoScan",
    "arrange",
    "count_sounds",
    "film_strip",
    "has_moving_picture",
    "isolate",
    "preview_sound",
    "preview_track",
    "probe_audio",
    "probe_video",
    "read_audio",
    "read_picture_clock",
    "read_still",
    "read_tags",
    "render",
    "watched",
]

P = ParamSpec("P")
R = TypeVar("R")


class VideoScan(video.VideoScan):
    """`mgsv.media.video.VideoScan`, decoded in another process while its frames are used here."""

    def __iter__(self) -> Iterator[Frame]:
        if switched_off():
            yield from super().__iter__()
            return
        arguments = {"shorter_side": self.shorter_side, "per_second": self.per_second}
        rest = yield from _asked(worker.scan, {"path": self.path, **arguments}, ["path"])
        self._curves, self._info, warnings = rest
        self.warnings.extend(warnings)


def isolate(
    function: Callable[P, R], inputs: Sequence[str] = ("path",), output: str = ""
) -> Callable[P, R]:
    """`function`, which stands in a module, run in a decoder process.

    inputs, output: its parameters that are files; an error that is no fault of the output's names
    the first input.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if switched_off():
            return function(*args, **kwargs)
        arguments = signature.bind(*args, **kwargs).arguments
        conversation = _asked(function, arguments, inputs, output)
        while True:
            try:
                next(conversation)
            except StopIteration as end:
                result: R = end.value
                return result

    return call


arrange = isolate(arranging.arrange, ("track",))
count_sounds = isolate(audio.count_sounds)
film_strip = isolate(preview.film_strip)
has_moving_picture = isolate(video.has_moving_picture)
preview_sound = isolate(preview.preview_sound, ("video", "track"))
preview_track = isolate(preview.preview_track, ("track",))
probe_audio = isolate(audio.probe_audio)
probe_video = isolate(video.probe_video)
read_audio = isolate(audio.read_audio)
read_picture_clock = isolate(pictureclock.read_picture_clock)
read_still = isolate(pictures.read_still)
read_tags = isolate(tags.read_tags)
render = isolate(rendering.render, ("video", "track"), "output")


def _asked(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    inputs: Sequence[str],
    output: str = "",
) -> Generator[Any, None, Any]:
    """What `function` yields and returns in a decoder process; raises what it raises there."""
    given = {name: Path(arguments[name]) for name in (*inputs, output) if name}
    # The process may be in another folder than we are by now.
    whole = {name: _absolute(path) for name, path in given.items()}
    names = {whole[name]: path for name, path in given.items()}
    files = [given[name] for name in inputs]
    request = {
        "module": function.__module__,
        "name": function.__name__,
        "arguments": {**arguments, **whole},
    }
    kind = ""
    value: Any = None
    for again in (False, True):
        try:
            with borrowed() as decoder:
                kind, value = yield from decoder.ask(request, names, whole.get(output))
            break
        except NotStarted as failure:
            what = f"no process to decode it can be started ({failure})"
            remedy = f"set {SWITCH}=off in the environment to decode without one"
            raise NoDecoder(files[0], what, remedy) from None
        except Ended as end:
            if again or not end.unused:
                raise _death(end, files) from None
        except Stuck as stuck:
            what = f"the decoder made no progress in {stuck.seconds:g} s"
            raise _fault(files, what) from None
    match kind:
        case "result":
            return value
        case "memory":
            raise _fault(files, f"decoding it takes more than {value / 2**30:.1f} GB of memory")
        case "refused":
            raise _refusal(names, *value)
    raise _failure(*value)


def _absolute(path: Path) -> Path:
    with contextlib.suppress(OSError):  # the folder we are in is gone, and so is `path`
        return path.absolute()
    return path


def _fault(files: Sequence[Path], problem: str) -> MediaError:
    first, *others = files
    problem += "".join(f" or on {shown(other)}" for other in others)
    return MediaError(first, problem, "get or export it again")


def _death(end: Ended, files: Sequence[Path]) -> MediaError:
    if end.crashed:
        return _fault(files, "the decoder crashed on it")
    return NoDecoder(
        files[0],
        f"its decoder was killed (signal {-end.status})",
        "free memory, should that be short, and try again",
    )


def _refusal(names: Mapping[Path, Path], kind: str, *told: Any) -> MgsvError:
    """The `MgsvError` raised there, about the files as they are called here."""
    made: type[MgsvError] = getattr(errors, kind)
    for whole, given in names.items():
        told = tuple(
            one.replace(shown(whole), shown(given)) if isinstance(one, str) else one for one in told
        )
    return made(*told)


def _failure(kind: str, arguments: Sequence[Any], trace: str) -> Exception:
    """Any other exception raised there."""
    made = getattr(builtins, kind, None)
    if not (isinstance(made, type) and issubclass(made, Exception)):
        made, arguments = RuntimeError, (f"{kind}: {arguments[0] if arguments else ''}",)
    error: Exception = made(*arguments)
    error.add_note(f"In the decoder process:\n{trace}")
    return error
