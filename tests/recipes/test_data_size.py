"""What data is worth, in a table and a picture."""

from __future__ import annotations

import json
from pathlib import Path

from data_size import markdown, picture, read


def kept(folder: Path, figures: dict[int, float]) -> Path:
    """What `mgsv reproduce data-size` keeps, with these mIoU by the number of rows."""
    folder.mkdir()
    runs = [
        {"rows": n, "epochs": 100 // n, "mIoU": v, "shuffled mIoU": 0.1, "best blind mIoU": 0.4}
        for n, v in figures.items()
    ]
    (folder / "data-size.json").write_text(json.dumps(runs))
    return folder


def test_seeds_are_gathered_by_the_number_of_rows(tmp_path: Path) -> None:
    first = kept(tmp_path / "1", {50: 0.75, 10: 0.5})
    second = kept(tmp_path / "2", {10: 0.25})
    head, _, epochs, figures, shuffled = markdown(read([first, second])).splitlines()
    assert head == "| training rows | 10 | 50 |" and epochs == "| epochs | 10 | 2 |"
    assert figures == "| mIoU | 0.375 (0.250 to 0.500) | 0.750 |"
    assert shuffled.endswith("| 0.100 |")


def test_it_is_drawn(tmp_path: Path) -> None:
    assert picture(read([kept(tmp_path / "1", {10: 0.5, 50: 0.75})])).startswith(b"\x89PNG")
