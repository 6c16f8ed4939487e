"""The demo: a notebook as a page without code, served by Voila on this computer alone, behind a token.

``python -m foir_lib.view.demo [NOTEBOOK or FOLDER] [Voila's options]``; without one, 02_demo.ipynb, and what it needs
is made first, with progress bars.
"""

import shutil
import tempfile
import webbrowser
from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from traitlets.config import Config
from voila.app import Voila

from foir_lib.bench.runs.kernel import OffPath
from foir_lib.files import notebooks_root

COPY = "foir-demo-"  # how folders begin that hold a filled-in copy of a notebook for one page
BATCH = "batch"  # cells for batch runs, which have no mouse: the page leaves them out
LOCAL = (  # whatever a template asks for, nothing is fetched from elsewhere
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws://127.0.0.1:* ws://localhost:*; frame-ancestors 'self'"
)
ALONE = {"allow_remote_access": False, "allow_unauthenticated_access": False}  # jupyter_server asks for host and token
SETTINGS = Config(
    Voila={"ip": "127.0.0.1", "auto_token": True, "tornado_settings": {"headers": {"Content-Security-Policy": LOCAL}} | ALONE},
    VoilaConfiguration={"strip_sources": True, "file_allowlist": [], "allow_template_override": "NO"},  # no file beside the notebook is anybody's
    MultiKernelManager={"kernel_manager_class": "foir_lib.view.demo.PageManager"},
    TagRemovePreprocessor={"enabled": True, "remove_cell_tags": [BATCH]},
)


class PageManager(OffPath, ServerKernelManager):
    """Of the kernel behind a page."""


class Demo(Voila):
    """Voila on 127.0.0.1, with a new token at each start, without which, or by another name of the host, nothing is served."""

    def initialize(self, argv=None):
        super().initialize(argv)
        if not self.extra_args:
            self.notebook_path = str(notebooks_root() / "02_demo.ipynb")
            prepare(self.notebook_path)

    def start(self):
        try:
            super().start()
        finally:
            folder = Path(self.notebook_path or "").parent
            if folder.name.startswith(COPY) and folder.parent == Path(tempfile.gettempdir()):
                shutil.rmtree(folder, ignore_errors=True)

    def setup_template_dirs(self):
        super().setup_template_dirs()
        self.template_paths.insert(0, str(Path(__file__).with_name("template")))

    def init_handlers(self):
        """Voila's own, each of which asks who comes: those of files wouldn't. Without a token one can log in, no more."""
        doors = {handler for _, handler, *_ in self.identity_provider.get_handlers()}
        handlers = super().init_handlers()
        return [(path, handler if handler in doors else _asking(handler), *options) for path, handler, *options in handlers]

    def launch_browser(self):
        """Voila opens its page without the token; here the address that holds it."""
        webbrowser.open(f"{self.connection_url}?token={self.identity_provider.token}")


def _asking(handler: type) -> type:
    """A kind of request handler that answers to the token, and to names of this computer, alone."""

    class Asking(*((handler,) if issubclass(handler, JupyterHandler) else (JupyterHandler, handler))):
        async def prepare(self, *arguments, **options):
            await super().prepare(*arguments, **options)
            if self.current_user is None and not self._finished:  # finished: sent to log in
                self.send_error(403)

    return Asking


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
