"""The notebook runs as it stands, in a kernel of its own; see also orchestration/test_atlas_job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

QUICKSTART = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"


def cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of code of a notebook."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source_of(notebook: Path) -> list[str]:
    """What each cell of code of a notebook says."""
    return ["".join(cell["source"]) for cell in cells(json.loads(notebook.read_text("utf-8")))]


def results(notebook: dict[str, Any]) -> list[str]:
    """The value that each cell of code ends with, as text."""
    return [
        "".join(output["data"]["text/plain"])
        for cell in cells(notebook)
        for output in cell["outputs"]
        if output["output_type"] == "execute_result"
    ]


@pytest.mark.slow
def test_a_kernel_finds_what_the_notebook_shows(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient, nbformat and ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient, nbformat and ipykernel")
    notebook = nbformat.read(QUICKSTART, as_version=4)
    shown = results(notebook)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=place).execute()
    assert results(notebook) == shown
    assert len(shown) == 7
    bars = [
        output["text"] for cell in cells(notebook) for output in cell["outputs"] if "text" in output
    ]
    assert any("building the atlas: 100%" in text for text in bars)
