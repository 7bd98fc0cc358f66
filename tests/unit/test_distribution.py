"""What is published: the sdist is the checkout, the wheel is the two programs, and their page leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from service import __version__
from tests.unit.test_pages import LINK, ROOT, links

MADE = ("PKG-INFO", "setup.cfg", "txwatch.egg-info/")
"""What building adds to an sdist."""

pytestmark = pytest.mark.slow


def checkout() -> list[str]:
    """The files of this checkout, whether they are committed yet or not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in listed if name and (ROOT / name).is_file())


def run(*command: str | Path, cwd: Path) -> str:
    """Run Python; returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PIP_"))}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in checkout():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "copy" / name)
    run("-c", "from setuptools import build_meta; build_meta.build_sdist('..')", cwd=folder / "copy")
    (found,) = folder.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Built from the sdist, which so has all that it takes."""
    pip = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", ".")
    run(*pip, sdist, cwd=sdist.parent)
    (found,) = sdist.parent.glob("*.whl")
    return found


def description(wheel: Path) -> str:
    """The package's page."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read(f"txwatch-{__version__}.dist-info/METADATA").decode())
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    return str(metadata.get_payload())


def test_the_sdist_is_the_checkout(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = {one.name.partition("/")[2]: one for one in archive.getmembers() if one.isfile()}
    assert sorted(name for name in files if not name.startswith(MADE)) == checkout()
    assert all(files[name].mode & 0o100 for name in ("demo", "test", ".ci/run"))


def test_the_wheel_is_the_two_programs_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    ours = [name for name in checkout() if name.startswith(("service/", "producer/"))]
    made = f"txwatch-{__version__}.dist-info/"
    about = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"]
    assert sorted(names) == sorted([*ours, *(made + name for name in about)])


def test_the_wheels_programs_run_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(wheel, tmp_path, "zip")
    for program in ("service", "producer"):
        code = f"import {program}, runpy, sys; print({program}.__file__); sys.argv[1:] = ['--version']; "
        code += f"runpy.run_module('{program}', run_name='__main__', alter_sys=True)"
        place, version = run(
            "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}", cwd=tmp_path
        ).splitlines()
        assert Path(place).is_relative_to(tmp_path)
        assert __version__ in version


def test_every_link_of_the_page_is_absolute_and_pictures_lead_to_the_file(wheel: Path) -> None:
    page = description(wheel)
    assert list(links(page)) == []
    readme = list(links((ROOT / "README.md").read_text(encoding="utf-8")))
    tails = [re.sub(rf"^https://.+?/(?:blob|raw)/v{re.escape(__version__)}/", "", one) for one in LINK.findall(page)]
    assert [one for one in tails if "://" not in one] == readme
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page)
    assert pictures
    assert all("/raw/" in one for one in pictures)


def test_twine_has_nothing_to_say(sdist: Path, wheel: Path) -> None:
    assert run("-m", "twine", "check", "--strict", sdist, wheel, cwd=sdist.parent).count("PASSED") == 2
