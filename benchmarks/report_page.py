"""How large a report page is, and how quick in a browser without a GPU; prints one JSON object.

    python benchmarks/report_page.py [--short]

Pages are made up: a set of 100,000 samples with 5,000 pictures of noise (which pack worst), and one of 1,000,000
without. Each is opened from the disk in a headless Chromium that draws in software (SwiftShader), with the network
off, and its map is moved for 100 frames. A frame's time is that between two pictures that the browser says it shows.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
SIZES = ((100_000, 5_000), (1_000_000, 0))
SHORT_SIZES = ((10_000, 500),)
FRAMES = 100
FILTERS = 10
VIEWPORT = {"width": 1400, "height": 900}
PANNED = """async (frames) => {
  const stage = document.querySelector(".stage");
  const box = stage.getBoundingClientRect();
  const at = (kind, x, y) => stage.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, bubbles: true, button: 0, clientX: box.left + x, clientY: box.top + y }));
  stage.setPointerCapture = () => {};
  const next = () => new Promise(requestAnimationFrame);
  at("pointerdown", 300, 300);
  let last = await next();
  const waits = [];
  for (let frame = 0; frame < frames; frame += 1) {
    at("pointermove", 300 + 120 * Math.sin(frame / 8), 300 + 80 * Math.cos(frame / 8));
    const now = await next();
    waits.push(now - last);
    last = now;
  }
  at("pointerup", 300, 300);
  return waits;
}"""
DRAWN = """() => {
  // Reading a pixel waits until all is drawn, by a graphics process too.
  const canvas = document.querySelector(".stage canvas");
  const gl = canvas.getContext("webgl2");
  if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  else canvas.getContext("2d").getImageData(0, 0, 1, 1);
}"""
WHOLE = """async () => {
  // A whole picture, which is drawn when the map has been at rest for a moment.
  const stage = document.querySelector(".stage");
  stage.dispatchEvent(new KeyboardEvent("keydown", { key: "0", bubbles: true }));
  await new Promise(done => setTimeout(done, 1000));
  const start = performance.now();
  document.querySelector(".map-view input[type=range]").dispatchEvent(new Event("input"));
  await new Promise(requestAnimationFrame);
  await new Promise(done => setTimeout(done));
  const canvas = stage.querySelector("canvas");
  const gl = canvas.getContext("webgl2");
  if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return performance.now() - start;
}"""
FILTERED = """async (times) => {
  const entry = document.querySelector(".legend .entry");
  for (let i = 0; i < times; i += 1) {
    document.querySelectorAll(".legend .entry")[i % 2].click();
    await new Promise(requestAnimationFrame);
  }
  return performance.getEntriesByName("headstart:filtered").map((entry) => entry.duration);
}"""


def main(words: list[str]) -> None:
    """Measure, and print the figures."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import ARGUMENTS

    report = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="headstart-page-") as folder:
        for n, n_thumbs in SHORT_SIZES if "--short" in words else SIZES:
            file = written(Path(folder), n, n_thumbs)
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(ARGUMENTS)
            )
            report[f"{n:,} samples, {n_thumbs:,} pictures"] = measured(browser, file)
            browser.close()
            file.unlink()
    json.dump(report, sys.stdout, indent=1)
    print()


def written(folder: Path, n: int, n_thumbs: int) -> Path:
    """The page as a file."""
    from headstart.reporting.html import page_html
    from tests.browser.pages import large_page

    file = folder / f"{n}.html"
    file.write_text(page_html(large_page(n, n_thumbs)), "utf-8")
    return file


def measured(browser: Browser, file: Path) -> dict[str, Any]:
    """All figures of one page."""
    context = browser.new_context(viewport=VIEWPORT)
    context.set_offline(True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    seconds = seconds_to_first_picture(page, file)
    page.wait_for_timeout(1000)
    waits = page.evaluate(PANNED, FRAMES)
    whole = page.evaluate(WHOLE)
    filters = page.evaluate(FILTERED, FILTERS)
    context.close()
    return {
        "megabytes": round(file.stat().st_size / 1e6, 1),
        "seconds_to_first_picture": round(seconds, 2),
        "milliseconds_per_frame": {"median": middle(waits), "p95": high(waits), "most": round(max(waits), 1)},
        "milliseconds_per_whole_picture": round(whole, 1),
        "milliseconds_per_filter": {"median": middle(filters), "most": round(max(filters), 1)},
    }


def seconds_to_first_picture(page: Page, file: Path) -> float:
    """From the order to open the file until the map has been drawn, by the graphics process too."""
    start = time.perf_counter()
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_load_state()
    while not page.evaluate(
        "performance.getEntriesByName('headstart:first-map').length"
    ):  # no eval: the policy
        page.wait_for_timeout(5)
    page.evaluate(DRAWN)
    return time.perf_counter() - start


def middle(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def high(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=20)[-1], 1)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    main(sys.argv[1:])
