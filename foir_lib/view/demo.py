"""The demo: one notebook as a clean page, served by Voila on this computer alone, behind a token.

``python -m foir_lib.view.demo [NOTEBOOK or FOLDER] [Voila's options]``; without a notebook 02_demo.ipynb.
"""

import webbrowser

from traitlets.config import Config
from voila.app import Voila

from foir_lib.bench.stamp import notebooks_root

BATCH = "batch"  # cells for batch runs, which have no mouse: the page leaves them out
LOCAL = (  # whatever a template asks for, nothing is fetched from elsewhere
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws://127.0.0.1:* ws://localhost:*; frame-ancestors 'self'"
)


SETTINGS = Config(
    {
        "Voila": {
            "ip": "127.0.0.1",
            "auto_token": True,
            "tornado_settings": {"headers": {"Content-Security-Policy": LOCAL}},
        },
        "VoilaConfiguration": {"strip_sources": True},
        "TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": [BATCH]},
    }
)


class Demo(Voila):
    """Voila on 127.0.0.1 with a new token at each start; a cell's outputs are shown as soon as it has run."""

    def initialize(self, argv=None):
        super().initialize(argv)
        if not self.extra_args:
            self.notebook_path = str(notebooks_root() / "02_demo.ipynb")

    def launch_browser(self):
        """Voila opens its page without the token; here the address that holds it."""
        webbrowser.open(f"{self.connection_url}?token={self.identity_provider.token}")


if __name__ == "__main__":
    Demo.launch_instance(config=SETTINGS)
