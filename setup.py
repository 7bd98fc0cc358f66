"""Makes the links of README.md absolute for the package's page, beside which no other file is.

All else is in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

from setuptools import setup

ROOT: Final = Path(__file__).resolve().parent
RELATIVE_LINK: Final = re.compile(r"(!?)(\[[^\]]*\])\((?![a-z][a-z0-9+.-]*:|#)([^)]+)\)", re.IGNORECASE)


def page() -> str:
    """README.md with the addresses of this version's files; those of pictures lead to the files themselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository, tag = project["urls"]["Repository"], f"v{project['version']}"

    def absolute(link: re.Match[str]) -> str:
        picture, text, target = link.groups()
        return f"{picture}{text}({repository}/{'raw' if picture else 'blob'}/{tag}/{target})"

    return RELATIVE_LINK.sub(absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


setup(long_description=page(), long_description_content_type="text/markdown")
