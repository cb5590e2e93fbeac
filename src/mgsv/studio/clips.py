"""The clips of the queue: dropped on the page or picked from a folder, and what was chosen for
each."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from anyio import to_thread

from mgsv.files import remove_leftovers
from mgsv.media.isolated import probe_video
from mgsv.media.video import VideoInfo
from mgsv.studio.folders import Folders, safe_name
from mgsv.studio.options import StudioOptions
from mgsv.studio.problems import Refusal
from mgsv.studio.store import DocumentStore

MOST_CLIPS = 2000
"""In the queue of each user."""
MOST_UPLOADS = 4
"""At the same time."""
KEPT_FREE = 1 << 30
"""Bytes of the disk that dropped clips leave to others."""
BLOCK = 1 << 20
"""Bytes that are written at once."""
UNCHECKED = 64 << 20
"""Bytes between two looks at the room on the disk."""


@dataclass(frozen=True)
class Choice:
    """The moment that was chosen for a clip; seconds on the track."""

    track: str
    start: float
    end: float
    keep_audio: bool = False
    own_gain: float = 0.0
    """dB by which the clip's own sound is louder than usual, where it is kept."""


@dataclass(frozen=True)
class QueuedClip:
    """A clip of the queue."""

    id: str
    workspace: str
    name: str
    path: Path
    dropped: bool
    """The file is a copy of our own."""
    size: int
    duration: float
    width: int
    height: int
    has_audio: bool
    choice: Choice | None = None
    found: dict[str, Any] | None = None
    """The last grounding: see `documents.GroundingDocument`."""
    failed: str = ""
    """Why the last grounding failed, if it did."""
    accepted: bool = False
    """The choice is remembered as a use."""
    rendered: str = ""
    """The job that wrote the choice as a video."""


class Clips:
    """The clips of all workspaces, kept over a restart. For several threads."""

    def __init__(self, options: StudioOptions, store: DocumentStore, folders: Folders) -> None:
        self._options, self._store, self._folders = options, store, folders
        self._stored = options.place / "files" / "clips"
        self._stored.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._uploads = 0
        self._clips = {one["id"]: _read(one) for one in store.all("clip")}
        self._remove_strangers()

    def of(self, workspace: str) -> list[QueuedClip]:
        """Those of a workspace, in the order in which they came."""
        return [clip for clip in list(self._clips.values()) if clip.workspace == workspace]

    def get(self, id: str, workspace: str) -> QueuedClip:
        """Raises `Refusal` where this workspace has no such clip."""
        clip = self._clips.get(id)
        if clip is None or clip.workspace != workspace:
            raise Refusal(404, "there is no such clip", "see GET /clips")
        return clip

    def file(self, clip: QueuedClip) -> Path:
        """Its file, which still lies where it may be read. Raises `Refusal` where it does not."""
        if clip.dropped and clip.path.is_file():
            return clip.path
        if not clip.dropped and self._folders.holds(clip.path):
            return clip.path
        raise Refusal(410, f"{clip.name}: the file is gone", "remove it from the queue")

    def update(self, id: str, **changes: Any) -> QueuedClip | None:
        """The clip with `changes`; None where it was removed meanwhile."""
        with self._lock:
            if id not in self._clips:
                return None
            clip = self._clips[id] = replace(self._clips[id], **changes)
            self._store.put("clip", id, _document(clip))
        return clip

    def remove(self, clip: QueuedClip) -> None:
        """Take it out of the queue; a copy of our own is deleted, a picked file stays."""
        with self._lock:
            self._clips.pop(clip.id, None)
            self._store.drop("clip", clip.id)
        if clip.dropped:
            shutil.rmtree(clip.path.parent, ignore_errors=True)

    def pick(self, workspace: str, number: int, path: str) -> QueuedClip:
        """Add a clip of the folder `number`. Raises `Refusal`, or `MediaError` for no video."""
        self._check_room(workspace)
        place = self._folders.clip(number, path)
        return self._add(workspace, place, dropped=False)

    async def receive(
        self, workspace: str, name: str, size: int | None, body: AsyncIterator[bytes]
    ) -> QueuedClip:
        """Add a clip whose bytes come in `body`; memory does not grow with its size.

        Raises `Refusal` where it is too large, `MediaError` where it is no video: nothing of it
        stays.
        """
        folder = self._stored / secrets.token_urlsafe(12)
        path = folder / safe_name(name)
        self._uploads += 1
        try:
            if self._uploads > MOST_UPLOADS:
                raise Refusal(
                    503, "too many clips are coming in", "try again", {"Retry-After": "2"}
                )
            self._check_room(workspace)
            self._check_length(size or 0)
            self.check_disk(size or 0)
            folder.mkdir()
            await self._write(path, body, size)
            return await to_thread.run_sync(lambda: self._add(workspace, path, dropped=True))
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, Refusal):
                # The end of the body may never be read.
                error.headers = {**(error.headers or {}), "Connection": "close"}
            raise
        finally:
            self._uploads -= 1

    async def _write(self, path: Path, body: AsyncIterator[bytes], size: int | None) -> None:
        written, checked, block = 0, 0, bytearray()
        with path.open("wb", buffering=0) as file:
            async for chunk in body:
                block += chunk
                written += len(chunk)
                if len(block) >= BLOCK:
                    self._check_length(written)
                    if written - checked > UNCHECKED:
                        checked = written
                        await to_thread.run_sync(self.check_disk, UNCHECKED)
                    await to_thread.run_sync(file.write, bytes(block))
                    block.clear()
            self._check_length(written)
            await to_thread.run_sync(file.write, bytes(block))
        if size is not None and written != size:
            raise Refusal(400, f"{written} bytes came of {size}", "send it again")
        if not written:
            raise Refusal(422, "the clip is empty", "send the bytes of a video as the body")

    def check_disk(self, size: int) -> None:
        """Raises `Refusal` where there is no room for so many bytes more."""
        kept = self._stored.parent
        free = shutil.disk_usage(kept).free
        if size + KEPT_FREE > free or size + stored_bytes(kept) > self._options.most_stored:
            raise Refusal(507, "there is no room for the clip", "remove clips from the queue")

    def _check_length(self, size: int) -> None:
        most = self._options.largest_clip
        if size > most:
            remedy = "pick it from a folder that the studio was started with"
            raise Refusal(413, f"the clip has more than {most / 1e9:.1f} GB", remedy)

    def _check_room(self, workspace: str) -> None:
        if len(self.of(workspace)) >= MOST_CLIPS:
            raise Refusal(429, f"the queue has {MOST_CLIPS} clips", "remove some")

    def _add(self, workspace: str, path: Path, *, dropped: bool) -> QueuedClip:
        info: VideoInfo = probe_video(path)
        clip = QueuedClip(
            id=path.parent.name if dropped else secrets.token_urlsafe(12),
            workspace=workspace,
            name=path.name,
            path=path,
            dropped=dropped,
            size=path.stat().st_size,
            duration=info.duration,
            width=info.width,
            height=info.height,
            has_audio=info.has_audio,
        )
        with self._lock:
            self._clips[clip.id] = clip
            self._store.put("clip", clip.id, _document(clip))
        return clip

    def _remove_strangers(self) -> None:
        """What a killed studio had begun to take in."""
        for folder in self._stored.iterdir():
            remove_leftovers(folder)
            if folder.name not in self._clips:
                shutil.rmtree(folder, ignore_errors=True)


def stored_bytes(folder: Path) -> int:
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(inside, name).stat().st_size
    return total


def _document(clip: QueuedClip) -> dict[str, Any]:
    # A name that is not UTF-8 has lone surrogates, which JSON's escapes keep.
    return {**asdict(clip), "path": os.fspath(clip.path), "at": time.time()}


def _read(document: dict[str, Any]) -> QueuedClip:
    known = {name: document[name] for name in QueuedClip.__dataclass_fields__ if name in document}
    choice = known.get("choice")
    return QueuedClip(
        **{**known, "path": Path(known["path"]), "choice": choice and Choice(**choice)}
    )
