"""The site's reference: pages made from docstrings, the commands and the REST interface."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click


class Part(NamedTuple):
    """A page of the Python reference: its title, what it is about, and what stands on it."""

    title: str
    about: str
    names: tuple[str, ...]


PYTHON = {
    "grounding": Part(
        "Ground and render",
        "A clip and a library in, ranked moments out; a moment in, a video or a timeline out. "
        "Every name on this page but those of the last three entries is also in `mgsv` itself.",
        (
            *("mgsv.grounding.single.ground", "mgsv.grounding.session.Session"),
            *("mgsv.grounding.options.GroundOptions", "mgsv.grounding.result.Grounding"),
            *("mgsv.grounding.result.RankedMoment", "mgsv.moment.Moment"),
            *("mgsv.grounding.output.render", "mgsv.grounding.output.arrange"),
            *("mgsv.grounding.output.write_timeline", "mgsv.explanation.explain.explain"),
            *("mgsv.grounding.acceptance.accept", "mgsv.models.system.System"),
            *("mgsv.explanation.explain.Explained", "mgsv.grounding.output.write_credits"),
            "mgsv.grounding.habits.learned_habits",
        ),
    ),
    "batch": Part(
        "Many clips",
        "What `mgsv ground` does with several clips, and `mgsv watch` with a folder.",
        (
            *("mgsv.grounding.batch.clips.find_clips", "mgsv.grounding.batch.run.ground_clips"),
            *("mgsv.grounding.batch.run.BatchOptions", "mgsv.grounding.batch.clips.BatchClip"),
            *("mgsv.grounding.batch.report.BatchReport", "mgsv.grounding.batch.report.BatchItem"),
            "mgsv.grounding.batch.watch.watch_folder",
        ),
    ),
    "library": Part(
        "Library and memory",
        "The indexed music, whose it is, and the past uses of it.",
        (
            *("mgsv.library.library.Library", "mgsv.library.track.Track"),
            *("mgsv.library.track.TrackCurves", "mgsv.library.track.TrackFeatures"),
            *("mgsv.library.credits.Credits", "mgsv.library.library.CheckReport"),
            *("mgsv.library.uses.LibraryUses", "mgsv.library.uses.LearnReport"),
            *("mgsv.memory.use.Use", "mgsv.memory.habits.Habits", "mgsv.library.store.Store"),
        ),
    ),
    "media": Part(
        "Files and features",
        "Files to arrays, arrays to features. Decoding runs in a process of its own.",
        (
            *("mgsv.media.video.VideoScan", "mgsv.media.video.VideoInfo", "mgsv.media.video.Frame"),
            *("mgsv.media.audio.read_audio", "mgsv.media.rhythm.analyse_rhythm"),
            *("mgsv.media.rhythm.Rhythm", "mgsv.media.pictures.write_film"),
            *("mgsv.encoders.registry.VideoEncoder", "mgsv.encoders.registry.MusicEncoder"),
            *("mgsv.encoders.registry.video_encoder", "mgsv.encoders.registry.music_encoder"),
        ),
    ),
    "methods": Part(
        "Methods",
        "How scores and moments come about: what a method offers, and what one is made of.",
        (
            *("mgsv.methods.registry.open_method", "mgsv.methods.base.Method"),
            *("mgsv.methods.base.Ranker", "mgsv.methods.base.Placer", "mgsv.methods.base.Query"),
            *("mgsv.methods.base.Ranked", "mgsv.methods.base.Placed"),
            *("mgsv.methods.base.Candidate", "mgsv.methods.base.PlacementWeights"),
            *("mgsv.runtime.model.GroundingModel", "mgsv.runtime.model.Network"),
        ),
    ),
    "research": Part(
        "Data, training, evaluation",
        "For researchers; most of it needs the extra `mgsv[research]`.",
        (
            *("mgsv.annotate.annotate.annotate", "mgsv.annotate.options.AnnotateOptions"),
            *("mgsv.extract.extract", "mgsv.data.pack.pack", "mgsv.data.check.check_folder"),
            *("mgsv.data.stats.stats", "mgsv.data.export.export_data"),
            *("mgsv.data.download.download", "mgsv.data.dataset.SplitData"),
            *("mgsv.data.dataset.CardDataset", "mgsv.data.batch.Batch"),
            *("mgsv.training.fit.train", "mgsv.training.config.configure"),
            *("mgsv.training.config.TrainConfig", "mgsv.models.checkpoint.load"),
            *("mgsv.models.checkpoint.Checkpoint", "mgsv.evaluation.evaluate.evaluate"),
            "mgsv.evaluation.evaluate.EvaluateOptions",
        ),
    ),
    "jobs": Part(
        "Errors, progress, executors",
        "What is raised, how far a job is, and who does the work.",
        (
            *("mgsv.errors.MgsvError", "mgsv.errors.MediaError", "mgsv.errors.OutputError"),
            *("mgsv.errors.LibraryError", "mgsv.errors.ConfigError", "mgsv.errors.DataError"),
            *("mgsv.errors.EncoderMismatch", "mgsv.errors.ClusterError"),
            *("mgsv.jobs.Progress", "mgsv.jobs.Job", "mgsv.jobs.Cancelled"),
            *("mgsv.jobs.Executor", "mgsv.jobs.Threads", "mgsv.jobs.Processes", "mgsv.cluster.Ray"),
        ),
    ),
}


def write_pages(folder: Path) -> None:
    """Write the pages of the reference to `folder`."""
    (folder / "python").mkdir(parents=True)
    for name, part in PYTHON.items():
        lines = [f"# {part.title}", part.about, *(f"::: {one}" for one in part.names)]
        (folder / f"python/{name}.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")
    (folder / "rest.md").write_text(rest_page(openapi()), encoding="utf-8")


def commands() -> Iterator[tuple[click.Context, click.Command]]:
    """Every command with its context, in the order of `mgsv --help`."""
    from mgsv.cli import app

    def below(group: click.Group, context: click.Context) -> Iterator[Any]:
        for name in group.list_commands(context):
            command = group.commands[name]
            own = click.Context(command, info_name=name, parent=context)
            yield own, command
            if isinstance(command, click.Group):
                yield from below(command, own)

    yield from below(app, click.Context(app, info_name="mgsv"))


def commands_page() -> str:
    """All commands with all their options, as `--help` has them."""
    text = [
        "# Commands",
        "As `mgsv COMMAND --help` prints them. Exit status: 0 where all went well, 1",
    ]
    text[-1] += (
        " where input or output cannot be used, 2 for a wrong option, 130 for Ctrl-C."
        " `--debug`, anywhere on the line, shows tracebacks."
    )
    for context, command in commands():
        text += [f"## {context.command_path}", _paragraphs(command.help or "")]
        if isinstance(command, click.Group):
            continue
        usage = " ".join(command.collect_usage_pieces(context))
        text.append(f"```text\n{context.command_path} {usage}\n```")
        records = [p.get_help_record(context) for p in command.get_params(context)]
        rows = [f"| `{names}` | {_cell(about)} |" for names, about in filter(None, records)]
        text.append("\n".join(["| option | meaning |", "|---|---|", *rows]))
    return "\n\n".join(text) + "\n"


def openapi() -> dict[str, Any]:
    """The document that a studio serves at /api/v1/openapi.json."""
    from mgsv.studio.app import create_app
    from mgsv.studio.options import StudioOptions

    with TemporaryDirectory() as folder:
        return create_app(StudioOptions(queue=Path(folder))).openapi()


def rest_page(document: Mapping[str, Any]) -> str:
    """Every call of an OpenAPI document, and the schemas that they speak of."""
    text = ["# REST", document["info"]["description"]]
    text.append("A studio serves this as a document at `/api/v1/openapi.json`.")
    text.append("[How to use it](../studio.md#the-rest-interface)")
    for path, operations in document["paths"].items():
        for method, call in operations.items():
            text += [f"## {method.upper()} {path}", _paragraphs(call.get("description", ""))]
            text += _parameters(call.get("parameters", ()))
            if body := call.get("requestBody"):
                text.append(f"Body: {_content(body['content'])}")
                text += _examples(body["content"])
            text.append("\n".join(_answers(call["responses"])))
    text.append("## Schemas")
    for name, schema in document["components"]["schemas"].items():
        text += [f"### {name}", _paragraphs(schema.get("description", "")), *_fields(schema)]
    return "\n\n".join(filter(None, text)) + "\n"


def _parameters(parameters: Any) -> list[str]:
    rows = [
        f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | "
        f"{'yes' if one.get('required') else 'no'} | {_cell(one.get('description', ''))} |"
        for one in parameters
    ]
    head = ["| parameter | in | type | required | meaning |", "|---|---|---|---|---|"]
    return ["\n".join(head + rows)] if rows else []


def _answers(responses: Mapping[str, Any]) -> list[str]:
    rows = []
    for status, answer in responses.items():
        what = _content(answer.get("content", {}))
        kind = "any error" if status == "default" else status
        rows.append(f"| {kind} | {_cell(answer['description'])} | {what} |")
    return ["| status | meaning | content |", "|---|---|---|", *rows]


def _content(content: Mapping[str, Any]) -> str:
    kinds = ((kind, _type(one.get("schema", {}))) for kind, one in content.items())
    return ", ".join(f"`{kind}` {what}".strip() for kind, what in kinds)


def _examples(content: Mapping[str, Any]) -> list[str]:
    return [
        f"{example.get('summary', name)}:\n\n```json\n{json.dumps(example['value'], indent=2)}\n```"
        for one in content.values()
        for name, example in one.get("examples", {}).items()
    ]


def _fields(schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {_type(one)} | {'yes' if name in required else 'no'} | "
        f"{_cell(one.get('description', ''))} |"
        for name, one in schema.get("properties", {}).items()
    ]
    head = ["| field | type | required | meaning |", "|---|---|---|---|"]
    return ["\n".join(head + rows)] if rows else []


def _type(schema: Mapping[str, Any]) -> str:
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(map(_type, options)))
    if choices := schema.get("enum"):
        return ", ".join(f"`{one}`" for one in choices)
    if "const" in schema:
        return f"`{schema['const']}`"
    if (kind := schema.get("type", "")) == "array":
        return f"list of {_type(schema.get('items', {})) or 'anything'}"
    return kind


def _paragraphs(text: str) -> str:
    """Help as Markdown, where indentation would be code; click's marks are left out."""
    return inspect.cleandoc(text.replace("\b\n", "\n"))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").replace("<", "&lt;").split())
