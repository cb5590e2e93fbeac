"""The line of credits in a file's comment."""

from __future__ import annotations

import pytest

from mgsv.media.metadata import NO_TAGS, Tags

APPLE = "com.apple.quicktime.comment"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (NO_TAGS, {"comment": "Music: x"}),
        (Tags({"comment": "Mine"}), {"comment": "Mine\nMusic: x"}),
        (Tags({"COMMENT": "Mine"}), {"COMMENT": "Mine\nMusic: x"}),
        (
            Tags({"make": "A", "comment": "Mine"}, {}, {"movflags": "use_metadata_tags"}),
            {"make": "A", "comment": "Mine\nMusic: x", APPLE: "Music: x"},
        ),
    ],
)
def test_the_clips_own_comment_stays_above(tags: Tags, expected: dict[str, str]) -> None:
    assert tags.with_comment("Music: x").file == expected
    assert tags.with_comment("") is tags
