"""The real web server or worker of an installation whose store is a sandbox: `python -m tests.proofs.process web`."""

import os
import sys

from plugin.app import config_from
from plugin.serving import serve, work
from tests.shared import ROOT

if __name__ == "__main__":
    config = config_from(os.environ)
    if sys.argv[1] == "web":
        serve(ROOT, config, sys.argv[2], 2, None)
    else:
        work(ROOT, config)
