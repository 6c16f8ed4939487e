"""The demo: a notebook as a page without code, served by Voila on this computer alone, behind a token.

``python -m foir_lib.view.demo [NOTEBOOK or FOLDER] [Voila's options]``; without one, 02_demo.ipynb, and what it needs
is made first, with progress bars.
"""

import webbrowser

from traitlets.config import Config
from voila.app import Voila

from foir_lib.files import notebooks_root

BATCH = "batch"  # cells for batch runs, which have no mouse: the page leaves them out
LOCAL = (  # whatever a template asks for, nothing is fetched from elsewhere
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws://127.0.0.1:* ws://localhost:*; frame-ancestors 'self'"
)
SETTINGS = Config(
    Voila={"ip": "127.0.0.1", "auto_token": True, "tornado_settings": {"headers": {"Content-Security-Policy": LOCAL}}},
    VoilaConfiguration={"strip_sources": True},
    TagRemovePreprocessor={"enabled": True, "remove_cell_tags": [BATCH]},
)


class Demo(Voila):
    """Voila on 127.0.0.1, with a new token at each start."""

    def initialize(self, argv=None):
        super().initialize(argv)
        if not self.extra_args:
            self.notebook_path = str(notebooks_root() / "02_demo.ipynb")
            prepare(self.notebook_path)

    def launch_browser(self):
        """Voila opens its page without the token; here the address that holds it."""
        webbrowser.open(f"{self.connection_url}?token={self.identity_provider.token}")


def prepare(notebook: str) -> None:
    """Draw the pictures and look at each of them once, as the notebook's parameters say; what is there is kept."""
    from foir_lib.bench.experiment import Experiment
    from foir_lib.bench.runs import parameters
    from foir_lib.data import load_set
    from foir_lib.models.zoo import load_model

    p = {name: parameter.default for name, parameter in parameters.read(notebook).items()}
    pictures = load_set(p["dataset"], root=p["data_root"] or None, seed=p["seed"])
    model = load_model(p["model"], weights=p["weights"] or None, device=p["device"])
    Experiment(pictures, model, seed=p["seed"]).score("PHS")


if __name__ == "__main__":
    Demo.launch_instance(config=SETTINGS)
