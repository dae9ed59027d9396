"""What steps import, imported once a run in the server that their processes are forked from.

Feast and Great Expectations take seconds to import each; a step that starts from here pays neither.
"""

import os

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("FEAST_USAGE", "False")
