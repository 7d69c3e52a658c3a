"""`csor load` of Synthea transactions into an empty store, end to end, against decoding the same files alone. Needs CSOR_DATA."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.fhir.files import read_resources
from bench.report import Report

TARGET = 1500  # resources a second
FILES = int(os.environ.get("BENCH_FILES", "30"))


def run(report: Report) -> None:
    """A sample of the files (BENCH_FILES, 0 for all); says nothing where the data is absent."""
    data = Path(os.environ.get("CSOR_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data")) / "synthea-120"
    if not data.is_dir():
        report.line("csor load", "no Synthea data: set CSOR_DATA")
        return
    files = sorted(data.glob("*.json*"))[: FILES or None]
    start = time.perf_counter()
    entries = sum(len(item.decode().get("entry", ())) for item in read_resources(files))
    decoding = entries / (time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as store:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", "load", *map(str, files), "--data", store, "--quiet"],
            capture_output=True,
            text=True,
            check=True,
        )
    rate = float(re.search(r"\(([\d,]+)/s\)", done.stdout)[1].replace(",", ""))  # type: ignore[index]
    report.line(f"csor load, {entries} resources", f"{rate:,.0f} /s", f"wanted: {TARGET:,} /s", rate / TARGET, 1.0)
    report.rate("the same", rate, "unpack and decode alone", decoding)
