"""What a process that works for another machine needs before its first file."""

from __future__ import annotations

from mgsv.errors import MgsvError
from mgsv.runtime.onnx import limit_threads


def prepare_worker() -> None:
    """Compute in one thread, as there is a process per core. Raises `MgsvError` where a decoder is
    missing, which each file would only show again.
    """
    from mgsv.media.codecs import check_codecs

    limit_threads(1)
    states = check_codecs()
    missing = [name for name, state in states.items() if state != "works"]
    if missing:
        raise MgsvError(f"its FFmpeg lacks: {', '.join(missing)}", "see `mgsv doctor` there")
