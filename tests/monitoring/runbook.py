"""The runbook's sections, as links name them."""

import re
from functools import cache
from pathlib import Path

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


@cache
def anchors() -> frozenset[str]:
    """Of all headings but the title, as GitHub makes them."""
    titles = re.findall(r"^##+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles)
