"""Screenshots of a site's kinds of pages, light and dark, at the widths of a phone and of a desk.

    python benchmarks/screenshots.py SITE --out SCREENSHOTS

Needs Chromium (Debian's, or CHROMIUM=/path/to/one) and ``pip install evalkit[test]``. Each file is called
``<page>-<theme>-<width>.png``: index, tasks, group, task, model, compare, pair, samples and method, where there is one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

KINDS = {
    "index": "index.html",
    "method": "method.html",
    "downloads": "downloads.html",
    "tasks": "*/tasks.html",
    "group": "*/group-general.html",
    "task": "*/task-RefCOCOg.html",
    "model": "*/model-*.html",
    "compare": "*/compare.html",
    "pair": "*/compare-*-and-*.html",
    "samples": "*/samples-RefCOCOg-*.html",
}


def pages(site: Path, board: str | None) -> dict[str, Path]:
    """One page of each kind: of the named board, else of the first that has one."""
    found = {}
    for kind, pattern in KINDS.items():
        there = sorted(site.glob(pattern if board is None else pattern.replace("*/", f"{board}/")))
        if there:
            found[kind] = there[0]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--board", help="key of the board whose pages are shown")
    parser.add_argument("--only", nargs="*", choices=list(KINDS), help="kinds of pages")
    parser.add_argument("--width", type=int, nargs="*", default=[360, 1600])
    parser.add_argument("--whole", action="store_true", help="the whole height of a page, and not of a screen")
    parser.add_argument("--state", default="", help="what stands after # in the address")
    arguments = parser.parse_args()
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        print("no chromium: install it (apt install chromium), or name one with CHROMIUM=PATH", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    wanted = pages(arguments.site.resolve(), arguments.board)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            for width in arguments.width:
                context = browser.new_context(
                    viewport={"width": width, "height": 780 if width < 600 else 1000},
                    color_scheme=theme,  # type: ignore[arg-type]
                    device_scale_factor=2 if width < 600 else 1,
                )
                page = context.new_page()
                for kind, path in wanted.items():
                    if arguments.only and kind not in arguments.only:
                        continue
                    page.goto("about:blank")
                    page.goto(path.as_uri() + (f"#{arguments.state}" if arguments.state else ""))
                    page.wait_for_load_state()
                    file = arguments.out / f"{kind}-{theme}-{width}.png"
                    page.screenshot(path=file, full_page=arguments.whole)
                    print(file)
                context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
