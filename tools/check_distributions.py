"""Whether a wheel and a source archive hold what they should, and nothing else.

    python tools/check_distributions.py dist/*      # prints what each holds, and what is wrong

Exits with 1 if anything is.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

WANTED = (
    "mgsv/py.typed",
    "mgsv/encoders/weights/efficientnet_lite0.onnx",
    "mgsv/encoders/weights/efficientnet_lite0.LICENSE",
    "mgsv/encoders/weights/musicnn_msd.onnx",
    "mgsv/encoders/weights/musicnn_msd.LICENSE",
    "mgsv/library/words/vocabulary.tsv",
    "mgsv/media/metre.json",
    "mgsv/models/weights/made.md",
    "mgsv/models/weights/made.onnx",
    "mgsv/models/weights/made.safetensors",
    "mgsv/studio/static/index.html",
    "mgsv/studio/static/js/studio.js",
    "mgsv/study/page/showcase.css",
)
"""Files that are read while mgsv runs, or that a licence wants beside them."""
IN_WHEELS = ("share/man/man1/mgsv.1", "licenses/LICENSE", "licenses/NOTICE")
IN_SOURCES = ("LICENSE", "NOTICE", "README.md", "pyproject.toml", "tools/build_hooks.py")
UNWANTED = ("tests", "benchmarks", "recipes", "__pycache__", ".venv", ".git", ".ci")
"""Folders of no use to who installs mgsv."""
LIMIT = 30e6
"""Bytes of an archive."""


def names_in(archive: Path) -> list[str]:
    """The files in a wheel, or in a source archive below its one folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return [entry.filename for entry in wheel.infolist() if not entry.is_dir()]
    with tarfile.open(archive) as source:
        return [entry.name.partition("/")[2] for entry in source if entry.isfile()]


def problems(archive: Path) -> list[str]:
    """What is wrong with an archive, a line each."""
    names = names_in(archive)
    wheel = archive.suffix == ".whl"
    package = names if wheel else [name.removeprefix("src/") for name in names]
    found = [f"lacks {name}" for name in WANTED if name not in package]
    ends = IN_WHEELS if wheel else IN_SOURCES
    found += [f"lacks {end}" for end in ends if not any(n.endswith(end) for n in names)]
    for name in names:
        path = PurePosixPath(name)
        if set(path.parts[:-1]) & set(UNWANTED) or path.suffix in {".pyc", ".pyo"}:
            found.append(f"holds {name}")
    if archive.stat().st_size > LIMIT:
        found.append(f"has {archive.stat().st_size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f}")
    return found


def main() -> int:
    archives = [Path(word) for word in sys.argv[1:]]
    if not archives:
        print("name the archives, as in: dist/*", file=sys.stderr)
        return 2
    wrong = 0
    for archive in archives:
        kinds = Counter(PurePosixPath(name).suffix or "no ending" for name in names_in(archive))
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB; {listed}")
        for line in problems(archive):
            print(f"{archive.name}: {line}", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
