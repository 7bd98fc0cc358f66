"""The page's files. They are served as they are: no build, nothing from elsewhere.

index.html has the structure, page.js fills it, and page.css is its looks. Ids come from outside, so page.js writes them
as text and never as markup; the Content-Security-Policy allows no script but that file.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/timeline.js": ("timeline.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""File and content type by path."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def read(name: str) -> bytes:
    """A file of the page."""
    return resources.files(__name__).joinpath(name).read_bytes()
