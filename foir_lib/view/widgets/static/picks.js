// A query and pictures of which some are picked; the time from their first paint to the button is measured here.
function make(parent, tag, name, attributes = {}) {
  const element = document.createElement(tag);
  element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

function painted() { // the frame after the one that is being drawn
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}

export default {
  render({ model, el }) {
    const root = make(el, "div", "foir-picks", { "data-foir": "picks", "data-lm-suppress-shortcuts": "true" });
    const query = make(root, "img", "query", { draggable: "false" });
    const grid = make(root, "div", "grid", { role: "group" });
    const button = make(root, "button", "submit", { type: "button", "data-action": "submit" });
    const urls = [];
    let started = null, picked = new Set(), showing = 0;

    function source(img, bytes) {
      img.src = URL.createObjectURL(new Blob([bytes]));
      urls.push(img.src);
      return img.decode().catch(() => {});
    }

    function count() {
      const n = model.get("n");
      button.disabled = started === null || picked.size !== n;
      button.textContent = picked.size === n ? "These are it" : `Pick ${n}: ${picked.size} picked`;
    }

    function toggle(item, at) {
      if (picked.has(at)) picked.delete(at);
      else if (picked.size < model.get("n")) picked.add(at);
      item.setAttribute("aria-pressed", String(picked.has(at)));
      count();
    }

    async function show() {
      const images = model.get("images"), mine = ++showing;
      urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
      grid.replaceChildren();
      started = null;
      picked = new Set();
      root.hidden = images.length === 0;
      root.dataset.painted = "false";
      if (root.hidden) return;
      query.alt = "What is looked for";
      const waiting = [source(query, model.get("query"))];
      images.forEach((bytes, at) => {
        const item = make(grid, "button", "item", { type: "button", "aria-pressed": "false", "data-item": at });
        waiting.push(source(make(item, "img", "", { alt: `Picture ${at + 1}`, draggable: "false" }), bytes));
        make(item, "span", "glyph").textContent = "\u2605";
        item.addEventListener("click", () => toggle(item, at));
      });
      count();
      await Promise.all(waiting);
      await painted();
      if (mine !== showing) return;
      started = performance.now();
      root.dataset.painted = "true";
      count();
    }

    button.addEventListener("click", () => {
      const seconds = (performance.now() - started) / 1000;
      button.disabled = true;
      model.send({ picks: [...picked].sort((a, b) => a - b), seconds });
    });
    model.on("change:shown", show);
    show();
    return () => urls.forEach((url) => URL.revokeObjectURL(url));
  },
};
