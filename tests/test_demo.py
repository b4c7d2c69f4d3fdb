"""The demo as a newcomer starts it: from the checkout, and from a wheel in an empty environment."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.shared import ROOT, folder

URL = re.compile(r"Open (http://127\.0\.0\.1:(\d+))")


@contextmanager
def demo(python: str | Path, cwd: Path, *args: str) -> Iterator[tuple[str, list[str]]]:
    """A running demo: its address, and the lines it printed until then."""
    process = subprocess.Popen(
        [python, "-m", "plugin", "demo", "--no-open", *args], cwd=cwd, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if found := URL.search(line):
                yield found[1], lines
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)[0]
        assert process.returncode == 0, rest


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_the_demo_answers_and_ends_cleanly(tmp_path: Path) -> None:
    with demo(sys.executable, tmp_path, "--port", "0") as (url, _):
        port = int(url.rsplit(":", 1)[1])
        assert "Sandbox desk" in get(url)
        assert "card.js" in get(f"http://127.0.0.1:{port + 1}/card")
    for one in range(port, port + 3):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", one))


def test_a_taken_port_is_told_with_its_cure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        stopped = subprocess.run(
            [sys.executable, "-m", "plugin", "demo", "--no-open", "--port", str(port)], cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert stopped.returncode == 3
    assert f"Port {port} is taken" in stopped.stderr
    assert "PORT=" in stopped.stderr


def test_real_payloads_are_loaded_and_what_was_made_up_is_said(tmp_path: Path) -> None:
    orders = sorted(folder("ORDERS_DIR", "orders").glob("order-5492763623680.json"))
    if not orders:
        pytest.skip("1 payload not here")
    with demo(sys.executable, tmp_path, "--port", "0", "--load", str(orders[0])) as (url, lines):
        port = int(url.rsplit(":", 1)[1])
        assert any(line.startswith("order-5492763623680.json: ") for line in lines)
        rows = json.loads(get(f"http://127.0.0.1:{port + 2}/_sandbox/ledger"))
        assert any(str(row["id"]) == "5492763623680" for row in rows)


def test_a_payload_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    wrong = {"id": 1, "name": "#1", "currency": "USD", "total_price": "5.00", "line_items": []}
    path.write_text(json.dumps(wrong), encoding="utf-8")
    stopped = subprocess.run(
        [sys.executable, "-m", "plugin", "demo", "--no-open", "--port", "0", "--load", str(path)], cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (stopped.returncode, "wrong.json cannot be loaded" in stopped.stderr) == (3, True), stopped.stderr


def test_the_wheel_runs_in_an_empty_environment_in_another_folder(tmp_path: Path) -> None:
    """Built, installed with its dependencies, started where no checkout is near."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path / "dist"), str(ROOT)], check=True, timeout=240)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True, timeout=120)
    python = tmp_path / "empty" / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--no-compile", str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = subprocess.run(
        [python, "-c", "import plugin; print(plugin.__file__)"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(tmp_path) in where
    with demo(python, elsewhere, "--port", "0") as (url, _):
        assert "Sandbox desk" in get(url)
        port = int(url.rsplit(":", 1)[1])
        assert "order-actions" in get(f"http://127.0.0.1:{port + 1}/static/card.js")
