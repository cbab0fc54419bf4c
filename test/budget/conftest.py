import os
import pathlib
import subprocess
import sys
import zoneinfo

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

# A PostgreSQL that brings its own zones may know newer ones than the system: Python reads the same
ZONES = pathlib.Path(subprocess.check_output([os.environ.get("PG_CONFIG", "pg_config"), "--sharedir"], text=True).strip(), "timezone")
if ZONES.is_dir():
    zoneinfo.reset_tzpath([ZONES])

from servers import home, make_server, server, template  # noqa: E402,F401
