// Rows of pictures. A new list is written into the elements that are there: nothing flashes, focus stays.
const GLYPHS = { right: "\u2713", wrong: "\u2717", query: "Q", chosen: "\u2605" };

function make(parent, tag, name, attributes = {}) {
  const element = document.createElement(tag);
  element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
  element.hidden = !value;
}

const MARKS = { right: "\u2713 ", wrong: "\u2717 ", unknown: "" };
const REACH = [0, 1, -1, 2, -2, 3, -3, 4, -4]; // pixels of the page around a click: an outline may be smaller than a finger
const KEYS = "Shift+Enter asks with the outline";

// The outline of one picture: a rim, the line, and below both what can be clicked. Paths hold numbers alone.
function setOutline(button, outline) {
  const svg = button.querySelector(".outline");
  const there = Boolean(outline?.paths.length);
  svg.toggleAttribute("hidden", !there);
  button.toggleAttribute("data-outlined", there);
  text(button.querySelector(".said"), outline ? (outline.words && MARKS[outline.kind] + outline.words) : "");
  const about = [button.dataset.frame, button.querySelector(".badge").textContent, outline?.alt, there && KEYS];
  button.setAttribute("aria-description", about.filter(Boolean).join(", "));
  button.title = [button.getAttribute("aria-label"), outline?.alt].filter(Boolean).join(", ");
  if (there) button.setAttribute("aria-keyshortcuts", "Shift+Enter");
  else button.removeAttribute("aria-keyshortcuts");
  if (!there) return;
  svg.setAttribute("viewBox", `0 0 ${outline.size.map(Number).join(" ")}`);
  svg.dataset.kind = outline.kind;
  const pairs = (path) => path.map((at, i) => `${i ? (i % 2 ? "," : " ") : ""}${Number(at)}`).join("");
  const d = outline.paths.map((path) => `M${pairs(path)}Z`).join("");
  for (const path of svg.children) path.setAttribute("d", d);
}

// Whether a point of the page lies within the outline on a picture, or nearly; some browsers hide what is in a button from clicks.
function onOutline(button, x, y) {
  const path = button.querySelector(".outline .line");
  const matrix = path?.getScreenCTM()?.inverse();
  const within = ([dx, dy]) => path.isPointInFill(new DOMPoint(x + dx, y + dy).matrixTransform(matrix));
  return Boolean(matrix) && button.hasAttribute("data-outlined") && REACH.some((dx) => REACH.some((dy) => within([dx, dy])));
}

function setImage(img, bytes) {
  const old = img.src;
  img.src = URL.createObjectURL(new Blob([bytes]));
  if (old) URL.revokeObjectURL(old);
}

// The drawing that lies over a picture, hidden until there is an outline.
const SVG = ["http:", "", "www.w3.org", "2000", "svg"].join("/"); // a name, nothing is fetched
function drawing(picture) {
  const drawn = (parent, tag, about) => {
    const element = parent.appendChild(document.createElementNS(SVG, tag));
    Object.entries(about).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };
  const svg = drawn(picture, "svg", { class: "outline", "aria-hidden": "true", hidden: "" });
  ["rim", "line"].forEach((name) => drawn(svg, "path", { class: name }));
}

function makeItem(parent) {
  const quiet = { "data-lm-suppress-shortcuts": "true" }; // or JupyterLab's keys would work here: x cuts the cell
  const button = make(parent, "button", "item", { type: "button", tabindex: "-1", ...quiet });
  const picture = make(button, "span", "picture");
  make(picture, "img", "", { alt: "", draggable: "false" });
  drawing(picture);
  make(picture, "span", "glyph");
  make(picture, "span", "badge");
  const bar = make(button, "span", "bar");
  ["i", "s"].forEach((tag) => make(bar, tag, ""));
  make(button, "span", "caption");
  make(button, "span", "said");
  return button;
}

function writeItem(button, item, j) {
  const part = (name) => button.querySelector(name);
  button.dataset.item = j;
  button.dataset.key = JSON.stringify(item.key);
  button.dataset.frame = item.frame;
  button.setAttribute("aria-label", item.alt || item.caption || `picture ${j + 1}`);
  setImage(part("img"), item.image);
  text(part(".glyph"), GLYPHS[item.frame] ?? "");
  text(part(".badge"), item.badge);
  text(part(".caption"), item.caption);
  setOutline(button, null);
  part(".bar").hidden = item.bar === null;
  part(".bar i").style.width = `${100 * (item.bar ?? 0)}%`;
  part(".bar s").hidden = item.even === null;
  part(".bar s").style.left = `${100 * (item.even ?? 0)}%`;
}

function makeRow(parent) {
  const section = make(parent, "section", "row");
  const head = make(section, "div", "head");
  make(head, "span", "title");
  make(head, "span", "note");
  make(section, "div", "items", { role: "group" });
  make(section, "p", "empty");
  const share = make(section, "div", "share");
  ["right", "gain"].forEach((name) => make(share, "span", name));
  return section;
}

function removeItem(button) {
  URL.revokeObjectURL(button.querySelector("img").src);
  button.remove();
}

function writeRow(section, row, i) {
  const items = section.querySelector(".items");
  section.dataset.row = i;
  text(section.querySelector(".title"), row.title);
  text(section.querySelector(".note"), row.note);
  section.querySelector(".head").title = [row.about ? `${row.title}: ${row.about}` : row.title, row.note].filter(Boolean).join("\n");
  section.querySelector(".title").toggleAttribute("data-about", Boolean(row.about));
  section.querySelector(".share").title = row.share ? `right among the first ${row.items.length}: ${row.share}${row.gain ? `, ${row.gain} points against the first list` : ""}` : "";
  text(section.querySelector(".right"), row.share);
  text(section.querySelector(".gain"), row.gain);
  text(section.querySelector(".empty"), row.items.length ? "" : row.empty);
  items.setAttribute("aria-label", [row.title, row.note, row.share, row.gain].filter(Boolean).join(", "));
  while (items.children.length > row.items.length) removeItem(items.lastElementChild);
  row.items.forEach((item, j) => writeItem(items.children[j] ?? makeItem(items), item, j));
  if (items.firstElementChild && !items.querySelector("[tabindex='0']")) items.firstElementChild.tabIndex = 0;
}

function focusOn(button) {
  if (!button) return;
  for (const other of button.parentElement.children) other.tabIndex = other === button ? 0 : -1;
  button.focus();
}

// Left and right: the neighbour. Home and End: the row's ends. Up and down: the nearest one in the next line.
function neighbour(root, button, key) {
  const all = [...button.parentElement.children];
  const at = all.indexOf(button);
  if (key === "ArrowLeft" || key === "ArrowRight") return all[at + (key === "ArrowLeft" ? -1 : 1)] ?? button;
  if (key === "Home" || key === "End") return all.at(key === "Home" ? 0 : -1);
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const sign = key === "ArrowUp" ? -1 : 1;
  const here = button.getBoundingClientRect();
  const away = (other) => {
    const box = other.getBoundingClientRect();
    const down = sign * (box.top - here.top);
    return down < here.height / 2 ? Infinity : 1000 * down + Math.abs(box.left - here.left);
  };
  const near = [...root.querySelectorAll("[data-item]")].map((other) => [away(other), other]);
  const [distance, other] = near.reduce((a, b) => (b[0] < a[0] ? b : a));
  return distance < Infinity ? other : button;
}

export default {
  render({ model, el }) {
    el.classList.add("foir-gallery");
    const rows = make(el, "div", "rows");
    const message = make(el, "p", "message", { role: "status", "aria-live": "polite", "data-foir": "message" });

    const write = () => {
      const list = model.get("rows");
      const most = Math.max(1, ...list.map((row) => row.items.length));
      const focused = el.contains(document.activeElement) && document.activeElement.closest("[data-row]");
      el.style.setProperty("--columns", most > 12 ? 8 : most);
      while (rows.children.length > list.length) {
        rows.lastElementChild.querySelectorAll(".item").forEach(removeItem);
        rows.lastElementChild.remove();
      }
      list.forEach((row, i) => writeRow(rows.children[i] ?? makeRow(rows), row, i));
      if (focused && !el.contains(document.activeElement)) {
        const left = rows.children[Math.min(focused.dataset.row, list.length - 1)]?.querySelectorAll(".item");
        focusOn(left?.[left.length - 1]);
      }
      el.dataset.shown = model.get("shown");
      outline();
    };
    const outline = () => {
      model.get("outlines").forEach((row, i) => {
        const buttons = rows.children[i]?.querySelectorAll(".item") ?? [];
        buttons.forEach((button, j) => setOutline(button, row[j] ?? null));
      });
      if (!model.get("outlines").length) el.querySelectorAll("[data-item]").forEach((button) => setOutline(button, null));
    };
    const say = () => text(message, model.get("message"));

    const pick = (button, outline) => {
      const row = Number(button.closest("[data-row]").dataset.row);
      model.send({ pick: JSON.parse(button.dataset.key), row, item: Number(button.dataset.item), ...(outline && { outline }) });
    };

    el.addEventListener("click", (event) => {
      const button = event.target.closest("[data-item]");
      if (!button) return;
      focusOn(button);
      pick(button, event.detail > 0 && onOutline(button, event.clientX, event.clientY));
    });
    el.addEventListener("pointermove", (event) => {
      const button = event.target.closest("[data-outlined]");
      button?.toggleAttribute("data-over", event.pointerType === "mouse" && onOutline(button, event.clientX, event.clientY));
    });
    el.addEventListener("keydown", (event) => {
      const button = event.target.closest("[data-item]");
      if (event.key === "Enter" && event.shiftKey && button?.hasAttribute("data-outlined")) {
        event.preventDefault();
        return pick(button, true);
      }
      const next = button && !event.ctrlKey && !event.metaKey && !event.altKey && neighbour(el, button, event.key);
      if (!next) return;
      event.preventDefault();
      focusOn(next);
    });
    const disconnected = function () { // anywidget takes JupyterLab's own listener away; `this` is Jupyter's view
      el.classList.toggle("jupyter-widgets-disconnected", !this?.model?.comm_live);
    };
    model.on("comm_live_update", disconnected);
    model.on("change:shown", write);
    model.on("change:outlines", outline);
    model.on("change:message", say);
    write();
    say();
    return () => {
      model.off("comm_live_update", disconnected);
      model.off("change:shown", write);
      model.off("change:outlines", outline);
      model.off("change:message", say);
      el.querySelectorAll(".item").forEach(removeItem);
    };
  },
};
