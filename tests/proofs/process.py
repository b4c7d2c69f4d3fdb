"""The real web server or worker of an installation whose store is a sandbox: `python -m tests.proofs.process web`.

PROOF_SOCKET is a socket that listens already, handed over as systemd does it.
"""

import os
import sys

from plugin.app import config_from
from plugin.serving import serve, work
from tests.shared import ROOT

if __name__ == "__main__":
    if "PROOF_SOCKET" in os.environ:
        os.dup2(int(os.environ["PROOF_SOCKET"]), 3)
        os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    config = config_from(os.environ)
    if sys.argv[1] == "web":
        serve(ROOT, config, sys.argv[2], 2, None)
    else:
        work(ROOT, config, None)
