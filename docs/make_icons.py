"""Make the page's icons, and the copy of the logo for the documentation, from its logo.svg: ``python docs/make_icons.py``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the browser of the tests

from tests.support.browser import chromium

PAGE = Path(__file__).parents[1] / "src/autonomousai/server/page"
COPY = Path(__file__).parent / "images/logo.svg"

#: File -> pixels, and whether the ground fills the whole square: a system that cuts icons to a shape of its own wants that.
ICONS = {
    "icon-192.png": (192, False),
    "icon-512.png": (512, False),
    "icon-maskable-512.png": (512, True),
    "icon-touch-180.png": (180, True),
}


async def draw(browser: Browser, size: int, *, full: bool) -> bytes:
    """Draw the logo *size* pixels wide; where it is cut to a shape, its middle is what stays."""
    logo = (PAGE / "logo.svg").read_text(encoding="utf-8")
    if full:
        logo = logo.replace('viewBox="0 0 64 64"', 'viewBox="-6 -6 76 76"')
        logo = logo.replace('<rect width="64" height="64" rx="15"', '<rect x="-6" y="-6" width="76" height="76"')
    page = await browser.new_page(viewport={"width": size, "height": size})
    try:
        await page.set_content(f"<style>* {{ margin: 0 }} svg {{ display: block; width: {size}px }}</style>{logo}")
        return await page.screenshot(omit_background=True)
    finally:
        await page.close()


async def main() -> None:
    (PAGE / "icons").mkdir(exist_ok=True)
    async with chromium() as browser:
        for name, (size, full) in ICONS.items():
            (PAGE / "icons" / name).write_bytes(await draw(browser, size, full=full))
    COPY.write_bytes((PAGE / "logo.svg").read_bytes())


if __name__ == "__main__":
    asyncio.run(main())
