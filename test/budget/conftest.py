import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from servers import home, make_server, server, template  # noqa: E402,F401
