from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture
def write_images(tmp_path: Path) -> Write:
    """Write 12x12 PNGs below a folder, each of one grey: 10, 20, 30, ..."""

    def write(*names: str) -> Path:
        for position, name in enumerate(names, start=1):
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 12), (10 * position,) * 3).save(path)
        return tmp_path / "images"

    return write
