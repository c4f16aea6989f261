"""The viewer alone, in a browser without a graphics card: large volumes are drawn by halves."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from isal import igzip
from served_app import MARKS, SLOWEST, browser

from lightning_brats.app.drawing import Drawn, specify
from lightning_brats.app.layers import Crop, image_layers, mask_layers
from lightning_brats.app.viewer import static_folder
from lightning_brats.data.case import Volume

pytestmark = MARKS
SHAPE = (121, 120, 110)
"""Above what is drawn whole: 1.6 million voxels."""
AFFINE = np.array([[1.0, 0, 0, -60], [0, 1, 0, -70], [0, 0, 1.5, -40], [0, 0, 0, 1]])
PARENT = """<!doctype html><iframe src="viewer/index.html" width="1200" height="900"></iframe>
<script>
addEventListener("message", async ({ data, source }) => {
  if (data.type !== "streamlit:componentReady") return;
  const { spec, keys } = await (await fetch("spec.json")).json();
  const args = { spec };
  for (const key of keys) {
    args[key] = new Uint8Array(await (await fetch(`data/${key}`)).arrayBuffer());
  }
  source.postMessage({ type: "streamlit:render", args }, "*");
});
</script>"""
HALVED = """async (packed) => {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const [head, voxels] = everySecond(bytes.buffer);
  const floats = (offset, count) => [...new Float32Array(head.slice(offset, offset + 4 * count))];
  const [spacing, affine] = [floats(80, 3), floats(280, 12)];
  return { shape: sizeOf(head), voxels: [...voxels], spacing, affine };
}"""


def drawn() -> Drawn:
    rng = np.random.default_rng(0)
    image = rng.uniform(100, 900, (1, *SHAPE)).astype(np.float32)
    brain = np.ones(SHAPE, bool)
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:70, 40:70, 40:70] = 2
    labels[50:60, 50:60, 50:60] = 3
    volume = Volume(image, AFFINE, labels, brain)
    crop = Crop.around(brain, AFFINE)
    masks = mask_layers("a", {"segmentation": labels}, {}, ["WT", "ET"], crop)
    return Drawn(image_layers(volume, ["t1c"], crop), masks, (-5.0, -15.0, 42.5))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = tmp_path_factory.mktemp("site")
    static_folder(site)
    found = drawn()
    data = {**found.images.data, **found.masks.data}
    (site / "data").mkdir()
    for key, content in data.items():
        (site / "data" / key).write_bytes(content)
    spec = specify("large", {"a": found}, ("WT", "ET"))
    (site / "spec.json").write_text(json.dumps({"spec": spec, "keys": list(data)}))
    (site / "index.html").write_text(PARENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


@pytest.fixture(scope="module")
def frame(address: str, browser: Any) -> Any:
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(address)
    page.frame_locator("iframe").locator("body[data-ready]").wait_for(timeout=SLOWEST)
    return next(each for each in page.frames if "viewer" in each.url)


def test_every_second_voxel_stays_where_it_was(frame: Any) -> None:
    values = np.random.default_rng(1).integers(-900, 900, (7, 6, 5)).astype(np.int16)
    image = nib.Nifti1Image(values, AFFINE)
    found = frame.evaluate(HALVED, base64.b64encode(image.to_bytes()).decode())
    assert found["shape"] == [4, 3, 3]
    wanted = values[::2, ::2, ::2]
    assert np.array_equal(np.reshape(found["voxels"], (4, 3, 3), order="F"), wanted)
    assert found["spacing"] == [2, 2, 3]
    assert np.allclose(found["affine"], (AFFINE @ np.diag([2, 2, 2, 1]))[:3].ravel())


def test_a_large_volume_is_halved_and_shown_whole_when_asked(frame: Any) -> None:
    sizes = "() => state.panels[0].nv.volumes.map((volume) => volume.hdr.dims.slice(1, 4))"
    half = [-(-size // 2) for size in SHAPE]
    assert frame.evaluate(sizes) == [half, half]
    notice = frame.locator("#coarse")
    assert "every second voxel" in notice.inner_text()
    assert "segmentation: ET" in frame.locator("#place").inner_text()
    frame.evaluate("() => { delete document.body.dataset.ready; }")
    frame.locator("#everything").click()
    frame.locator("body[data-ready]").wait_for(timeout=SLOWEST)
    assert frame.evaluate(sizes) == [list(SHAPE), list(SHAPE)]
    assert not notice.is_visible()
    assert "segmentation: ET" in frame.locator("#place").inner_text()


def test_layers_are_gzipped_so_that_the_browser_can_read_them() -> None:
    for key, content in drawn().images.data.items():
        if key.startswith("image_"):
            assert igzip.decompress(content)[344:347] == b"n+1", key
