"""On a GPU: what the CPU gives, at the precision that was asked for. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headstart as hs

pytestmark = pytest.mark.gpu
TEXTS = [" ".join(["money", "transfer", "card"][: 1 + n % 3] * (1 + n % 40)) for n in range(600)]
BACKBONE = "bundled:all-minilm-l6-v2"


def features(cache: Path, **options: object) -> np.ndarray:
    return hs.extract(TEXTS, BACKBONE, cache=str(cache), quiet=True, set="texts", **options).arrays()[0]


def test_a_gpu_gives_what_the_cpu_gives(tmp_path: Path) -> None:
    on_cpu = features(tmp_path / "cpu", device="cpu", precision="fp32")
    on_gpu = features(tmp_path / "gpu", device="cuda", precision="fp32")
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4 * np.abs(on_cpu).max())


def test_sixteen_bits_stay_close(tmp_path: Path) -> None:
    on_cpu = features(tmp_path / "cpu", device="cpu", precision="fp32")
    on_gpu = features(tmp_path / "gpu", device="cuda", precision="bf16")
    cosine = (on_cpu * on_gpu).sum(1) / np.linalg.norm(on_cpu, axis=1) / np.linalg.norm(on_gpu, axis=1)
    assert cosine.min() > 0.99


def test_a_vector_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    one, many = (
        features(tmp_path / str(size), device="cuda", precision="fp32", batch_size=size) for size in (1, 64)
    )
    np.testing.assert_allclose(one, many, atol=1e-4 * np.abs(one).max())


def test_texts_are_packed_in_sixteen_bits(tmp_path: Path) -> None:
    options = {"device": "cuda", "precision": "bf16", "cache": str(tmp_path), "quiet": True, "set": "texts"}
    found = hs.extract(TEXTS, BACKBONE, **options)
    [measured] = {entry["timings"]["forward_as"] for entry in found.info["measured"].values()}
    assert measured in ("packed", "inductor")


def test_texts_that_are_compiled_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padded texts in fp32, of which one graph serves all shapes; kept or not, the features are the same."""
    from headstart.extraction import extractor, runtime

    eager = features(tmp_path / "eager", device="cuda", precision="fp32")
    monkeypatch.setattr(extractor, "MEASURE_AFTER", 1e-9)
    monkeypatch.setattr(runtime, "ASSUMED_GAIN", 1e9)
    monkeypatch.setattr(runtime, "GAIN", 0.0)
    found = features(tmp_path / "compiled", device="cuda", precision="fp32", batch_size=32)
    np.testing.assert_allclose(found, eager, atol=1e-4 * np.abs(eager).max())
