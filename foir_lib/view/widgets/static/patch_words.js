// A picture whose patches say words: hover or arrows show them, a click or Enter keeps a patch, Escape lets it go.
function make(parent, tag, name, attributes = {}) {
  const element = document.createElement(tag);
  element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export default {
  render({ model, el }) {
    const root = make(el, "div", "foir-patch-words", { "data-foir": "patch-words", "data-lm-suppress-shortcuts": "true" });
    const label = "Patches and the words that they say: arrows move, Enter keeps a patch, Escape lets it go";
    const stage = make(root, "div", "stage", { tabindex: "0", role: "application", "aria-label": label });
    const picture = make(stage, "img", "", { alt: "picture", draggable: "false" });
    const mark = make(stage, "div", "at");
    const said = make(root, "div", "said", { "aria-live": "polite" });
    let url = null, over = -1;

    function show() {
      const [rows, columns] = model.get("grid"), kept = model.get("at"), at = over >= 0 ? over : kept;
      mark.hidden = at < 0;
      said.replaceChildren();
      root.dataset.at = String(at);
      if (at < 0) {
        said.textContent = "Point at a patch to read the words that it says.";
        return;
      }
      const row = Math.floor(at / columns), column = at % columns;
      Object.assign(mark.style, {
        left: `${(100 * column) / columns}%`, top: `${(100 * row) / rows}%`, width: `${100 / columns}%`, height: `${100 / rows}%`,
      });
      mark.dataset.kept = String(at === kept);
      make(said, "div", "").textContent = `patch in row ${row + 1}, column ${column + 1}${at === kept ? ", kept" : ""}, says`;
      for (const [word, score] of model.get("words")[at]) {
        const line = make(said, "div", "row");
        make(line, "span", "word").textContent = word;
        make(line, "span", "bar").style.width = `${Math.max(0, 200 * score)}px`;
        make(line, "span", "score").textContent = score.toFixed(2);
      }
    }

    function under(event) {
      const [rows, columns] = model.get("grid"), box = stage.getBoundingClientRect();
      const column = Math.floor((columns * (event.clientX - box.left)) / box.width);
      const row = Math.floor((rows * (event.clientY - box.top)) / box.height);
      return row < 0 || column < 0 || row >= rows || column >= columns ? -1 : row * columns + column;
    }

    function keep(at) {
      over = -1;
      model.set("at", at);
      model.save_changes();
      show();
    }

    function draw() {
      if (url) URL.revokeObjectURL(url);
      picture.src = url = URL.createObjectURL(new Blob([model.get("image")]));
      show();
    }

    stage.addEventListener("pointermove", (event) => { over = under(event); show(); });
    stage.addEventListener("pointerleave", () => { over = -1; show(); });
    stage.addEventListener("click", (event) => keep(under(event)));
    stage.addEventListener("keydown", (event) => {
      const [rows, columns] = model.get("grid"), step = STEPS[event.key], at = over >= 0 ? over : model.get("at");
      if (step && at < 0) over = 0;
      else if (step) {
        const row = Math.min(Math.max(Math.floor(at / columns) + step[0], 0), rows - 1);
        over = row * columns + Math.min(Math.max((at % columns) + step[1], 0), columns - 1);
      } else if (event.key === "Enter" || event.key === " ") {
        if (at < 0) return;
        keep(at);
      } else if (event.key === "Escape") keep(-1);
      else return;
      event.preventDefault();
      show();
    });
    model.on("change:at", show);
    model.on("change:image", draw);
    model.on("change:words", show);
    draw();
    return () => URL.revokeObjectURL(url);
  },
};
