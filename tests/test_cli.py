"""What a command's process ends with."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_brats.callbacks import InterruptedRunError, PrunedRunError
from lightning_brats.cli import friendly
from lightning_brats.errors import BratsError, ConfigError

LAUNCHED = {"LOCAL_RANK": "1"}
FIRST = {"LOCAL_RANK": "0"}
TORCHRUN = {"LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}


@pytest.mark.parametrize(
    ("kind", "environment", "status"),
    [
        (ConfigError, {}, 2),
        (ConfigError, LAUNCHED, 2),
        (InterruptedRunError, {}, 130),
        (InterruptedRunError, FIRST, 130),
        (InterruptedRunError, LAUNCHED, 0),  # lest Lightning kill the first process
        (InterruptedRunError, TORCHRUN, 130),
        (PrunedRunError, FIRST, 3),
        (PrunedRunError, LAUNCHED, 0),
    ],
)
def test_exit_status(
    kind: type[BratsError],
    environment: dict[str, str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    @friendly
    def command(cfg: Any) -> None:
        raise kind("why")

    with pytest.raises(SystemExit) as error:
        command({})
    assert error.value.code == status
    assert "why" in capsys.readouterr().err
