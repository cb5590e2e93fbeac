"""Makes the README's links work where it is shown without the repository, as on PyPI."""

from __future__ import annotations

import re


def absolute_links(text: str, address: str) -> str:
    """`text`, whose links to files of the repository lead to `address`, and pictures to raw files.

    address: of the repository at one of its tags, as in https://HOST/OWNER/NAME/blob/v0.2.0.
    """

    def absolute(link: re.Match[str]) -> str:
        base = address.replace("/blob/", "/raw/", 1) if link[1] else address
        return f"{link[1]}[{link[2]}]({base}/{link[3]})"

    return re.sub(r"(!?)\[([^][]*)\]\((?![a-z]+:|#)([^)\s]+)\)", absolute, text)
