"""Every setting is documented."""

import re

import pytest

from scripts.env_example import ROOT, render


@pytest.mark.feature("S0-19")
def test_env_example_lists_every_setting_of_every_package() -> None:
    assert (ROOT / ".env.example").read_text() == render(), "run: python -m scripts.env_example > .env.example"


def test_every_setting_has_a_description() -> None:
    assert "# None\n" not in render()


def test_settings_that_the_stack_computes_exist() -> None:
    from local_stack.environment import compute
    from local_stack.settings import StackSettings

    known = set(re.findall(r"^# (TIDEMARK_\w+)=", render(), re.MULTILINE))
    computed = {name for name in compute(StackSettings(), "", "", processors=4) if name.startswith("TIDEMARK_")}
    assert computed <= known
