"""What bin/run and its like do before there is an environment to run in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from portal.launch.environment import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with just what a first start reads."""
    for name in ("bin", "requirements", "portal/launch"):
        shutil.copytree(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


@pytest.mark.parametrize("name", ["run", "manage", "test"])
@pytest.mark.parametrize("exists", [True, False])
def test_an_environment_that_is_a_link_is_refused_and_left_alone(
    clone: Path, tmp_path: Path, name: str, *, exists: bool
) -> None:
    """It is somebody else's, where `venv --clear` would begin with emptying it."""
    elsewhere = tmp_path / "elsewhere"
    if exists:
        (elsewhere / "bin").mkdir(parents=True)
        (elsewhere / "bin" / "python").write_text("somebody else's")
    (clone / ".venv").symlink_to(elsewhere)
    done = subprocess.run(
        [clone / "bin" / name],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"bin/{name}: {clone / '.venv'} is a symbolic link, to {elsewhere}.")
    assert (clone / ".venv").is_symlink()
    if exists:
        assert (elsewhere / "bin" / "python").read_text() == "somebody else's"
        assert len(list(elsewhere.rglob("*"))) == 2
    assert not (clone / ".venv.lock").exists()
