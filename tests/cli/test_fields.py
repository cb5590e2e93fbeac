"""Errors name a field in Python and a flag on the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import mgsv
from library_support import write_tone
from media_files import Clip, write_video
from mgsv.annotate import AnnotateOptions, annotate
from mgsv.cli import app, fields
from mgsv.cli.fields import command_at, with_flags
from mgsv.errors import MgsvError
from mgsv.evaluation.evaluate import evaluate
from mgsv.extract import ExtractOptions, extract
from mgsv.models.system import System
from mgsv.synthesis.composed import ComposeOptions
from mgsv.synthesis.planted import PlantOptions
from mgsv.training.config import configure
from subprocesses import mgsv_here

SOURCES = Path(mgsv.__file__).parent
FACES = {"cli", "demo.py"}
COMMAND = re.compile(r"`[^`]* [^`]*`")


def messages() -> Iterator[tuple[str, str]]:
    """(file, text) of every string outside the faces that is no docstring; {} for values."""
    for file in sorted(SOURCES.rglob("*.py")):
        name = file.relative_to(SOURCES)
        if name.parts[0] not in FACES:
            for text in _strings(ast.parse(file.read_bytes())):
                yield name.as_posix(), text


def _strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def commands(group: click.Command = app, path: str = "") -> Iterator[tuple[str, click.Command]]:
    yield path, group
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, f"{path} {name}".strip())


def test_no_message_of_a_lower_floor_names_a_flag() -> None:
    """But for whole commands, as in "run `mgsv library check --repair`"."""
    found = [
        (file, text) for file, text in messages() if re.search(r"--[a-z{]", COMMAND.sub("", text))
    ]
    assert found == []


def test_every_field_that_a_message_names_is_an_option() -> None:
    options = {
        parameter.name
        for _, command in commands()
        for parameter in command.get_params(click.Context(command))
        if isinstance(parameter, click.Option)
    }
    named = {
        (file, field) for file, text in messages() for field in re.findall(r"`([a-z_]+)[`=]", text)
    }
    assert len(named) > 50
    assert sorted((file, field) for file, field in named if field not in options) == []


def test_no_flag_stands_in_for_another_parameter() -> None:
    """A parameter is called as its flag is, or as the field in Python."""
    other = {
        "--library": "folder",
        "--model": "checkpoint",
        "--candidates": "rerank",
        "--json": "as_json",
        "--all": "everything",
        "--not": "without",
    }
    for path, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                flag = max(parameter.opts, key=len)
                own = flag.removeprefix("--").replace("-", "_")
                assert parameter.name == other.get(flag, own), (path, flag)


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("ground clip.mp4", "`start_on` x: choose `fit`", "--start-on x: choose --fit"),
        ("ground x", "another `folder`, not `output`", "another --library, not --output"),
        ("--debug library add x", "another `folder`", "another --library"),
        ("evaluate x", "leave `music_set=False` out", "leave --single-music out"),
        ("evaluate x", "`rerank` 0, `music_set`", "--candidates 0, --music-set"),
        ("data plant x", "`latent_dim` and `top`", "--latent-dim and `top`"),
        ("ground", "`video`, `mgsv train --x`, `", "`video`, `mgsv train --x`, `"),
        ("library", "`top`", "`top`"),
        ("nonsense ground", "`top`", "--top"),
    ],
)
def test_fields_become_flags_of_the_command_at_hand(words: str, text: str, expected: str) -> None:
    assert with_flags(text, command_at(app, words.split())) == expected


def test_notes_name_the_flags_of_the_running_command() -> None:
    with click.Context(app.commands["ground"]):
        assert fields.here("`strip_metadata` leaves it out") == "--strip-metadata leaves it out"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fields")
    write_tone(place / "music/tone.wav")
    (place / "there.csv").write_bytes(b"")
    write_video(place / "clip.mp4", Clip(seconds=2))
    return place


CASES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "top": (
        "ground {0}/clip.mp4 --music {0}/music --library {0}/l --no-render --method sync --top 0",
        lambda place: mgsv.ground(place / "clip.mp4", place / "music", method="sync", top=0),
        "{top} 0: at least one moment must be asked for",
    ),
    "checkpoint": (
        "ground {0}/clip.mp4 --music {0}/music --library {0}/l --no-render --method mvpt",
        lambda place: mgsv.ground(place / "clip.mp4", place / "music", method="mvpt"),
        "{method} mvpt needs {checkpoint}: give the checkpoint that `mgsv train` wrote",
    ),
    "overwrite": (
        "annotate {0}/clip.mp4 -m {0}/music -o {0}/there.csv",
        lambda place: annotate([place / "clip.mp4"], [place / "music"], place / "there.csv"),
        "there.csv: it exists already: choose another output name, or allow {overwrite}",
    ),
    "rerank": (
        "evaluate {0}/x --data {0} --candidates 0",
        lambda place: evaluate(System(checkpoint=place / "x", rerank=0), place),
        "{rerank} 0: at least one candidate is needed",
    ),
    "stride": (
        "extract {0}/clip.mp4 -o {0}/features --stride 3",
        lambda place: extract(
            [place / "clip.mp4"], place / "features", options=ExtractOptions(stride=3.0)
        ),
        "{stride}: 3 s is not published: choose one of 2.5, 5, 7.5, 10",
    ),
    "uses": (
        "evaluate {0}/x --data {0} --fusion {0}/f",
        lambda place: evaluate(place / "x", place, fusion=place / "f"),
        "{fusion} without {uses}: name the past uses to fuse the model with",
    ),
    "min_confidence": (
        "annotate {0}/clip.mp4 -m {0}/music -o {0}/a.csv --min-confidence 2",
        lambda place: annotate(
            [place / "clip.mp4"],
            [place / "music"],
            place / "a.csv",
            options=AnnotateOptions(min_confidence=2.0),
        ),
        "{min_confidence} 2.0: no probability: give 0 to 1",
    ),
    "latent_dim": (
        "data plant {0}/new --latent-dim 1",
        lambda _: PlantOptions(latent_dim=1),
        "{latent_dim} must lie in 2 to 256, {family_size} be at least 1",
    ),
    "offset_max": (
        "data compose {0}/new --music {0} --pictures {0} --offset-max 6",
        lambda _: ComposeOptions(offset_max=6.0),
        "{offset_max} 6: must lie between 0 and 5 s",
    ),
    "set": (
        "train made --settings --set model.depth=2",
        lambda _: configure("made", "cpu-small", ["model.depth=2"]),
        "{set} model.depth: no such field",
    ),
}
FLAGS = {"checkpoint": "--model", "rerank": "--candidates"}


@pytest.mark.parametrize("case", CASES)
def test_the_same_error_names_the_flag_here_and_the_field_there(case: str, place: Path) -> None:
    words, call, text = CASES[case]
    names = re.findall(r"\{([a-z_]+)\}", text)
    flags = {name: FLAGS.get(name, f"--{name.replace('_', '-')}") for name in names}
    done = mgsv_here(*(word.format(place) for word in words.split()))
    assert done.returncode == 1, done.stderr
    assert text.format(**flags) in done.stderr.splitlines()[-1]
    with pytest.raises(MgsvError) as caught:
        call(place)
    assert text.format(**{name: f"`{name}`" for name in names}) in str(caught.value)
