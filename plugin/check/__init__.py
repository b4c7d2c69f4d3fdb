"""Checks a bundle before anything runs: every mistake at once, each with its file, line, column and cure."""

from collections.abc import Sequence
from pathlib import Path

from plugin.check.bundle import Bundle
from plugin.findings import Finding, in_order


def check_bundle(root: Path, only: Sequence[Path] | None = None) -> list[Finding]:
    """All findings of the bundle in a folder, sorted; with `only`, those of these files.

    The whole bundle is always read, since files refer to each other. Never raises, whatever the files hold.
    """
    bundle = Bundle(root, [])
    bundle.check()
    if only is None:
        return in_order(bundle.findings)
    wanted = {(root / path).resolve() for path in only}
    return in_order(one for one in bundle.findings if (root / one.path).resolve() in wanted)
