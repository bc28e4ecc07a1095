"""The README's pictures of the demo: ``python docs/pictures.py evalkit-demo`` makes them anew.

Needs Chromium (Debian's, or CHROMIUM=/path/to/one) and the extra ``test``. Colours are reduced to 256, so that each is
small.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import PIL.Image

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1200, "height": 860}
PAGES = {"leaderboard": "site/index.html", "samples": "site/miniature/samples-RefCOCOg-virtue-tiny-native.html"}
"""What is shown: the leaderboard; the page of samples of a task with boxes, of the model that takes them."""


def main(demo: Path) -> int:
    """Take them of the demo in a folder; the exit code."""
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        print("no chromium: install it (apt install chromium), or name one with CHROMIUM=PATH", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        for name, path in PAGES.items():
            page.goto((demo.resolve() / path).as_uri())
            page.wait_for_load_state()
            picture = PIL.Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            file = IMAGES / f"{name}.png"
            picture.quantize(256, dither=PIL.Image.Dither.NONE).save(file, optimize=True)
            print(f"{file}: {file.stat().st_size / 1024:.0f} KiB")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
