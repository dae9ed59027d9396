import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))

from local_servers import *  # noqa: F403 - fixtures
