"""What strangers and broken programs may try, by hand: each is refused, and the studio goes on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

import media_files
import real_media
from mgsv.errors import ConfigError
from mgsv.studio.folders import Folders, safe_name
from mgsv.studio.options import StudioOptions
from mgsv.studio.problems import Refusal
from studio_support import API, Client, Running, running


def raw(studio: Running, *lines: str, body: bytes = b"") -> tuple[int, str]:
    """(status, whole response) to a request that is sent as it stands."""
    host, _, port = studio.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = "\r\n".join([*lines, "Connection: close", "", ""])
        connection.sendall(head.encode("utf-8", "surrogateescape") + body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    text = answer.decode("utf-8", "replace")
    return int(text.split(" ", 2)[1]) if text else 0, text


def lines(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


def host_of(studio: Running) -> str:
    return f"Host: {studio.url.removeprefix('http://')}"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:8421", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("192.168.1.7", 421),
        ("[::ffff:10.0.0.1]", 421),
        ("", 421),
        ("127.0.0.1@evil.example", 421),
        ("evil.example#127.0.0.1", 421),
        ("[", 421),
        ("localhost", 200),
        ("LOCALHOST.", 200),
        ("[::1]:1", 200),
    ],
)
def test_only_its_own_names_are_answered(studio: Running, host: str, status: int) -> None:
    """Else a page elsewhere could have its own name lead here."""
    assert raw(studio, f"GET {API}/library HTTP/1.1", f"Host: {host}")[0] == status


def test_two_hosts_or_none_are_refused(studio: Running) -> None:
    two = raw(studio, f"GET {API}/library HTTP/1.1", host_of(studio), "Host: evil.example")
    assert two[0] == 400
    assert raw(studio, f"GET {API}/library HTTP/1.1")[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_elsewhere_send_nothing(client: Client, headers: dict[str, str]) -> None:
    for method, path in (("GET", "clips"), ("POST", "library/index"), ("DELETE", "uses/1")):
        assert client.request(method, f"{API}/{path}", headers=headers).status_code == 403
    assert client.options(f"{API}/clips", headers=headers).status_code == 403


def test_no_response_lets_others_read_it(client: Client) -> None:
    for path in ("/", f"{API}/library", "/static/js/studio.js", "/nowhere"):
        headers = client.get(path).headers
        assert not [name for name in headers if name.startswith("access-control")]
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.sampled
@pytest.mark.parametrize(
    "path",
    [
        "../secret.mp4",
        "more/../../secret.mp4",
        "/etc/passwd",
        "//etc/passwd",
        "link.mp4",
        "out/secret.mp4",
        "..%2fsecret.mp4",
        "%2e%2e/secret.mp4",
        "..\\secret.mp4",
        "....//secret.mp4",
        ".hidden.mp4",
        "more/./talk.mp4",
        "notes.txt",
        "more",
        "bikes.mp4\0.txt",
        "file:///etc/passwd",
        "~root/.bashrc",
        "/dev/zero",
        "x" * 1900,
        "a/" * 900,
    ],
)
def test_nothing_outside_the_folders_is_picked(client: Client, path: str) -> None:
    answer = client.post(f"{API}/clips", json={"folder": 0, "path": path})
    assert answer.status_code == 404, answer.text
    assert client.get(f"{API}/folders/0", params={"path": path}).status_code == (
        200 if path == "more" else 404
    )


@pytest.mark.parametrize("number", [-1, 1, 99, 10**30])
def test_no_other_folder_is_there(client: Client, number: int) -> None:
    assert client.get(f"{API}/folders/{number}").status_code in (404, 422)


def test_devices_and_pipes_in_a_folder_are_no_clips(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    folders = Folders([tmp_path])
    assert folders.list(0) == []
    for name in ("pipe.mp4", "null.mp4", "loop.mp4"):
        with pytest.raises(Refusal):
            folders.clip(0, name)


def test_a_picked_file_that_becomes_a_link_is_not_served(client: Client, folders: Path) -> None:
    path = folders / "clips" / "later.mp4"
    shutil.copy(real_media.bikes(), path)
    clip = client.post(f"{API}/clips", json={"path": "later.mp4"}).json()["id"]
    path.unlink()
    path.symlink_to(folders / "secret.mp4")
    try:
        assert client.get(f"{API}/clips/{clip}/media").status_code == 410
        job = client.do(f"clips/{clip}/groundings")
        assert job["state"] == "failed" and "the file is gone" in job["problem"]["detail"]
    finally:
        path.unlink()


@pytest.mark.parametrize(
    "target",
    [
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static/..%2f..%2fapp.py",
        "/static//etc/passwd",
        "/static/js/../../options.py",
        f"{API}/clips/..%2f..%2fqueue.sqlite/media",
        f"{API}/clips/%00/media",
        f"{API}/jobs/../../etc/passwd/file",
        f"{API}/tracks/' OR 1=1 --",
        f"{API}/tracks/%27%20OR%201%3D1%20--",
        "//evil.example/",
        "http://evil.example/",
    ],
)
def test_no_address_leads_to_other_files(studio: Running, target: str) -> None:
    status, text = raw(studio, f"GET {target} HTTP/1.1", host_of(studio))
    assert status in (400, 404, 422) or "<title>mgsv studio" in text, text[:200]
    assert "root:" not in text and "import" not in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/cron.d/x.mp4", "x.mp4"),
        ("C:\\windows\\x.mp4", "x.mp4"),
        ("a\0b\nc.mp4", "abc.mp4"),
        ("...", "clip"),
        (".mp4", "mp4"),
        ("\u202e4pm.exe", "4pm.exe"),
        ("ה" * 300 + ".mp4", "ה" * 88 + ".mp4"),
        ("-rf.mp4", "-rf.mp4"),
        ("", "clip"),
    ],
)
def test_names_lead_nowhere(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_a_name_is_no_header_and_no_markup(client: Client) -> None:
    name = 'x"\r\nSet-Cookie: a=b\r\n\r\n<script>.mp4'
    clip = client.upload(real_media.bikes(), name)
    answer = client.get(f"{API}/clips/{clip['id']}/media")
    assert "set-cookie" not in answer.headers and "\n" not in answer.headers["content-disposition"]
    assert client.get(f"{API}/clips").headers["content-type"] == "application/json"


@pytest.mark.parametrize("what", ["page", "playlist", "concat", "zip", "picture list"])
def test_what_is_no_video_is_told_by_its_content(client: Client, tmp_path: Path, what: str) -> None:
    """Whatever its name says; and nothing that it names is opened."""
    secret = real_media.bikes()
    content = {
        "page": b"<html><script>alert(1)</script></html>",
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n".encode(),
        "concat": f"ffconcat version 1.0\nfile {secret}\n".encode(),
        "zip": b"PK\x03\x04" + b"\0" * 100,
        "picture list": b"RIFF\x10\0\0\0AVI LIST" + b"\xff" * 200,
    }[what]
    answer = client.post(f"{API}/clips/upload?name=clip.mp4", content=content)
    assert answer.status_code == 422, answer.text
    assert client.get(f"{API}/clips").json() == []


@pytest.mark.slow
def test_uploads_have_limits(folders: Path, tmp_path: Path) -> None:
    limits = ["--largest-clip", "0.002", "--most-stored", "0.0018"]
    with (
        running(tmp_path, "--library", folders / "library", *limits) as small,
        small.client() as client,
    ):
        place = f"{API}/clips/upload?name=a.mp4"
        head = {"Content-Length": "2000001"}
        status, said = raw(small, f"POST {place} HTTP/1.1", host_of(small), *lines(head))
        assert status == 413 and "pick it from a folder" in said

        def endless() -> object:
            while True:
                yield b"x" * 65536

        with contextlib.suppress(httpx.TransportError):  # it may hang up before it is heard
            assert client.post(place, content=endless()).status_code in (413, 507)
        for _ in range(3):
            client.upload(real_media.bikes())
        with real_media.bikes().open("rb") as file:
            assert client.post(place, content=file).status_code == 507
        stored = list((tmp_path / "queue" / "files" / "clips").iterdir())
        assert len(stored) == 3, "nothing of what was refused stays"


def test_an_upload_that_breaks_off_leaves_nothing(studio: Running) -> None:
    clips = studio.folder / "queue" / "files" / "clips"
    before = len(list(clips.iterdir()))
    host, _, port = studio.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = [f"POST {API}/clips/upload?name=a.mp4 HTTP/1.1", host_of(studio)]
        head += ["Content-Length: 1000000", "", ""]
        connection.sendall("\r\n".join(head).encode() + b"x" * 1000)
        time.sleep(0.3)
    deadline = time.monotonic() + 10
    while len(list(clips.iterdir())) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(list(clips.iterdir())) == before


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999", "0x10"])
def test_lengths_that_cannot_be(studio: Running, length: str) -> None:
    lines = [f"POST {API}/clips HTTP/1.1", host_of(studio), f"Content-Length: {length}"]
    assert raw(studio, *lines)[0] in (400, 413)


def test_large_and_deep_requests_are_refused(client: Client, clip: str) -> None:
    place = f"{API}/clips/{clip}/groundings"
    assert client.post(place, content=b"x" * 70_000).status_code == 413
    deep = b'{"options":' * 4000 + b"1" + b"}" * 4000
    assert client.post(
        place, content=deep, headers={"Content-Type": "application/json"}
    ).status_code in (400, 422)

    def chunks() -> object:
        for _ in range(20):
            yield b" " * 10_000

    assert client.post(place, content=chunks()).status_code == 413
    assert client.get(f"{API}/clips?x={'y' * 5000}").status_code == 414


@pytest.mark.sampled
@pytest.mark.parametrize(
    "request_",
    [
        {"options": {"top": 0}},
        {"options": {"top": "many"}},
        {"options": {"fit": "loose"}},
        {"options": {"memory": "off", "popularity": True}},
        {"near": -1.0},
        {"near": "NaN"},
        {"tempo_from": 1e400},
        {"track": "../../x"},
        {"words": "x" * 300},
        {"options": {"weights": {"cuts": -1}}},
    ],
)
def test_requests_that_cannot_be_say_which_field(
    client: Client, clip: str, request_: dict[str, object]
) -> None:
    answer = client.post(
        f"{API}/clips/{clip}/groundings",
        content=json.dumps(request_),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    field = next(iter(request_.get("options", request_)))  # type: ignore[call-overload]
    assert f"{field}`" in problem["detail"] or f".{field}" in problem["detail"]


def test_ranges_that_would_cost_much(client: Client, clip: str) -> None:
    place = f"{API}/clips/{clip}/media"
    many = "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 20_000, 2))
    began = time.monotonic()
    for given in (
        many,
        "bytes=" + "0-," * 20_000,
        "bytes=9-1",
        "bytes=a-b",
        "bytes=-0",
        "lines=1-2",
    ):
        try:
            answer = client.get(place, headers={"Range": given})
        except httpx.TransportError:
            continue  # the header is too long for the server
        assert answer.status_code in (200, 206, 400, 416, 431)
    assert time.monotonic() - began < 10


@pytest.mark.thorough
def test_jobs_have_limits(folders: Path, tmp_path: Path) -> None:
    with (
        running(tmp_path, "--library", folders / "library", "--workers", "1") as studio,
        studio.client() as client,
    ):
        clip = client.upload(real_media.bikes())["id"]
        accepted, code = 0, 202
        while code == 202 and accepted < 2000:  # some are done while others are asked for
            code = client.post(f"{API}/clips/{clip}/groundings", json={}).status_code
            accepted += code == 202
        assert code == 429 and accepted >= 200
        client.delete(f"{API}/clips/{clip}")


def test_a_file_that_crashes_its_decoder_does_not_take_the_server_along(
    studio: Running, client: Client, clip: str
) -> None:
    """Its decoders are killed, as a crash would end them, while they read."""
    place = client.begin(f"clips/{clip}/groundings")
    children = Path(f"/proc/{studio.process.pid}/task/{studio.process.pid}/children")
    for _ in range(30):
        for task in children.parent.parent.glob("*/children"):
            for child in task.read_text().split():
                os.kill(int(child), 11)
        time.sleep(0.02)
    assert client.ended(place)["state"] in ("failed", "done")
    assert client.do(f"clips/{clip}/groundings")["state"] == "done"


def test_many_idle_connections_do_not_keep_others_out(studio: Running, client: Client) -> None:
    host, _, port = studio.url.removeprefix("http://").partition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(200)]
    for connection in idle:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
    try:
        assert client.get(f"{API}/library").status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_watchers_have_limits_and_are_let_go(studio: Running, client: Client) -> None:
    with client.stream("GET", f"{API}/events") as answer:
        assert next(answer.iter_lines()) == "retry: 1000"
    assert client.get(f"{API}/library").status_code == 200


@pytest.fixture(scope="module")
def outside(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A studio that other machines could reach."""
    folder = tmp_path_factory.mktemp("outside")
    more = ["--host", "0.0.0.0", "--name", "studio.example", "--token", "sesame-of-many-words"]
    with running(folder, "--library", folders / "library", *more) as started:
        yield started


def test_others_need_the_token(outside: Running) -> None:
    with httpx.Client(base_url=outside.url) as stranger:
        for path in ("/", f"{API}/clips", f"{API}/openapi.json", "/static/js/studio.js"):
            answer = stranger.get(path)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("", "sesame", "sesame-of-many-words2", "é"):
            assert stranger.get("/", params={"token": wrong}).status_code == 401
        bearer = {"Authorization": "Bearer sesame-of-many-words"}
        assert stranger.get(f"{API}/clips", headers=bearer).status_code == 200
        entered = stranger.get("/", params={"token": "sesame-of-many-words"})
        assert entered.status_code == 303 and entered.headers["location"] == "/"
        cookie = entered.headers["set-cookie"]
        for path in ("//evil.example/", "///evil.example", "/\\evil.example"):
            status, text = raw(
                outside, f"GET {path}?token=sesame-of-many-words HTTP/1.1", host_of(outside)
            )
            assert status == 303 and "location: /evil.example" in text, "it leads to no other host"
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert stranger.get("/").status_code == 200
        assert stranger.get(f"{API}/clips").status_code == 200


def test_another_name_is_answered_where_it_was_given(outside: Running) -> None:
    bearer = "Authorization: Bearer sesame-of-many-words"
    for host, status in (("studio.example", 200), ("10.1.2.3:80", 200), ("evil.example", 421)):
        lines = [f"GET {API}/library HTTP/1.1", f"Host: {host}", bearer]
        assert raw(outside, *lines)[0] == status


def test_other_machines_are_not_let_in_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a `token`"):
        StudioOptions(host="0.0.0.0", queue=tmp_path)
    with pytest.raises(ConfigError, match="give a `token`"):
        StudioOptions(names=("studio.example",), queue=tmp_path)


def test_it_listens_on_this_machine_alone(studio: Running) -> None:
    """By the kernel's table of sockets."""
    port = int(studio.url.rpartition(":")[2])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and int(row[1][-4:], 16) == port]
    assert listening == [f"0100007F:{port:04X}"]


def test_nothing_of_this_machines_folders_is_told(
    studio: Running, client: Client, clip: str
) -> None:
    client.do(f"clips/{clip}/groundings")
    client.do(f"clips/{clip}/renders")
    for path in ("clips", f"clips/{clip}", f"clips/{clip}/candidates", "jobs", "tracks", "library"):
        text = client.get(f"{API}/{path}").text
        assert str(studio.folder) not in text and "/media/" not in text.replace('/media"', "")


def test_a_bomb_of_sound_is_refused(client: Client, clip: str) -> None:
    """Hours of a moment would be gigabytes."""
    track = client.get(f"{API}/tracks").json()[0]["id"]
    answer = client.get(f"{API}/tracks/{track}/sound", params={"start": 0, "end": 90_000})
    assert answer.status_code == 422 and "too long" in answer.json()["detail"]


@pytest.mark.slow
def test_threads_that_upload_at_once(client: Client, tmp_path: Path) -> None:
    """Too many are told to come again; none is mixed with another."""
    clip = media_files.write_video(tmp_path / "a.mp4", media_files.Clip(seconds=1))
    codes: list[int] = []

    def send(number: int) -> None:
        answer = client.post(f"{API}/clips/upload?name={number}.mp4", content=clip.read_bytes())
        codes.append(answer.status_code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {201, 503}
    names = [one["name"] for one in client.get(f"{API}/clips").json()]
    assert len(names) == len(set(names)) == codes.count(201)
