// One result enlarged: it follows the mouse and the keys on the lists of its explorer, and hands out files.
const SVG = ["http:", "", "www.w3.org", "2000", "svg"].join("/"); // a name, nothing is fetched
const SCOPE = ".foir-explorer", LISTS = ".foir-inspected", TYPED = "input, select, textarea, [contenteditable=true]";
const PATIENCE = 60; // milliseconds that the mouse rests on a result before it is enlarged

function make(parent, tag, name, attributes = {}) {
  const element = parent.appendChild(document.createElement(tag));
  element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function drawn(parent, tag, about) {
  const element = parent.appendChild(document.createElementNS(SVG, tag));
  Object.entries(about).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
}

// Boxes of the objects with the numbers of their labels, dots of local features, and the outline that was found; numbers and text alone.
function draw(svg, { size, boxes, dots, outline }) {
  svg.replaceChildren();
  if (!size.length) return;
  const unit = Math.max(...size) / 100;
  svg.setAttribute("viewBox", `0 0 ${size.map(Number).join(" ")}`);
  for (const { at, kind } of boxes) {
    const [x, y, x1, y1] = at.map(Number);
    for (const name of ["rim", "line"]) drawn(svg, "rect", { x, y, width: x1 - x, height: y1 - y, class: `box ${name}`, "data-kind": kind });
  }
  for (const { at, radius, colour, weight } of dots) {
    drawn(svg, "circle", { cx: Number(at[0]), cy: Number(at[1]), r: Number(radius), stroke: colour, "stroke-opacity": 0.25 + 0.75 * Number(weight) });
  }
  if (outline?.paths.length) {
    const pairs = (path) => path.map((at, i) => `${i ? (i % 2 ? "," : " ") : ""}${Number(at)}`).join("");
    const d = outline.paths.map((path) => `M${pairs(path)}Z`).join("");
    const group = drawn(svg, "g", { class: "outline", "data-kind": outline.kind });
    for (const name of ["rim", "line"]) drawn(group, "path", { class: name, d });
  }
  for (const { at, label, kind } of boxes.filter((box) => box.label)) {
    const [x, y] = at.map(Number);
    const text = drawn(svg, "text", { x: x + unit, y: y + 8 * unit, "font-size": 8 * unit, "data-kind": kind });
    text.textContent = label;
  }
}

function download(name, kind, bytes) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([bytes], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export default {
  render({ model, el }) {
    el.classList.add("foir-inspector");
    const img = make(make(el, "div", "big"), "img", "", { alt: "" });
    const svg = drawn(img.parentElement, "svg", { "aria-hidden": "true" });
    const about = make(el, "div", "about");
    const words = make(about, "div", "words", { role: "status", "aria-live": "polite" });
    const tools = make(about, "div", "tools", { role: "toolbar", "aria-label": "What to do with the result and its lists" });
    const quiet = { "data-lm-suppress-shortcuts": "true" }; // or JupyterLab's keys would work here
    const button = (name, label, title) => Object.assign(make(tools, "button", "", { type: "button", "data-do": name, title, ...quiet }), { textContent: label });
    const ask = button("ask", "ask with this", "Make this result the query (Enter or a click on it)");
    const keep = button("keep", "keep", "Keep this result enlarged, wherever the mouse goes (Space)");
    const copy = button("code", "copy code", "Copy the line of code that gives these lists");
    button("png", "PNG", "Download the query with its mark and all lists as a picture");
    button("json", "JSON", "Download the query, methods, ids and scores as JSON");
    const line = make(about, "code", "line", { tabindex: "0", hidden: "", ...quiet });
    let timer = 0;

    const lists = () => [...(el.closest(SCOPE)?.querySelectorAll(`${LISTS} [data-row]`) ?? [])].filter((row) => row.querySelector("[data-item]"));
    const mine = (target) => target.closest?.(`${LISTS} [data-item]`) && el.closest(SCOPE)?.contains(target) ? target.closest("[data-item]") : null;
    const of = (item) => ({ look: JSON.parse(item.dataset.key), row: Number(item.closest("[data-row]").dataset.row) });

    function mark() {
      const [key, row] = [JSON.stringify(model.get("record").key), model.get("record").row];
      for (const section of lists()) {
        section.querySelectorAll("[data-item]").forEach((item) => item.toggleAttribute("data-looked", item.dataset.key === key && Number(section.dataset.row) === row));
      }
    }
    function write() {
      const { image, lines, alt, title } = model.get("record");
      const old = img.src;
      img.src = image.byteLength ? URL.createObjectURL(new Blob([image])) : "";
      img.hidden = !image.byteLength;
      if (old) URL.revokeObjectURL(old);
      img.alt = alt;
      draw(svg, model.get("record"));
      words.replaceChildren();
      make(words, "strong", "").textContent = title;
      for (const [term, text, kind] of lines) {
        const one = make(words, "p", "", { "data-kind": kind });
        if (term) make(one, "span", "term").textContent = `${term}: `;
        one.append(text);
      }
      ask.disabled = keep.disabled = !image.byteLength;
      mark();
    }
    function pin() {
      keep.setAttribute("aria-pressed", String(model.get("pinned")));
      el.toggleAttribute("data-pinned", model.get("pinned"));
    }
    function code() {
      line.textContent = model.get("code");
      copy.disabled = !line.textContent;
      line.hidden = true;
      copy.textContent = "copy code";
    }
    function copied() { // the line is shown too: where the clipboard is refused it can be marked by hand
      line.hidden = false;
      copy.textContent = "copied";
      const select = () => { getSelection().selectAllChildren(line); copy.textContent = document.execCommand("copy") ? "copied" : "marked below"; };
      navigator.clipboard ? navigator.clipboard.writeText(line.textContent).catch(select) : select();
    }
    const look = (item, pinned) => {
      clearTimeout(timer);
      model.send({ ...of(item), ...(pinned !== undefined && { pinned }) });
    };

    function over(event) {
      const item = mine(event.target);
      clearTimeout(timer);
      if (item && !model.get("pinned")) timer = setTimeout(() => look(item), PATIENCE);
    }
    function focus(event) {
      const tab = event.target.closest?.(".foir-tabs button");
      if (tab) tab.dataset.lmSuppressShortcuts = "true"; // there JupyterLab's keys would work too
      const item = mine(event.target);
      if (item?.matches(":focus-visible") && !model.get("pinned")) look(item);
    }
    function key(event) {
      const root = el.closest(".foir-page") ?? el.closest(SCOPE);
      if (!root?.contains(event.target) || event.ctrlKey || event.metaKey || event.altKey || event.target.matches(TYPED)) return;
      const item = mine(event.target);
      if (!event.target.dataset.lmSuppressShortcuts) return;
      if (event.key === " " && item) {
        event.preventDefault(); // a button would be pressed
        if (event.type === "keydown" && !event.repeat) look(item, !(model.get("pinned") && item.hasAttribute("data-looked")));
      } else if (event.type === "keydown" && /^[1-9]$/.test(event.key) && el.offsetParent) {
        const row = item?.closest("[data-row]") ?? lists().find((one) => one.querySelector("[data-looked]")) ?? lists().at(-1);
        const wanted = row?.querySelectorAll("[data-item]")[event.key - 1];
        if (!wanted) return;
        event.preventDefault();
        look(wanted);
        wanted.scrollIntoView({ block: "nearest", inline: "nearest" });
        if (item) wanted.focus();
      } else if (event.type === "keydown" && event.key === "Escape" && model.get("pinned") && (item || el.contains(event.target))) {
        model.send({ pinned: false });
      }
    }
    function file(message, buffers) {
      if (message.file) download(message.file, message.kind, buffers[0]);
      if (message.reveal) setTimeout(() => el.scrollIntoView({ block: "nearest", behavior: "smooth" }), 100); // once it is laid out
    }

    tools.addEventListener("click", (event) => {
      const name = event.target.dataset.do;
      if (name === "code") copied();
      else if (name === "keep") model.send({ pinned: !model.get("pinned") });
      else if (name) model.send({ do: name });
    });
    const heard = { pointerover: over, focusin: focus, keydown: key, keyup: key };
    for (const [name, listener] of Object.entries(heard)) document.addEventListener(name, listener);
    const changes = { "change:record": write, "change:pinned": pin, "change:code": code, "msg:custom": file };
    for (const [name, listener] of Object.entries(changes)) model.on(name, listener);
    write(), pin(), code();
    return () => {
      for (const [name, listener] of Object.entries(heard)) document.removeEventListener(name, listener);
      for (const [name, listener] of Object.entries(changes)) model.off(name, listener);
      clearTimeout(timer);
      if (img.src) URL.revokeObjectURL(img.src);
    };
  },
};
