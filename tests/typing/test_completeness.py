"""Every public name of the package has a type that all type checkers read alike."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from .checkers import pyright_command
from .test_inference import ROOT


def test_every_public_name_has_a_type(tmp_path: Path) -> None:
    # from an empty folder: pyright takes a package on the path of Python for an installed one
    done = subprocess.run(
        [*pyright_command(), "--verifytypes", "natsrpc", "--ignoreexternal"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    assert found["packageRootDirectory"] == str(ROOT / "natsrpc")
    unclear = [
        f"{symbol['name']}: {each['message']}"
        for symbol in found["symbols"]
        for each in symbol["diagnostics"]
        if symbol["isExported"] and (symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"])
    ]
    assert (unclear, found["completenessScore"]) == ([], 1)
