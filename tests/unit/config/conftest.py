"""Reading settings as a start does: from a working directory of its own, with an environment of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from apidanalytics import config
from apidanalytics.errors import ConfigurationError

ENOUGH = {"APID_LOCAL_STORAGE_PATH": "/var/apid", "APID_APIDANALYTICS_UAP_SERVER_BASE": "https://collect.example"}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., config.Settings]:
    """Return ``config.load`` with the required settings given, and the text of ``apid_config.yaml`` as an argument."""
    monkeypatch.chdir(tmp_path)

    def load_settings(
        yaml: str | bytes | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        enough: bool = True,
        config_file: Path | None = None,
        overrides: Mapping[str, object] | None = None,
        embedded: bool = False,
    ) -> config.Settings:
        if yaml is not None:
            Path("apid_config.yaml").write_bytes(yaml.encode() if isinstance(yaml, str) else yaml)
        variables = {**(ENOUGH if enough else {}), **(environ or {})}
        return config.load(config_file=config_file, environ=variables, overrides=overrides or {}, embedded=embedded)

    return load_settings


@pytest.fixture
def problems(load) -> Callable[..., list[str]]:
    """Return the problems that ``load`` reports with the same arguments."""

    def load_badly(*args, **kwargs) -> list[str]:
        with pytest.raises(ConfigurationError) as raised:
            load(*args, **kwargs)
        return raised.value.problems

    return load_badly
