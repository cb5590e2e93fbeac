"""What every store does, tried on each: a folder, and PostgreSQL with features in a folder or S3.

Then what can be wrong with a shared one. Its servers are real; where they are not installed, the
tests of the shared store are skipped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from library_support import TinyEncoder, opened, start, write_tone, write_tones
from mgsv.errors import LibraryError
from mgsv.files import write_file
from mgsv.jobs import Progress, Threads
from mgsv.library import Library
from mgsv.library.credits import Credits
from mgsv.library.features import TENSORS, TrackRecord
from mgsv.library.shared.address import is_shared, parse_address
from mgsv.library.store import Held, Place, Store
from mgsv.library.stores import open_store
from mgsv.memory.use import packed_cuts
from servers import (
    PASSWORD,
    Postgres,
    postgres,
    programs_with_pgvector,
    programs_without_pgvector,
    s3,
)
from usage_support import use

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'library'"
shared = pytest.mark.slow
names = itertools.count()
ADD = """
import sys
from library_support import TinyEncoder
from mgsv.errors import LibraryError
from mgsv.library import Library
def tell(step): print(step.done, step.note, flush=True)
try:
    with Library.open(sys.argv[1], folder=sys.argv[2], encoder=TinyEncoder(pause=0.05),
                      progress=tell, wait=float(sys.argv[3])) as library:
        print("added", library.report.added)
except LibraryError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture(scope="session")
def engine() -> Iterator[Postgres]:
    for package in ("psycopg", "pgvector", "obstore"):
        pytest.importorskip(package, reason=f"{package} is not installed: mgsv[shared]")
    programs = programs_with_pgvector()
    if programs is None:
        pytest.skip("no PostgreSQL with pgvector is installed")
    with postgres(programs) as running:
        yield running


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    pytest.importorskip("moto", reason="moto is not installed")
    with s3() as address:
        request = urllib.request.Request(f"{address}/music", method="PUT")
        urllib.request.urlopen(request).close()
        yield address


@pytest.fixture
def database(engine: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty database, without `features`."""
    if not engine.rows("SELECT 1 FROM pg_database WHERE datname = 'library'"):
        engine.run("CREATE DATABASE library OWNER owner")
        engine.run("CREATE EXTENSION vector", "library")
    # One for all tests: removing the files of a database takes longer than most of them.
    engine.run("ALTER DATABASE library ALLOW_CONNECTIONS true")
    engine.run(TERMINATE)
    engine.run("DROP SCHEMA IF EXISTS mgsv CASCADE", "library")
    monkeypatch.setenv("PGPASSFILE", str(engine.passwords))
    return engine.address("library")


@pytest.fixture
def on_s3(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a library may put its features."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    return f"s3://music/{next(names)}"


KINDS = [
    "folder",
    pytest.param("shared, folder", marks=shared),
    pytest.param("shared, S3", marks=shared),
]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a library may be, as `folder` takes it."""
    if request.param == "folder":
        return str(tmp_path / "library")
    database = request.getfixturevalue("database")
    request.getfixturevalue("monkeypatch").setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "shared, folder":
        return f"{database}?features={tmp_path / 'features'}"
    return f"{database}?features={request.getfixturevalue('on_s3')}"


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with contextlib.closing(open_store(place)) as opened:
        yield opened


def record(number: int) -> TrackRecord:
    return TrackRecord(f"{number:032x}", 10.0 + number, 120.0, {"b": 0.75, "a": 0.5})


def arrays(value: float = 0.5) -> dict[str, np.ndarray]:
    shapes = {1: (4,), 2: (4, 3)}
    return {
        name: np.full(shapes[axes], value).astype(kind) for name, (kind, axes) in TENSORS.items()
    }


def test_a_track_comes_back_as_it_was_put(store: Store, place: str) -> None:
    with store.writing(1, print):
        before = store.version
        for number in (2, 1):
            store.put(record(number), "e-1", arrays(number / 4))
        assert store.version != before
        store.put(record(1), "e-2", arrays())
    with contextlib.closing(open_store(place)) as again:
        assert again.encoders == ["e-1", "e-2"]
        assert sorted(again.records("e-1"), key=lambda one: one.id) == [record(1), record(2)]
        assert list(again.record(record(1).id, "e-2").tags) == ["b", "a"]
        assert again.record(record(2).id, "e-2") is None
        found = again.read(record(2).id, "e-1", ("segments", "beats"))
        assert set(found) == {"segments", "beats"}
        np.testing.assert_array_equal(found["segments"], arrays(0.5)["segments"])
        assert found["segments"].dtype == np.float16
        ((ids, means),) = again.means("e-1")
        assert ids == [record(1).id, record(2).id]
        np.testing.assert_array_equal(means, [[0.25] * 3, [0.5] * 3])
        assert [problem for _, problem in again.verify()] == ["", "", ""]


def test_a_track_of_an_earlier_version_has_no_bars(store: Store) -> None:
    old = replace(record(1), analysis=1)
    before = {name: array for name, array in arrays().items() if name != "downbeats"}
    with store.writing(1, print):
        store.put(old, "e-1", before)
    assert [*store.records("e-1")] == [store.record(old.id, "e-1")] == [old]
    assert set(store.read(old.id, "e-1", tuple(TENSORS))) == set(before)
    assert [problem for _, problem in store.verify()] == [""]
    with store.writing(1, print):
        store.put(record(1), "e-1", arrays())
    assert store.record(old.id, "e-1") == record(1)
    assert set(store.read(old.id, "e-1", tuple(TENSORS))) == set(TENSORS)


def test_a_track_is_replaced_by_another_put(store: Store) -> None:
    with store.writing(1, print):
        store.put(record(1), "e-1", arrays(0.25))
        store.put(record(1), "e-1", arrays(0.75))
    found = store.read(record(1).id, "e-1", ("onset",))
    np.testing.assert_array_equal(found["onset"], arrays(0.75)["onset"])
    assert [problem for _, problem in store.verify()] == [""]


def test_what_is_held_is_known_by_encoder_version_and_revision(store: Store) -> None:
    with store.writing(1, print):
        store.put(replace(record(1), analysis=1), "e-1", arrays())
        store.put(record(2), "e-1", arrays())
        store.put(record(2), "e-2", arrays())
    one, two = record(1).id, record(2).id
    assert store.holds(one, "e-1") and store.holds(one, "e-1", 1) and store.holds(two, "e-1", 2)
    assert not (store.holds(one, "e-1", 2) or store.holds(one, "e-2") or store.holds("x", "e-1"))
    held = Held(store, "e-1", 2)
    assert list(held) == [two] and len(held) == 1 and two in held and one not in held
    others = Held(store, "e-1", but={two})
    assert list(others) == [one] and one in others and two not in others
    before = dict(store.revisions("e-1"))
    assert set(before) == {one, two} and set(dict(store.revisions("e-2"))) == {two}
    assert all(0 < len(revision) <= 32 and revision.isascii() for revision in before.values())
    with store.writing(1, print):
        store.put(record(2), "e-1", arrays(0.25))
    after = dict(store.revisions("e-1"))
    assert after[one] == before[one] and after[two] != before[two]


def test_what_is_derived_is_kept_on_this_machine(store: Store, place: str) -> None:
    assert store.derived is not None and store.derived.is_absolute()
    with contextlib.closing(open_store(place)) as again:
        assert again.derived == store.derived
    write_file(store.derived / "some/pack", b"x", parents=True)


def test_what_cannot_be_stored_is_refused_whole(store: Store) -> None:
    with store.writing(1, print), pytest.raises(ValueError, match="not finite"):
        store.put(record(1), "e-1", arrays(float("inf")))
    assert store.encoders == [] and not list(store.records("e-1"))


def test_places_are_bytes_below_folders(store: Store) -> None:
    paths = [b"/m/a", b"/m/a/x.wav", b"/m/a/\xff\n.wav", b"/m/ab.wav", b"/m/a0"]
    with store.writing(1, print):
        for number, path in enumerate(paths):
            store.place(Place(path, 2**40 + number, -1, None, "bad"))
        store.put(record(1), "e-1", arrays())
        store.place(Place(b"/m/a/x.wav", 1, 2, record(1).id))
    assert list(store.places()) == sorted(paths)
    assert list(store.places([b"/m/a"])) == sorted(paths[:3])
    assert list(store.each_place()) == list(store.places().values())
    assert [one.path for one in store.each_place([b"/m/ab.wav", b"/m/a"])] == sorted(paths[:4])
    assert not list(store.each_place([b"/m/nothing"]))
    assert store.places_of(record(1).id) == [Place(b"/m/a/x.wav", 1, 2, record(1).id)]
    with store.writing(1, print):
        assert store.drop_tracks([record(1).id]) == 0, "a file holds it"
        store.drop_places([b"/m/a/x.wav", b"/nowhere"])
        assert store.drop_tracks([record(1).id, "f" * 32]) == 1
    assert not list(store.records("e-1")) and len(store.places()) == 4
    with pytest.raises(LibraryError, match="feature file is missing"):
        store.read(record(1).id, "e-1", ("onset",))


def test_embeddings_are_kept_by_model(store: Store) -> None:
    rng = np.random.default_rng(0)
    made = {record(n).id: rng.standard_normal((n + 1, 5)).astype(np.float32) for n in range(3)}
    with store.writing(1, print):
        for number in range(3):
            store.put(record(number), "e-1", arrays())
        store.put_embeddings("model-a", made)
        store.put_embeddings("model-b", {record(0).id: np.ones((3, 3), np.float32)})
        before = store.version
        store.put_embeddings("model-b", {record(0).id: np.zeros((2, 3), np.float32)})
        assert store.version != before
    found = dict(store.embeddings("model-a"))
    assert list(found) == list(made)
    for id, vectors in made.items():
        np.testing.assert_array_equal(found[id], vectors)
    ((id, vectors),) = store.embeddings("model-b")
    assert id == record(0).id and vectors.shape == (2, 3)
    with store.writing(1, print):
        assert store.drop_embeddings("model-a") == 3
        store.drop_tracks([record(0).id])
    assert not list(store.embeddings("model-b")), "they go with their track"


def test_uses_are_kept_whole_or_not_at_all(store: Store) -> None:
    one = use("t-1", 1.0, video="v", cuts=packed_cuts([1.5, 4.0], 20.0), before_reset=True)
    two = use("t-2", 2.0, video="v", feats=b"\x00<", encoder="e-1")
    with store.writing(1, print):
        with store.uses.transaction():
            first, second = store.uses.add(one), store.uses.add(two)
        with pytest.raises(KeyError), store.uses.transaction():
            store.uses.drop([first])
            raise KeyError
        with store.uses.transaction():
            store.uses.replace(second, one)
        assert store.uses.of_video("v") == [(first, one), (second, one)]
        with store.uses.transaction():
            assert store.uses.drop([first, 999]) == 1
        assert store.uses.compact()
    assert list(store.uses.all()) == [(second, one)] and store.uses.get(first) is None


def test_one_writes_at_a_time(store: Store, place: str) -> None:
    notes: list[str] = []
    with contextlib.closing(open_store(place)) as other:
        with (
            store.writing(0, print),
            pytest.raises(LibraryError, match=rf"process {os.getpid()}.* is writing this"),
            other.writing(0.2, notes.append),
        ):
            pass
        with other.writing(0, print):
            pass
    (note,) = notes
    assert note.startswith(f"waiting for process {os.getpid()}")


def test_a_library_is_the_same_on_each(place: str, tmp_path: Path) -> None:
    music = tmp_path / "music"
    write_tones(music, 3)
    encoder = TinyEncoder()
    with opened(music, place, encoder) as library:
        assert library.report.added == 3
        track = library.tracks()[0]
        assert len(library.features(track).segments) == 2
        nearest = library.nearest(library.features(track).segments.astype(float).mean(0), 1)
        assert nearest[0][0].id == track.id
        version = library.version
        with Library.open(folder=place, encoder=None) as reader:
            assert reader.tracks() == library.tracks()
            write_tone(music / "new.wav", 50.0)
            assert library.add(music).added == 1
            assert len(reader.tracks()) == 4, "a reader sees what another one wrote"
            assert list(reader.each()) == reader.tracks()
        assert library.version != version
    with opened(music, place, encoder) as library:
        assert library.report.unchanged == 4 and encoder.calls == 4
        assert library.check(sources=True).problems == ()
        assert library.remove(music) == 4
        assert library.encoder_fingerprint is None


def test_bars_are_found_anew_and_the_encoders_features_stay(place: str, tmp_path: Path) -> None:
    music, encoder = tmp_path / "music", TinyEncoder()
    write_tones(music, 2)
    with opened(music, place, encoder) as library:
        fresh = [library.features(track) for track in library.tracks()]
    with contextlib.closing(open_store(place)) as store, store.writing(1, print):
        for one in list(store.records("tiny-1")):
            held = dict(store.read(one.id, "tiny-1", tuple(TENSORS)))
            del held["downbeats"]
            store.put(replace(one, analysis=1, tempo=1.0), "tiny-1", {**held, "beats": np.ones(1)})
    with opened(None, place, encoder) as library:
        report = library.add(music)
        assert (report.updated, report.added, encoder.calls) == (2, 0, 2)
        again = [library.features(track) for track in library.tracks()]
    for ours, before in zip(again, fresh, strict=True):
        assert ours.track == before.track
        for name in TENSORS:
            np.testing.assert_array_equal(getattr(ours, name), getattr(before, name))


# --- the shared store alone ------------------------------------------------------------------


@shared
def test_a_killed_writer_loses_nothing_and_leaves_no_object(database: str, tmp_path: Path) -> None:
    write_tones(tmp_path / "music", 20)
    place = f"{database}?features={tmp_path / 'features'}"
    for stop in (2, 4):
        process = start(ADD, tmp_path / "music", place, "20")
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[0]) >= stop:
                break
        process.kill()
        process.wait()
    orphan = tmp_path / f"features/00/{'0' * 32}.x.safetensors"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"half")
    with Library.open(folder=place, encoder=None, repair=True) as library:
        assert library.check().problems == () and len(library.tracks()) >= 4
        assert not orphan.exists()
        kept = len(library.tracks())
    with opened(tmp_path / "music", place) as library:
        assert (library.report.added, library.report.unchanged) == (20 - kept, kept)
    objects = list((tmp_path / "features").rglob("*.safetensors"))
    assert len(objects) == 20


@shared
def test_a_damaged_object_is_named_and_repaired(database: str, tmp_path: Path) -> None:
    write_tones(tmp_path / "music", 2)
    place = f"{database}?features={tmp_path / 'features'}"
    with opened(tmp_path / "music", place) as library:
        bad, good = library.tracks()
        (file,) = (tmp_path / "features").glob(f"*/{bad.id}.*")
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(LibraryError, match=r"features/.*the feature file is damaged"):
            library.features(bad)
        assert [path for path, _ in library.check(repair=True).problems] == [bad.path]
        assert library.tracks() == [good] and library.add(tmp_path / "music").added == 1


def refused(place: str, match: str) -> str:
    with pytest.raises(LibraryError, match=match) as caught:
        open_store(place).close()
    text = str(caught.value)
    assert "\n" not in text and PASSWORD not in text and caught.value.remedy
    return text


@shared
def test_a_database_that_cannot_be_used(
    engine: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = f"?features={tmp_path / 'f'}"
    refused(f"postgresql://owner@127.0.0.1:9/x{features}", r"127\.0\.0\.1:9.*check that the server")
    refused(engine.address("nowhere") + features, 'database "nowhere" does not exist')
    refused(database.replace("owner@", "guest@") + features, "permission denied.*owner run")
    open_store(database + features).close()
    engine.run("UPDATE mgsv.state SET format = 9", "library")
    refused(database + features, "written in format 9, this mgsv reads 2: use the same version")
    (tmp_path / "pgpass").write_text("*:*:*:*:wrong\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    refused(database + features, "password authentication failed.*PGPASSFILE")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    refused(database + features, "no password supplied.*PGPASSFILE")


@shared
def test_a_server_without_pgvector(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = programs_without_pgvector()
    if programs is None:
        pytest.skip("no PostgreSQL without pgvector is installed")
    with postgres(programs) as other:
        other.run("CREATE DATABASE x OWNER owner")
        monkeypatch.setenv("PGPASSFILE", str(other.passwords))
        refused(f"{other.address('x')}?features={tmp_path}", "has no pgvector: install it there")


@shared
def test_features_that_cannot_be_used(
    database: str, on_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(f"{database}?features=s3://nowhere/x", "s3://nowhere/x: the features cannot be reached")
    place = f"{database}?features={on_s3}"
    with contextlib.closing(open_store(place)) as store, store.writing(1, print):
        store.put(record(1), "e-1", arrays())
    refused(f"{database}?features={on_s3}-other", "holds the features of no library")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refused(place, "the features cannot be reached.*AWS_ENDPOINT_URL")


@shared
def test_a_user_without_rights_and_without_credentials(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: it comes with moto")
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    rights = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    with s3(open_for=5) as address:
        anybody = {"endpoint_url": address, "region_name": "us-east-1", **keys}
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        bucket = boto3.client("s3", **anybody)
        bucket.create_bucket(Bucket="music")
        bucket.put_object(Bucket="music", Key="old/library", Body=b"another")
        users = boto3.client("iam", **anybody)
        users.create_user(UserName="reader")
        users.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
        reader = users.create_access_key(UserName="reader")["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", reader["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", reader["SecretAccessKey"])
        denied = r"s3://music/new: the features cannot be reached \(access is denied\): set AWS_"
        refused(f"{database}?features=s3://music/new", denied)
        refused(f"{database}?features=s3://music/old", "holds the features of another library")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        refused(f"{database}?features=s3://music/new", denied)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        refused(f"{database}?features=s3://music/new", "no credentials were found.*set AWS_ACCESS")


@shared
@pytest.mark.parametrize("what", ["database", "features"])
def test_a_part_that_goes_away_midway_is_one_line_and_what_is_done_stays(
    engine: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write_tones(tmp_path / "music", 6)
    place = f"{database}?features={tmp_path / 'features'}"

    def lose(step: Progress) -> None:
        if step.done == 3:
            if what == "features":
                (tmp_path / "features").rename(tmp_path / "away")
                (tmp_path / "features").write_text("in its place")
            else:
                engine.run("ALTER DATABASE library ALLOW_CONNECTIONS false")
                engine.run(TERMINATE)

    with (
        pytest.raises(LibraryError) as caught,
        Library.open(folder=place, encoder=TinyEncoder(), executor=Threads(1)) as library,
    ):
        library.add(tmp_path / "music", progress=lose)
    assert "\n" not in str(caught.value) and caught.value.remedy
    if what == "features":
        assert "features: the features cannot be reached" in str(caught.value)
        (tmp_path / "features").unlink()
        (tmp_path / "away").rename(tmp_path / "features")
    else:
        assert f"{database}: " in str(caught.value) and "connection" in str(caught.value)
        refused(place, "not currently accepting connections")
        engine.run("ALTER DATABASE library ALLOW_CONNECTIONS true")
    with opened(tmp_path / "music", place) as library:
        assert (library.report.unchanged, library.report.added) == (3, 3)
        assert library.check().problems == ()


def test_addresses() -> None:
    place = "postgresql://me@db.example:5433/music?features=s3://b/p&sslmode=require"
    address = parse_address(place)
    assert address.features == "s3://b/p"
    assert address.database == "postgresql://me@db.example:5433/music?sslmode=require"
    assert parse_address(Path(place)) == address, "a path has no second slash"
    assert is_shared(Path(place)) and not is_shared("/home/postgresql")
    assert parse_address("postgres:///music?features=/srv/f").features == "/srv/f"


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("postgresql://me:secret@host/db?features=/f", "holds a password.*PGPASSFILE"),
        ("postgresql://me@host/db", "`features` is missing"),
        ("postgresql://me@host/db?features=here", "`features` is missing, or neither"),
        ("postgresql://me@host?features=/f", "names no database"),
    ],
)
def test_addresses_that_make_no_sense(place: str, match: str) -> None:
    text = refused(place, match)
    assert "secret" not in text


@shared
def test_a_shared_library_of_the_first_format_gets_room_for_credits(
    database: str, engine: Postgres, tmp_path: Path
) -> None:
    place = f"{database}?features={tmp_path / 'features'}"
    with contextlib.closing(open_store(place)) as store, store.writing(1, print):
        store.put(record(1), "e", arrays())
    engine.run("ALTER TABLE mgsv.track DROP COLUMN credits, DROP COLUMN brightness", "library")
    engine.run("UPDATE mgsv.state SET format = 1", "library")
    with contextlib.closing(open_store(place)) as store:
        assert store.record(record(1).id, "e") == record(1)
        assert store.uncredited() == [record(1).id]
        with store.writing(1, print):
            store.put_credits({record(1).id: Credits("Ada")})
        kept = store.record(record(1).id, "e")
        assert kept is not None and kept.credits == Credits("Ada") and store.uncredited() == []
