"""A hand on a canvas: points are pixels of the original picture, found from where the browser shows the picture."""

import mimetypes

from servers import RUN, until

SETTLED = "e => e.dataset.sent === e.dataset.answered && e.dataset.busy === 'false'"


class Hand:
    """The mouse and the keyboard on the ``n``-th PromptCanvas of a page; ``size`` of its picture."""

    def __init__(self, page, size, n=0):
        self.page, self.size = page, size
        self.root = page.locator(".foir-canvas").nth(n)
        self.surface = self.root.locator("[data-foir=surface]")
        self.prompts = self.root.locator("[data-prompt]")
        self.surface.scroll_into_view_if_needed()

    def screen(self, point):
        """Where a pixel of the picture is on the page."""
        box = self.surface.locator("image").first.bounding_box()
        return box["x"] + point[0] / self.size[0] * box["width"], box["y"] + point[1] / self.size[1] * box["height"]

    def drag(self, *points, wait=True, modifiers=()):
        """Press at the first point, go over the others, release at the last; then wait for the kernel's answer."""
        mouse = self.page.mouse
        for key in modifiers:
            self.page.keyboard.down(key)
        mouse.move(*self.screen(points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.screen(point), steps=5)
        mouse.up()
        for key in modifiers:
            self.page.keyboard.up(key)
        if wait:
            self.settled()

    def handle(self, name, to):
        """Drag a handle of the selected box to a pixel of the picture."""
        box = self.surface.locator(f"[data-handle={name}] rect").bounding_box()
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.down()
        self.page.mouse.move(*self.screen(to), steps=5)
        self.page.mouse.up()
        self.settled()

    def tool(self, name):
        self.root.locator(f"[data-tool={name}]").click()

    def act(self, name):
        self.root.locator(f"[data-action={name}]").click()
        self.settled()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        self.settled()

    def settled(self):
        """Every edit is in the kernel's state and has been answered."""
        until(
            lambda: self.root.evaluate(SETTLED),
            RUN,
            lambda: f"not answered: {self.root.evaluate('e => ({...e.dataset})')}",
        )

    def upload(self, name, content):
        """Press the upload button and choose a file."""
        with self.page.expect_file_chooser() as chooser:
            self.root.locator("[data-action=upload]").click()
        chooser.value.set_files({"name": name, "mimeType": mimetypes.guess_type(name)[0], "buffer": content})
        self.settled()

    def says(self, text):
        """Wait until the line below the picture holds the text; return the line."""
        line = self.root.locator("[data-foir=message]")
        line.filter(has_text=text).wait_for()
        return line.inner_text()
