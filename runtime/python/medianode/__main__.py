"""``python -m medianode``: the process of a node's container."""

import sys

from medianode._runner import main

sys.exit(main())
