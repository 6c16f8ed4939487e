"""SentenceLine: one line to speak with, in the browser."""

from collections.abc import Callable

import traitlets

from foir_lib.view.widgets.live import Drawn, static


class SentenceLine(Drawn):
    """Enter says what was typed, arrows bring back what was said before; the line waits for the answer, then has the focus again.

    A sentence is said by Enter alone: one that was begun stays while a thing is marked.
    """

    _esm, _css = static("sentence.js"), static("sentence.css")
    placeholder = traitlets.Unicode().tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)  # calls of ready

    def on_say(self, callback: Callable) -> None:
        """Call ``callback(text)`` for each sentence."""
        self._callbacks.register_callback(callback)

    def ready(self) -> None:
        """The next sentence can be typed: the line takes the focus."""
        self.answered += 1

    def receive(self, content: dict, buffers=()) -> None:
        """What the browser sends, ``{"say": text}``; anything else is left alone."""
        if isinstance(text := content.get("say"), str) and text.strip():
            errors = self._callbacks(text)
            self.ready()
            if errors:
                raise errors[0]
