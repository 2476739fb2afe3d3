"""``python -m medianode``: the process of a node's container; ``python -m medianode run``: a node on files."""

import os
import sys

from medianode._config import ENV_NODE

if len(sys.argv) > 1:
    from medianode._localmain import main as local
    from medianode._process import leave

    leave(local())
if not os.environ.get(ENV_NODE):
    from medianode._localmain import USAGE

    sys.exit(f"medianode: {ENV_NODE} is not set, so this is no container of a node\n{USAGE}".rstrip())

from medianode._runner import main

main()
