"""Every code block of docs/sdk.md, run in order against the API as it runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from platform_assets.settings import PROJECT_ROOT
from tests.integration.ingestion.processes import ApiProcess

pytestmark = pytest.mark.integration

PAGE = PROJECT_ROOT / "docs" / "sdk.md"
DOCUMENTED_ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.feature("S1-1")
def test_every_code_block_does_what_it_says(api: ApiProcess, tmp_path: Path) -> None:
    page = PAGE.read_text()
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("```") / 2 >= 6
    names: dict[str, Any] = {"folder": tmp_path}
    for block in blocks:
        line = page[: page.index(block)].count("\n")
        source = "\n" * line + block.replace(DOCUMENTED_ADDRESS, str(api.client.base_url))
        exec(compile(source, str(PAGE), "exec"), names)
