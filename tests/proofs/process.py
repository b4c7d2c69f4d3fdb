"""The real web server or worker of an installation whose store is a sandbox: `python -m tests.proofs.process web`.

PROOF_SOCKET is a socket that listens already, handed over as systemd does it. PROOF_BUNDLE is another bundle,
PROOF_LEASE the seconds after which others go on with what a process held that was killed.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

from plugin import runtime, sync
from plugin.app import config_from
from plugin.serving import serve, work
from plugin.stores import crm, runs
from tests.shared import ROOT

if __name__ == "__main__":
    if "PROOF_SOCKET" in os.environ:
        os.dup2(int(os.environ["PROOF_SOCKET"]), 3)
        os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    config, root = config_from(os.environ), Path(os.environ.get("PROOF_BUNDLE", ROOT))
    if "PROOF_LEASE" in os.environ:
        runtime.LEASE_SECONDS = sync.ABANDONED = float(os.environ["PROOF_LEASE"])
        runs.NOTE_LEASE = crm.ORDER_LEASE = 5 * timedelta(seconds=runtime.LEASE_SECONDS)
    if sys.argv[1] == "web":
        serve(root, config, sys.argv[2], 2, None)
    else:
        work(root, config, None)
