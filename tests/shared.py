"""Where the samples of ../shared lie; tests on them are skipped, counted and named, where they do not."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def folder(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable, ROOT.parent / "shared" / name))


def vectors(name: str) -> Any:
    """One file of vectors. Skips the test, by name, where the folder is missing."""
    path = folder("VECTORS_DIR", "vectors") / name
    if not path.is_file():
        pytest.skip(f"1 file of vectors not here: {path}")
    return json.loads(path.read_text(encoding="utf-8"))
