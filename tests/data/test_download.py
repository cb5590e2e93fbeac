"""Downloading: from a hub on this machine, resumed, verified, and unpacked without surprises."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

from mgsv.data.download import ARCHIVE, CSVS, download, unpack
from mgsv.errors import DataError
from mgsv.jobs import Progress

COMMIT = "a" * 40


def zipped(entries: dict[str, bytes], path: Path | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    if path:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


@dataclass
class Hub:
    """A stand-in for the hub: the few requests its client makes, over real HTTP on loopback."""

    files: dict[str, bytes]
    served: dict[str, bytes] = field(default_factory=dict)
    """What is sent where it differs from what is listed: a damaged transfer."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    endpoint: str = ""

    def listing(self, name: str) -> dict[str, object]:
        content = self.files[name]
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        listed: dict[str, object] = {
            "type": "file", "path": name, "size": len(content), "oid": blob,
        }  # fmt: skip
        if name.endswith(".zip"):
            sha = hashlib.sha256(content).hexdigest()
            listed["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 100}
        return listed


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes, headers: dict[str, str], send: bool) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if send:
                self.wfile.write(body)

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            names = json.loads(text)["paths"] if text[:1] == "{" else parse_qs(text)["paths"]
            body = json.dumps([hub.listing(n) for n in names if n in hub.files]).encode()
            self.answer(200, body, {"Content-Type": "application/json"}, True)

        def resolve(self, send: bool) -> None:
            name = unquote(self.path.split("/resolve/", 1)[-1].split("/", 1)[-1]).split("?")[0]
            if name not in hub.files:
                self.answer(404, b"", {"X-Error-Code": "EntryNotFound"}, send)
                return
            hub.requests.append((self.command, name, self.headers.get("Range")))
            content = hub.served.get(name, hub.files[name])
            etag = hashlib.sha256(hub.files[name]).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            asked = self.headers.get("Range")
            if asked and send:
                start = int(asked.removeprefix("bytes=").split("-")[0])
                total = len(content)
                headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
                self.answer(206, content[start:], headers, send)
            else:
                self.answer(200, content, headers, send)

        def do_GET(self) -> None:
            self.resolve(True)

        def do_HEAD(self) -> None:
            self.resolve(False)

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason="needs the extra `paper`")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    files = {name: f"{name}\n".encode() * 50 for name in CSVS}
    files[ARCHIVE] = zipped({"Kuai_feature/vit_feature1/vit_mask/1.pt": b"tensor"})
    hub = Hub(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()


def test_everything_arrives_in_its_place(hub: Hub, tmp_path: Path) -> None:
    seen: list[Progress] = []
    got = download(tmp_path / "data", endpoint=hub.endpoint, progress=seen.append)
    for name in CSVS:
        assert (got / name).read_bytes() == hub.files[name]
    inside = got / "features/Kuai_feature/vit_feature1/vit_mask/1.pt"
    assert inside.read_bytes() == b"tensor"
    assert seen == [Progress("unpacking", 6, 6)]


def test_a_second_run_fetches_nothing_again(hub: Hub, tmp_path: Path) -> None:
    download(tmp_path, endpoint=hub.endpoint)
    fetched = [name for verb, name, _ in hub.requests if verb == "GET"]
    assert sorted(fetched) == sorted(hub.files)
    download(tmp_path, endpoint=hub.endpoint)
    assert [name for verb, name, _ in hub.requests if verb == "GET"] == fetched


def test_a_file_of_the_users_own_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / CSVS[0]).parent.mkdir(parents=True)
    (tmp_path / CSVS[0]).write_text("mine")
    with pytest.raises(DataError, match=r"train_data\.csv: is not what the hub lists"):
        download(tmp_path, endpoint=hub.endpoint)
    assert (tmp_path / CSVS[0]).read_text() == "mine"


def test_an_interrupted_download_resumes(hub: Hub, tmp_path: Path) -> None:
    hub.files[ARCHIVE] = zipped({"Kuai_feature/vit_feature1/x.pt": bytes(range(256)) * 400})
    (tmp_path / f".{ARCHIVE}.part").write_bytes(hub.files[ARCHIVE][:50_000])
    download(tmp_path, endpoint=hub.endpoint)
    ranges = [asked for verb, name, asked in hub.requests if (verb, name) == ("GET", ARCHIVE)]
    assert ranges == ["bytes=50000-"]
    assert (tmp_path / ARCHIVE).read_bytes() == hub.files[ARCHIVE]
    assert not (tmp_path / f".{ARCHIVE}.part").exists()


@pytest.mark.parametrize("name", [CSVS[1], ARCHIVE])
def test_a_damaged_transfer_is_refused_and_fetched_again(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    content = hub.files[name]
    hub.served[name] = content[:-1] + bytes([content[-1] ^ 1])  # same size
    with pytest.raises(DataError, match="not what the hub lists"):
        download(tmp_path, endpoint=hub.endpoint)
    assert not (tmp_path / name).exists()
    assert not (tmp_path / "features").exists()
    hub.served.clear()
    download(tmp_path, endpoint=hub.endpoint)
    assert (tmp_path / name).read_bytes() == content


def test_a_file_the_hub_lacks_is_named(hub: Hub, tmp_path: Path) -> None:
    del hub.files[CSVS[2]]
    with pytest.raises(DataError, match=r"test_data\.csv: the hub has no such file"):
        download(tmp_path, endpoint=hub.endpoint)


def test_offline_the_message_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra `paper`")
    with pytest.raises(DataError) as caught:
        download(tmp_path, endpoint="http://127.0.0.1:9")  # the discard port: nobody listens
    text = str(caught.value)
    assert "xxayt/MGSV-EC" in text
    assert "cannot be fetched" in text
    assert "hf download" in text
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("top", ["features/", ""])
def test_an_archive_is_unpacked_with_or_without_its_top_folder(tmp_path: Path, top: str) -> None:
    zipped({f"{top}Kuai_feature/a/夜+1.pt": b"x"}, tmp_path / "x.zip")
    unpack(tmp_path / "x.zip", tmp_path / "features")
    assert (tmp_path / "features/Kuai_feature/a/夜+1.pt").read_bytes() == b"x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features", "x.zip"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_entries_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    zipped({"good": b"x", name: b"x"}, tmp_path / "x.zip")
    with pytest.raises(DataError, match="unsafe entry"):
        unpack(tmp_path / "x.zip", tmp_path / "in" / "features")
    assert [path.name for path in tmp_path.rglob("*")] == ["x.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="unsafe entry 'link'"):
        unpack(tmp_path / "x.zip", tmp_path / "features")


def test_an_archive_that_claims_too_much_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(20 << 20))
    with pytest.raises(DataError, match="claims 1 files of 20 MB"):
        unpack(tmp_path / "x.zip", tmp_path / "features", max_bytes=10 << 20)
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    content = bytearray(zipped({"a": b"x" * 1000, "b": b"y" * 1000}))
    content[1200] ^= 1  # inside b
    (tmp_path / "x.zip").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"x\.zip: damaged archive"):
        unpack(tmp_path / "x.zip", tmp_path / "features")
    (tmp_path / "y.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"y\.zip: damaged archive"):
        unpack(tmp_path / "y.zip", tmp_path / "features")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip", "y.zip"]
