"""Values come out of Hydra's parser as they went in."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.overrides import check, key_of, merge, override, value_of

VALUES = [
    None, True, False, 3, 0.25, 1e-5, "unet", "a b", "it's", 'say "x"', "1", "true", "null",
    "a,b", "x=y", "[1]", "back\\slash", "", [1, 2.5, "a b"], {"a": [1, None]}, [],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_survives_the_command_line(value: object) -> None:
    text = override("some.key", value)
    parsed = OverridesParser.create().parse_override(text)
    assert parsed.key_or_group == "some.key"
    assert parsed.value() == value
    assert type(value_of(text)) is type(value)


def test_a_later_override_of_a_key_replaces_an_earlier_one() -> None:
    merged = merge(["model=unet", "a.b=1"], ["+a.b=2"], ["seed=0"])
    assert merged == ["model=unet", "+a.b=2", "seed=0"]


@pytest.mark.parametrize(
    ("text", "key"), [("a=1", "a"), ("++a.b=c=d", "a.b"), ("~trainer.ema", "trainer.ema")]
)
def test_key(text: str, key: str) -> None:
    assert key_of(text) == key


@pytest.mark.parametrize("text", ["model", "a=[1", "seed=0,1"])
def test_what_is_no_override_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="fixed"):
        check([text], "fixed")
