// The browser's side of foir_lib.view.widgets.canvas. Everything is in pixels of the original picture: the
// drawing is one SVG and its viewBox is the zoom. An edit is drawn at once (`applied`), sent, and replaced by
// what the kernel made of it when the kernel has taken in all edits of this view.

const ICONS = {
  point: '<circle cx="8" cy="8" r="4.5"/><path d="M8 1v5M8 10v5M1 8h5M10 8h5"/>',
  box: '<rect x="2.5" y="3.5" width="11" height="9"/>',
  brush: '<path d="M13.5 2.5 7 9M7 9c-2-.6-3.3 1-3.3 2.5S2.5 13.5 2 13.5c2 1 6 .3 6-2.5 0-1-.5-1.5-1-2z"/>',
  lasso: '<ellipse cx="8" cy="6.5" rx="5.5" ry="3.8" stroke-dasharray="2.6 1.6"/><path d="M5 10c-1.5.5-2 3 .5 4"/>',
  erase: '<path d="M6 13 2.5 9.5l6.5-6.5 4.5 4.5L8 13zM5.7 6.3l4.5 4.5M5.5 13h8"/>',
  undo: '<path d="M5.5 2.5 2.5 5.5l3 3M3 5.5h6a4 4 0 0 1 0 8H6"/>',
  redo: '<path d="m10.5 2.5 3 3-3 3M13 5.5H7a4 4 0 0 0 0 8h3"/>',
  remove: '<path d="m4 4 8 8M12 4l-8 8"/>',
  clear: '<path d="M2.5 4.5h11M6.5 4.5V2.5h3v2M4 4.5l.7 9h6.6l.7-9M6.8 7v4M9.2 7v4"/>',
  "zoom-in": '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5M7 5v4M5 7h4"/>',
  "zoom-out": '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5M5 7h4"/>',
  fit: '<path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10"/>',
  grid: '<path d="M2.5 2.5h11v11h-11zM6.2 2.5v11M9.8 2.5v11M2.5 6.2h11M2.5 9.8h11"/>',
  upload: '<path d="M8 10.5V2.5M5 5.5l3-3 3 3M2.5 10v3.5h11V10"/>',
  several: '<rect x="1.5" y="4.5" width="8" height="8"/><path d="M6 4.5v-2h8v8H9.5"/>',
  ask: '<path d="M13.5 3v4.5a2 2 0 0 1-2 2H3M6 6.5l-3 3 3 3"/>',
  minus: '<path d="M3 8h10"/>',
  keys: '<path d="M5.2 6a2.8 2.8 0 1 1 4.3 2.3C8.4 9 8 9.5 8 10.6M8 13.2v.3"/>',
};
const TOOLS = { point: ["Point", "p"], box: ["Box", "b"], brush: ["Mask", "m"], lasso: ["Lasso", "l"] };
const ACTIONS = {
  several: "Several marks side by side; off, a new one takes the place of all (A)", ask: "Ask with this mark; where there is none, draw one in the middle (Enter)", keys: "All keys (?)",
  minus: "Clicks take away from the mask that was clicked (N, or Alt)", erase: "Erase from the selected mask (E)", undo: "Undo (Ctrl+Z)", redo: "Redo (Ctrl+Shift+Z)", remove: "Remove this mark (Delete)",
  clear: "Remove all marks", "zoom-in": "Zoom in (+)", "zoom-out": "Zoom out (-)", fit: "Whole picture (0)",
  grid: "Show the model's patches and those of the ROI (G)", upload: "Open a photograph (U), or drop or paste one; only the program behind this page reads it",
};
const GROUPS = [["ask", "keys", "minus"], ["undo", "redo", "remove", "clear"], ["zoom-in", "zoom-out", "fit", "grid"], ["upload"], ["erase"]];
const KEYS = {
  "P, B, M, L": "tool: point, box, mask (brush), lasso",
  A: "several marks side by side, on or off; Shift while drawing does the same once",
  Enter: "asks with the mark; draws one in the middle where the tool has none; with Shift, one beside the others",
  "Arrow keys": "move the mark by a pixel, with Shift by ten",
  "Alt + arrow keys": "resize a box by a pixel, with Shift by ten",
  "[ and ]": "the previous or the next mark asks",
  Delete: "removes the mark that asks",
  "Ctrl+Z, Ctrl+Shift+Z": "undo, redo",
  "N, or Alt": "where a click takes a thing: clicks take away from the mask; with Shift, or several on, they add to it",
  E: "brush and lasso erase, or paint again",
  "< and >": "a smaller or larger brush",
  "+, -, 0": "zoom in, zoom out, whole picture",
  "Space and mouse": "moves the enlarged picture",
  "G, U": "patches of the model, open a photograph",
  Escape: "cancels what is being drawn",
  "?": "these keys",
};
const HANDLES = { nw: [0, 0], n: [0.5, 0], ne: [1, 0], e: [1, 0.5], se: [1, 1], s: [0.5, 1], sw: [0, 1], w: [0, 0.5] };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = "Press the question mark for all keys.";
const EDGE = 0.01; // a point stays this far inside the right and lower edge, as in prompt_state.py

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const short = (value) => +value.toFixed(2);
const html = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const icon = (name) => `<svg viewBox="0 0 16 16" aria-hidden="true">${ICONS[name]}</svg>`;

const extent = (p) => (p.kind === "box" ? [p.x0, p.y0, p.x1, p.y1] : p.kind === "point" ? [p.x, p.y, p.x + EDGE, p.y + EDGE] : p.box);
const hull = (points, r, size) => {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  return [Math.max(0, Math.min(...xs) - r), Math.max(0, Math.min(...ys) - r), Math.min(size[0], Math.max(...xs) + r), Math.min(size[1], Math.max(...ys) + r)];
};

function moved(p, dx, dy, size) {
  const [x0, y0, x1, y1] = extent(p);
  dx = clamp(dx, -x0, size[0] - x1);
  dy = clamp(dy, -y0, size[1] - y1);
  if (p.kind === "box") return { ...p, x0: x0 + dx, y0: y0 + dy, x1: x1 + dx, y1: y1 + dy };
  if (p.kind === "point") return { ...p, x: x0 + dx, y: y0 + dy, region: null };
  [dx, dy] = [Math.round(dx), Math.round(dy)];
  const strokes = p.strokes.map((s) => ({ ...s, points: s.points.map(([x, y]) => [x + dx, y + dy]) }));
  return { ...p, strokes, offset: [p.offset[0] + dx, p.offset[1] + dy], box: [x0 + dx, y0 + dy, x1 + dx, y1 + dy] };
}

// What the kernel will make of an edit, near enough to look at until it says so itself.
function applied(state, edit, size) {
  const prompts = state.prompts.slice();
  const chosen = prompts[state.selected];
  const put = (index, prompt) => ((prompts[index] = prompt), { prompts, selected: index });
  const beside = (prompt) => (edit.alone ? { prompts: [prompt], selected: 0 } : put(prompts.length, prompt));
  if (edit.op === "add") return beside(edit.prompt);
  if (edit.op === "take") return edit.further || !edit.positive ? state : beside({ kind: "point", x: edit.x, y: edit.y });
  if (edit.op === "select") return { prompts, selected: edit.index };
  if (edit.op === "clear") return { prompts: [], selected: -1 };
  if (edit.op === "stroke" || edit.op === "lasso") {
    const stroke = { points: edit.points, radius: edit.radius ?? null, erase: edit.erase };
    const onto = chosen?.kind === "mask" && !(edit.new && !edit.erase) ? chosen : null;
    if (!onto && edit.erase) return state;
    const box = hull(edit.points, edit.radius ?? 0, size);
    if (!onto) return beside({ kind: "mask", base: null, offset: [0, 0], strokes: [stroke], box });
    const around = hull([box.slice(0, 2), box.slice(2), onto.box.slice(0, 2), onto.box.slice(2)], 0, size);
    return put(state.selected, { ...onto, strokes: [...onto.strokes, stroke], box: edit.erase ? onto.box : around });
  }
  if (!chosen) return state;
  if (edit.op === "replace") return put(state.selected, edit.prompt);
  if (edit.op === "move") return put(state.selected, moved(chosen, edit.dx, edit.dy, size));
  if (edit.op === "resize" && chosen.kind === "box") {
    const x1 = Math.max(Math.min(chosen.x1 + edit.dx, size[0]), Math.min(chosen.x0 + 1, chosen.x1));
    const y1 = Math.max(Math.min(chosen.y1 + edit.dy, size[1]), Math.min(chosen.y0 + 1, chosen.y1));
    return put(state.selected, { ...chosen, x1, y1 });
  }
  if (edit.op === "remove") {
    prompts.splice(state.selected, 1);
    return { prompts, selected: Math.min(state.selected, prompts.length - 1) };
  }
  return state; // undo and redo: only the kernel knows
}

const isStuck = (p, [w, h]) => (([x0, y0, x1, y1]) => x0 <= 0 && y0 <= 0 && x1 >= w && y1 >= h)(extent(p)); // no room to be moved
const isWhole = (p, size) => p.kind === "box" && isStuck(p, size);

const inWords = (p) => {
  const n = (value) => Math.round(value);
  if (p.kind === "point") return `at ${n(p.x)}, ${n(p.y)}`;
  const [x0, y0, x1, y1] = extent(p);
  return `from ${n(x0)}, ${n(y0)} to ${n(x1)}, ${n(y1)}`;
};

// ---- SVG text of one prompt; `px` is the size of a screen pixel

const line = (points) => points.map(([x, y]) => `${short(x)} ${short(y)}`).join("L");

function maskShape(p, key, size, px, base) {
  const all = `x="0" y="0" width="${size[0]}" height="${size[1]}"`;
  const strokes = p.strokes.map((s) => {
    const colour = s.erase ? "#000" : "#fff";
    if (s.radius === null) return `<path d="M${line(s.points)}Z" fill="${colour}" fill-rule="evenodd"/>`;
    const points = s.points.length > 1 ? s.points : [s.points[0], s.points[0]];
    return `<path d="M${line(points)}" fill="none" stroke="${colour}" stroke-width="${2 * s.radius}" stroke-linecap="round" stroke-linejoin="round"/>`;
  });
  const below = base ? `<image href="${base}" width="${size[0]}" height="${size[1]}" x="${p.offset[0]}" y="${p.offset[1]}" preserveAspectRatio="none"/>` : "";
  return (
    `<mask id="${key}" maskUnits="userSpaceOnUse" ${all}><rect ${all} fill="#000"/>${below}${strokes.join("")}</mask>` +
    `<filter id="${key}-edge" filterUnits="userSpaceOnUse" primitiveUnits="userSpaceOnUse" ${all}>` +
    `<feMorphology operator="dilate" radius="${1.5 * px}" in="SourceAlpha"/><feComposite operator="out" in2="SourceAlpha" result="rim"/>` +
    `<feFlood flood-color="#fff"/><feComposite operator="in" in2="rim" result="rim"/>` +
    `<feComponentTransfer in="SourceGraphic" result="tint"><feFuncA type="linear" slope="0.5"/></feComponentTransfer>` +
    `<feMerge><feMergeNode in="tint"/><feMergeNode in="rim"/></feMerge></filter>` +
    `<g filter="url(#${key}-edge)"><rect ${all} class="foir-tint" mask="url(#${key})"/></g>`
  );
}

function shape(p, i, { key, size, px, base, selected, many }) {
  const rect = ([x0, y0, x1, y1], name = "") => {
    const at = `x="${short(x0)}" y="${short(y0)}" width="${short(x1 - x0)}" height="${short(y1 - y0)}"`;
    return `<rect ${at} class="foir-halo ${name}"/><rect ${at} class="foir-line ${name}"/>`;
  };
  const at = (x, y, content) => `<g transform="translate(${short(x)} ${short(y)}) scale(${px})">${content}</g>`;
  let drawn = "", dots = "";
  if (p.kind === "box") drawn = rect(extent(p));
  for (const [x, y, positive] of p.clicks ?? []) dots += at(x, y, `<g class="foir-halo"><circle r="6"/></g><g class="foir-line foir-click"><circle r="6"/><path d="M-3 0h6${positive ? "M0-3v6" : ""}"/></g>`);
  if (p.kind === "mask") drawn = maskShape(p, key, size, px, base) + (selected ? rect(p.box, "foir-dash") + dots : "");
  if (p.kind === "point") {
    const cross = '<circle r="7"/><path d="M-11 0h8M3 0h8M0-11v8M0 3v8"/>';
    drawn = (selected && p.region ? rect(p.region, "foir-dash") : "") + at(p.x, p.y, `<g class="foir-halo">${cross}</g><g class="foir-line">${cross}</g>`);
  }
  const [x0, y0] = p.kind === "point" ? [p.x + 8 * px, p.y - 8 * px] : extent(p);
  if (many) drawn += at(x0, y0, `<text x="3" y="-5">${i + 1}</text>`);
  return `<g data-prompt="${i}" class="${selected ? "foir-selected" : ""}">${drawn}</g>`;
}

function handles([x0, y0, x1, y1], px) {
  const small = Math.min(x1 - x0, y1 - y0) / px < 40; // then they stand outside, so that the box can be moved
  return Object.entries(HANDLES).map(([name, [u, v]]) => {
    const out = small ? 9 * px : 0;
    const x = x0 + u * (x1 - x0) + (2 * u - 1) * out, y = y0 + v * (y1 - y0) + (2 * v - 1) * out;
    return `<g data-handle="${name}" transform="translate(${x} ${y}) scale(${px})"><circle r="11"/><rect x="-4" y="-4" width="8" height="8"/></g>`;
  }).join("");
}

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2, 10);
  let state = { prompts: [], selected: -1 };
  let tool = model.get("tool"), erasing = false, showGrid = false, sent = 0, picture = -1;
  let drag = null; // what is under way: {kind, edit, ...}; `edit` is what would be sent if it ended now
  let zoom = { x: 0, y: 0, z: 1 }, hover = null; // middle of the view and its magnification; where the brush is
  let several = false, minus = false, asked = 0, wondered = null, last = 0, hand = false, frame = 0, timer = 0, later = 0, sending = 0, outside = 0;
  let notice = null, said = -1; // a sentence of the browser's own, and the number of the kernel's last
  const pointers = new Map();
  const bases = new Map(); // name -> blob URL
  let url = "";
  const size = () => model.get("size");

  // ---- the page

  el.classList.add("foir-canvas");
  const bar = html("div", { class: "foir-bar", role: "toolbar", "aria-label": "Prompt tools" });
  const button = (kind, name, label, word = "") => {
    const b = html("button", { type: "button", [`data-${kind}`]: name, title: label, "aria-label": label });
    b.innerHTML = icon(name);
    if (word) b.append(html("span", {}, word));
    return b;
  };
  const group = (...members) => bar.appendChild(html("div", { class: "foir-group" }, ...members));
  const tools = Object.entries(TOOLS).map(([name, [word, key]]) => button("tool", name, `${word} (${key.toUpperCase()})`, word));
  group(...tools, button("action", "several", ACTIONS.several, "Several"));
  const groups = GROUPS.map((names) => group(...names.map((name) => button("action", name, ACTIONS[name]))));
  const brush = html("input", { type: "range", min: 2, max: 120, value: 28, "data-foir": "brush-size", "aria-label": "Brush size", title: "Brush size on the screen (< and >): zoom in to paint finer" });
  const painting = groups[4];
  painting.append(brush);
  const stage = html("div", { class: "foir-stage" });
  stage.innerHTML = '<svg data-foir="surface" tabindex="0" role="application"><image preserveAspectRatio="none"/><g class="foir-patches"/><path class="foir-thing foir-halo"/><path class="foir-thing foir-line"/><g class="foir-object"><rect class="foir-halo"/><rect class="foir-line"/><g><text x="2" y="-5"/></g></g><g class="foir-prompts"/></svg><div class="foir-empty">Drop or paste a photograph here, or press the button with the arrow.</div>';
  const svg = stage.querySelector("svg"), image = svg.querySelector("image");
  const patches = svg.querySelector(".foir-patches"), drawing = svg.querySelector(".foir-prompts");
  const object = svg.querySelector(".foir-object");
  const things = svg.querySelectorAll(".foir-thing");
  const status = html("span", { "data-foir": "status", "aria-live": "polite" });
  const says = html("span", { class: "foir-says", "data-foir": "takes" });
  const busy = html("span", { class: "foir-busy" });
  const message = html("p", { "data-foir": "message", role: "status", "aria-live": "polite" });
  const help = html("span", { class: "foir-hidden", id: `foir-${view}-help` }, HELP);
  const file = html("input", { type: "file", accept: "image/*,.heic,.heif,.hif,.avif,.jfif,.jpe,.mpo", hidden: "", tabindex: "-1", "aria-hidden": "true" });
  svg.setAttribute("aria-describedby", help.id);
  stage.append(busy, says);
  const keys = html("dialog", { class: "foir-keys", "aria-label": "Keys of the canvas" });
  const done = html("button", { type: "button" }, "Close (Escape)");
  const list = html("dl");
  for (const [key, words] of Object.entries(KEYS)) list.append(html("dt", {}, key), html("dd", {}, words));
  keys.append(html("h2", {}, "Keys"), list, done);
  el.append(bar, stage, html("div", { class: "foir-foot" }, status), message, help, file, keys);

  for (const e of [el, svg, keys, done, ...bar.querySelectorAll("button, input")]) e.dataset.lmSuppressShortcuts = "true"; // JupyterLab asks the focused element itself

  const dead = () => el.closest(".jupyter-widgets-disconnected") !== null;
  const scale = () => Math.min(stage.clientWidth / size()[0], stage.clientHeight / size()[1]) * zoom.z || 1; // 1 while hidden; screen pixels per pixel
  const at = (event) => {
    const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [p.x, p.y];
  };
  const inside = ([x, y], edge = 0) => [short(clamp(x, 0, size()[0] - edge)), short(clamp(y, 0, size()[1] - edge))];

  // ---- drawing

  function draw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(drawNow);
  }

  function drawNow() {
    if (!stage.clientWidth || !stage.clientHeight) return; // hidden, or a style sheet is on its way: the frame stays until there is a size again
    const s = scale(), px = 1 / s, [w, h] = size();
    const wide = stage.clientWidth / s, high = stage.clientHeight / s;
    zoom.x = wide >= w ? w / 2 : clamp(zoom.x, wide / 2, w - wide / 2);
    zoom.y = high >= h ? h / 2 : clamp(zoom.y, high / 2, h - high / 2);
    svg.setAttribute("viewBox", [zoom.x - wide / 2, zoom.y - high / 2, wide, high].join(" "));
    svg.classList.toggle("foir-coarse", s > 6);
    const shown = drag?.edit ? applied(state, drag.edit, size()) : state;
    const chosen = shown.prompts[shown.selected];
    let content = shown.prompts.map((p, i) => {
      const base = bases.get(p.base);
      return shape(p, i, { key: `foir-${view}-${i}`, size: size(), px, base, selected: i === shown.selected, many: shown.prompts.length > 1 });
    }).join("");
    if (chosen?.kind === "box" && !["box", "stroke", "lasso"].includes(drag?.kind)) content += handles(extent(chosen), px);
    if (drag?.kind === "lasso" && drag.points.length > 1) content += `<path class="foir-halo" d="M${line(drag.points)}"/><path class="foir-line foir-dash" d="M${line(drag.points)}"/>`;
    if (tool === "brush" && hover && !hand) {
      const ring = `cx="${hover[0]}" cy="${hover[1]}" r="${(brush.value / 2) * px}"`;
      content += `<circle ${ring} class="foir-halo"/><circle ${ring} class="foir-line${erasing ? " foir-dash" : ""}"/>`;
    }
    drawing.innerHTML = content;
    tell(shown);
    drawPatches(w, h);
    drawObject(px);
    drawThing(w, h);
  }

  const pointing = () => tool === "point" && hover && !drag && !hand && hover[0] >= 0 && hover[1] >= 0 && hover[0] < size()[0] && hover[1] < size()[1];

  // What a click would ask with: the outline of the thing under the mouse, else a point's window of patches (as foir_lib.prompts has it).
  function drawThing(w, h) {
    const grid = model.get("grid"), thing = model.get("hover"), known = model.get("takes") && wondered && thing.n === asked && thing.view === view;
    let d = "";
    if (pointing() && known && thing.paths.length) {
      for (const path of thing.paths) for (let i = 0; i < path.length; i += 2) d += `${i ? "L" : "M"}${path[i]} ${path[i + 1]}${i + 2 === path.length ? "Z" : ""}`;
    } else if (pointing() && grid && state.prompts[under(hover)]?.kind !== "point") {
      const [rows, columns] = grid, r = Math.floor((hover[1] * rows) / h), c = Math.floor((hover[0] * columns) / w);
      const y0 = Math.max(r - 1, 0), y1 = Math.min(r + 2, rows), x0 = Math.max(c - 1, 0), x1 = Math.min(c + 2, columns);
      d = `M${(x0 * w) / columns} ${(y0 * h) / rows}H${(x1 * w) / columns}V${(y1 * h) / rows}H${(x0 * w) / columns}Z`;
    }
    for (const path of things) path.setAttribute("d", d);
    const words = d && known && thing.words ? `a click takes: ${thing.words}` : "";
    if (says.textContent !== words) says.textContent = words;
  }

  // Asks the kernel what is under the mouse: one question at a time, the last place wins.
  function wonder() {
    if (!model.get("takes") || !pointing() || dead() || (wondered && model.get("hover").n !== asked && performance.now() - last < 3000)) return;
    if (wondered && Math.hypot(wondered[0] - hover[0], wondered[1] - hover[1]) * scale() < 2) return;
    const wait = 60 - (performance.now() - last);
    if (wait > 0) return void (clearTimeout(later), (later = setTimeout(wonder, wait)));
    [wondered, last] = [hover, performance.now()];
    model.send({ view, op: "hover", hover: ++asked, picture: model.get("number"), x: short(hover[0]), y: short(hover[1]) });
  }
  const answered = () => (draw(), wonder());

  // The annotated object that the prompt points at, whose label is looked for.
  function drawObject(px) {
    const { box, label } = model.get("object");
    object.style.display = box && !drag ? "" : "none";
    if (!box) return;
    const [x0, y0, x1, y1] = box, low = y1 > size()[1] - 22 * px; // then the words stand inside; above are the numbers of marks
    const all = isWhole({ kind: "box", x0, y0, x1, y1 }, size()); // its outline would be the picture's edge
    for (const rect of object.querySelectorAll("rect")) rect.style.display = all ? "none" : "";
    for (const rect of object.querySelectorAll("rect")) for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 })) rect.setAttribute(name, value);
    object.querySelector("g").setAttribute("transform", `translate(${x0} ${y1 + (low ? 0 : 20) * px}) scale(${px})`);
    object.querySelector("text").textContent = `looking for: ${label}`;
  }

  function drawPatches(w, h) {
    const grid = model.get("grid");
    let content = "";
    if (grid && showGrid) {
      const [rows, columns] = grid, dx = w / columns, dy = h / rows;
      if (!drag) for (const t of model.get("drawing").roi ?? []) content += `<rect x="${(t % columns) * dx}" y="${Math.floor(t / columns) * dy}" width="${dx}" height="${dy}"/>`;
      let d = "";
      for (let c = 1; c < columns; c++) d += `M${c * dx} 0V${h}`;
      for (let r = 1; r < rows; r++) d += `M0 ${r * dy}H${w}`;
      content += `<path d="${d}" class="foir-dark"/><path d="${d}"/>`;
    }
    patches.innerHTML = content;
  }

  function controls() {
    const about = model.get("drawing"), chosen = state.prompts[state.selected], empty = !model.get("number");
    const paints = tool === "brush" || tool === "lasso";
    const off = { undo: !about.undo, redo: !about.redo, remove: !chosen, clear: !state.prompts.length, erase: !paints || chosen?.kind !== "mask" };
    for (const b of bar.querySelectorAll("[data-tool]")) b.setAttribute("aria-pressed", b.dataset.tool === tool);
    for (const b of bar.querySelectorAll("[data-action]")) b.setAttribute("aria-disabled", Boolean(off[b.dataset.action] || (empty && !["upload", "keys", "several"].includes(b.dataset.action))));
    for (const [name, on] of [["erase", erasing], ["grid", showGrid], ["several", several], ["minus", minus]]) bar.querySelector(`[data-action=${name}]`).setAttribute("aria-pressed", on);
    bar.querySelector("[data-action=grid]").hidden = !model.get("grid");
    bar.querySelector("[data-action=minus]").hidden = !model.get("takes");
    painting.classList.toggle("foir-off", !paints); // they keep their place: the picture must not move
    brush.classList.toggle("foir-off", tool !== "brush");
    svg.dataset.mode = hand ? "hand" : tool;
    tell(state);
    svg.setAttribute("aria-label", empty ? "No picture" : `${model.get("label")}, ${size()[0]} by ${size()[1]} pixels`);
    stage.classList.toggle("foir-none", empty);
  }

  // The mark that asks, in words; while it is dragged it isn't read out.
  function tell({ prompts, selected }) {
    const chosen = prompts[selected], n = prompts.length, empty = !model.get("number");
    const words = chosen
      ? n === 1 && isWhole(chosen, size()) ? "The whole picture asks: drag a box around one thing" : `${chosen.kind[0].toUpperCase()}${chosen.kind.slice(1)}${n > 1 ? ` ${selected + 1} of ${n} asks,` : ""} ${inWords(chosen)}`
      : empty ? "No picture" : "No mark: draw one on the picture";
    const full = empty ? words : `${words} \u00b7 ${size()[0]} \u00d7 ${size()[1]} pixels`;
    status.setAttribute("aria-live", drag ? "off" : "polite");
    if (status.textContent !== full) status.textContent = full;
  }

  function say() {
    const { text, error } = notice ?? model.get("message");
    if (message.textContent !== text) message.textContent = text;
    message.classList.toggle("foir-error", error);
  }

  // ---- kernel

  function send(edit) {
    if (dead()) return;
    state = applied(state, edit, size());
    if (state.prompts[state.selected]?.kind !== "mask") erasing = false;
    notice = null;
    sent += 1;
    model.send({ view, n: sent, picture: model.get("number"), ...edit });
    waiting();
    say();
    controls();
    draw();
  }

  function waiting() {
    const late = !dead() && (sent > (model.get("answered")[view] ?? 0) || sending);
    el.dataset.sent = sent;
    el.dataset.accepted = model.get("accepted")[view] ?? 0;
    el.dataset.answered = model.get("answered")[view] ?? 0;
    if (late && !timer) {
      const since = performance.now();
      timer = setInterval(() => {
        el.dataset.busy = "true";
        busy.textContent = performance.now() - since < 15000 ? "working\u2026" : "no answer yet: is the kernel running?";
      }, 200);
    } else if (!late) {
      clearInterval(timer);
      timer = 0;
      el.dataset.busy = "false";
      busy.textContent = "";
    }
  }

  function adopt() {
    waiting();
    if (model.get("number") !== picture) {
      picture = model.get("number");
      drag = notice = null;
      zoom = { x: 0, y: 0, z: 1 };
      URL.revokeObjectURL(url);
      url = picture ? URL.createObjectURL(new Blob([model.get("image")], { type: "image/jpeg" })) : "";
      const [w, h] = size();
      image.setAttribute("href", url);
      image.setAttribute("width", w);
      image.setAttribute("height", h);
      svg.setAttribute("viewBox", `0 0 ${w || 1} ${h || 1}`); // also before there is a size to draw by
      stage.style.setProperty("--ratio", picture ? clamp(w / h, 0.6, 2.5) : 1.5);
      say();
    } else if ((model.get("accepted")[view] ?? 0) < sent) return; // an edit of ours is still on its way
    const wanted = model.get("bases");
    for (const [name, old] of bases) if (!(name in wanted)) URL.revokeObjectURL(old), bases.delete(name);
    for (const [name, png] of Object.entries(wanted)) if (!bases.has(name)) bases.set(name, URL.createObjectURL(new Blob([png], { type: "image/png" })));
    const { prompts = [], selected = -1 } = model.get("drawing");
    state = { prompts, selected };
    controls();
    draw();
  }

  const heard = () => {
    if (model.get("message").n !== said) notice = null;
    said = model.get("message").n;
    say();
  };

  async function upload(photo) {
    const { bytes, chunk } = model.get("limits"), count = Math.ceil(photo.size / chunk), token = Math.random();
    const refuse = (text) => ((notice = { text, error: true }), say());
    if (!photo.size) return refuse(`${photo.name} is empty: choose another photograph.`);
    if (photo.size > bytes) return refuse(`${photo.name} has ${Math.ceil(photo.size / 2 ** 20)} MB, the limit is ${bytes / 2 ** 20}: make it smaller first.`);
    notice = { text: `Sending ${photo.name} \u2026`, error: false };
    say();
    sending = token;
    waiting();
    const n = ++sent;
    for (let index = 0; index < count && sending === token; index++) {
      const part = await photo.slice(index * chunk, (index + 1) * chunk).arrayBuffer();
      if (sending === token) model.send({ view, n, op: "upload", upload: String(token), name: photo.name, size: photo.size, count, index }, undefined, [part]);
    }
    if (sending === token) sending = 0;
    waiting();
  }

  // ---- pointers

  // The prompt under p: a point's marker, else the smallest box or mask around it; -1 for none.
  function under(p) {
    const reach = 12 / scale();
    let best = -1, least = Infinity;
    state.prompts.forEach((prompt, i) => {
      const [x0, y0, x1, y1] = extent(prompt), slack = prompt.kind === "point" ? reach : 0;
      const hit = p[0] >= x0 - slack && p[0] <= x1 + slack && p[1] >= y0 - slack && p[1] <= y1 + slack;
      const area = slack ? 0 : (x1 - x0) * (y1 - y0);
      if (hit && area <= least) [best, least] = [i, area];
    });
    return best;
  }

  function down(event) {
    if (dead() || !model.get("number") || (event.pointerType === "mouse" && event.button > 1)) return;
    event.preventDefault();
    svg.focus({ preventScroll: true });
    svg.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size > 1 || event.button === 1 || hand) {
      drag = { kind: "pan" };
      return draw();
    }
    finishKeys();
    const p = at(event), from = inside(p), handle = event.target.closest("[data-handle]")?.dataset.handle;
    const hit = under(p), chosen = state.prompts[state.selected];
    drag = { kind: tool, from, client: [event.clientX, event.clientY], points: [from], far: false, hit, where: where(event) };
    if (handle && chosen?.kind === "box") drag = { ...drag, kind: "handle", handle, box: chosen };
    else if (tool === "brush") drag = { ...drag, kind: "stroke", radius: short(brush.value / 2 / scale()) };
    else if (tool !== "lasso" && state.prompts[hit]?.kind === "point") drag.kind = "move";
    else if (tool === "box" && hit >= 0 && hit === state.selected && !event.shiftKey && !isStuck(chosen, size())) drag.kind = "move";
    track(event);
  }

  const clicked = () => Boolean(state.prompts[state.selected]?.clicks); // a mask that was taken by clicks

  // Whether a new mark takes the place of the others, and whether painting starts one though a mask is selected.
  const where = (event) => ({ alone: !several && !event.shiftKey, new: event.shiftKey });

  function track(event) {
    const p = at(event), to = inside(p), { kind, from, points } = drag;
    drag.far ||= Math.hypot(event.clientX - drag.client[0], event.clientY - drag.client[1]) >= 3;
    if (kind === "stroke" || kind === "lasso") {
      for (const e of event.getCoalescedEvents?.() ?? []) add(inside(at(e)));
      add(to);
      drag.edit = kind === "stroke" ? { op: "stroke", points, radius: drag.radius, erase: erasing, ...drag.where } : null;
      if (kind === "lasso" && drag.far && points.length > 2) drag.edit = { op: "lasso", points, erase: erasing, ...drag.where };
    } else if (kind === "point") {
      const [x, y] = inside(p, EDGE);
      if (model.get("takes")) drag.take = { op: "take", x, y, positive: !(minus || event.altKey), alone: drag.where.alone, further: clicked() && !drag.where.alone };
      drag.edit = { op: "add", prompt: { kind: "point", x, y }, alone: drag.where.alone };
    } else if (!drag.far) return;
    else if (kind === "move") {
      if (drag.hit !== state.selected) send({ op: "select", index: drag.hit });
      drag.edit = { op: "move", dx: short(p[0] - from[0]), dy: short(p[1] - from[1]) };
    } else if (kind === "handle") {
      const { x0, y0, x1, y1 } = drag.box, box = [x0, y0, x1, y1], dx = p[0] - from[0], dy = p[1] - from[1];
      if (drag.handle.includes("w")) box[0] += dx;
      if (drag.handle.includes("e")) box[2] += dx;
      if (drag.handle.includes("n")) box[1] += dy;
      if (drag.handle.includes("s")) box[3] += dy;
      drag.edit = boxEdit("replace", inside(box.slice(0, 2)), inside(box.slice(2)));
    } else if (kind === "box") drag.edit = boxEdit("add", from, to, drag.where.alone);
    draw();

    function add(point) {
      const last = points[points.length - 1];
      if (Math.hypot(point[0] - last[0], point[1] - last[1]) * scale() > 1.5) points.push(point);
    }
  }

  function boxEdit(op, a, b, alone) {
    const [x0, x1] = [a[0], b[0]].sort((u, v) => u - v), [y0, y1] = [a[1], b[1]].sort((u, v) => u - v);
    return x1 > x0 && y1 > y0 ? { op, prompt: { kind: "box", x0, y0, x1, y1 }, ...(alone === undefined ? {} : { alone }) } : null;
  }

  function move(event) {
    hover = at(event);
    if (tool === "brush" || tool === "point") draw();
    if (tool === "point") wonder();
    if (!pointers.has(event.pointerId) || !drag) return;
    const before = [...pointers.values()], now = [event.clientX, event.clientY];
    const last = pointers.get(event.pointerId);
    pointers.set(event.pointerId, now);
    if (drag.kind !== "pan") return drag.kind === "keys" ? undefined : track(event);
    const after = [...pointers.values()], middle = (list, k) => list.reduce((sum, p) => sum + p[k], 0) / list.length;
    if (before.length === 2) {
      const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
      zoomBy(apart(after) / Math.max(apart(before), 1), { clientX: middle(after, 0), clientY: middle(after, 1) });
    }
    zoom.x -= (now[0] - last[0]) / before.length / scale();
    zoom.y -= (now[1] - last[1]) / before.length / scale();
    draw();
  }

  function up(event) {
    pointers.delete(event.pointerId);
    if (!drag || drag.kind === "keys" || pointers.size) return;
    const { edit, take, far, hit, kind } = drag;
    drag = null;
    if (kind === "pan") return draw();
    const click = kind === "move" || kind === "box" || kind === "lasso";
    if (take || edit) send(take ?? edit);
    else if (click && !far && hit >= 0 && hit !== state.selected) send({ op: "select", index: hit });
    draw();
  }

  function cancel(event) {
    if (event) pointers.delete(event.pointerId);
    drag = null;
    draw();
  }

  function zoomBy(factor, event) {
    const [x, y] = event ? at(event) : [zoom.x, zoom.y];
    const z = clamp(zoom.z * factor, 1, Math.max(8, (40 * zoom.z) / scale()));
    if (z === zoom.z) return false;
    zoom = { x: x + ((zoom.x - x) * zoom.z) / z, y: y + ((zoom.y - y) * zoom.z) / z, z };
    drawNow();
    return true;
  }

  function wheel(event) {
    if (dead() || !model.get("number")) return;
    if (performance.now() - outside < 300 && !event.ctrlKey) return void (outside = performance.now()); // the page is being scrolled
    if (zoomBy(Math.exp(-clamp(event.deltaY * (event.deltaMode ? 20 : 1), -120, 120) / 300), event) || zoom.z > 1 || event.ctrlKey) event.preventDefault();
  }

  // ---- keys

  function finishKeys() {
    if (drag?.kind !== "keys") return;
    const { edit } = drag;
    drag = null;
    send(edit);
  }

  const LETTERS = { a: "several", n: "minus", e: "erase", g: "grid", u: "upload", "?": "keys", "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", 0: "fit", Delete: "remove", Backspace: "remove" };
  const toolOf = Object.fromEntries(Object.entries(TOOLS).map(([name, [, key]]) => [key, name]));

  function keydown(event) {
    if (keys.open) return event.stopPropagation(); // its own: Tab, Enter and Escape
    if (dead()) return;
    const command = event.ctrlKey || event.metaKey, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let handled = true;
    if (command && key === "z") act(event.shiftKey ? "redo" : "undo");
    else if (command && key === "y") act("redo");
    else if (command || (event.target === brush && (key in ARROWS || key.length > 1))) handled = false;
    else if (event.target !== svg && (key === "Enter" || key === " ")) handled = false; // a button's own
    else if (key in toolOf) chooseTool(toolOf[key]);
    else if (key in LETTERS) act(LETTERS[key]);
    else if (key === "Escape") cancel();
    else if (!model.get("number")) handled = false;
    else if (key in ARROWS) arrow(ARROWS[key], event.shiftKey ? 10 : 1, event.altKey);
    else if (key === "Enter") enter(event);
    else if ((key === "[" || key === "]") && state.prompts.length) {
      const n = state.prompts.length, step = key === "[" ? -1 : 1;
      if (n > 1) send({ op: "select", index: (state.selected + step + n) % n });
    } else if (key === "<" || key === ">") {
      brush.value = +brush.value + (key === "<" ? -6 : 6);
      draw();
    } else if (key === " ") setHand(true);
    else handled = false;
    if (handled) event.preventDefault();
    if (handled) event.stopPropagation();
  }

  function arrow([x, y], step, resize) {
    const chosen = state.prompts[state.selected], op = resize ? "resize" : "move";
    if (!chosen || (resize && chosen.kind !== "box") || (drag && drag.kind !== "keys")) return;
    if (drag && drag.edit.op !== op) finishKeys();
    const { dx, dy } = drag?.edit ?? { dx: 0, dy: 0 };
    drag = { kind: "keys", edit: { op, dx: dx + x * step, dy: dy + y * step } };
    draw();
  }

  // Ask once more with the selected mark; where the tool has none, or with Shift, draw one in the middle of what is shown.
  function enter(event) {
    if (drag && drag.kind !== "keys") return;
    finishKeys();
    const kind = tool === "brush" || tool === "lasso" ? "mask" : tool;
    const own = state.prompts[state.selected]?.kind === kind || (kind === "point" && clicked() && !minus);
    if (own && !event.shiftKey) return send({ op: "ask" });
    const s = scale(), w = Math.min(stage.clientWidth / s, size()[0]) / 8, h = Math.min(stage.clientHeight / s, size()[1]) / 8;
    const a = inside([zoom.x - w, zoom.y - h]), b = inside([zoom.x + w, zoom.y + h]), at = where(event);
    if (tool === "point" && model.get("takes")) send({ op: "take", x: short(zoom.x), y: short(zoom.y), positive: !minus, alone: at.alone, further: clicked() && !at.alone });
    else if (tool === "point") send({ op: "add", prompt: { kind: "point", x: short(zoom.x), y: short(zoom.y) }, alone: at.alone });
    else if (tool === "box") send(boxEdit("add", a, b, at.alone));
    else if (tool === "brush") send({ op: "stroke", points: [inside([zoom.x, zoom.y])], radius: short(brush.value / 2 / s), erase: false, ...at });
    else send({ op: "lasso", points: [a, [b[0], a[1]], b, [a[0], b[1]]], erase: false, ...at });
  }

  function keyup(event) {
    if (event.key in ARROWS) finishKeys();
    if (event.key === " ") setHand(false);
  }

  function setHand(on) {
    hand = on;
    controls();
  }

  // ---- buttons

  function act(name) {
    const b = bar.querySelector(`[data-action="${name}"]`);
    if (dead() || b.hidden || b.getAttribute("aria-disabled") === "true") return;
    finishKeys();
    if (name === "zoom-in") zoomBy(1.5);
    else if (name === "zoom-out") zoomBy(1 / 1.5);
    else if (name === "fit") zoom.z = 1;
    else if (name === "erase") erasing = !erasing;
    else if (name === "grid") showGrid = !showGrid;
    else if (name === "upload") file.click();
    else if (name === "several") several = !several;
    else if (name === "minus") minus = !minus;
    else if (name === "ask") enter({ shiftKey: false });
    else if (name === "keys") keys.showModal();
    else send({ op: name });
    controls();
    draw();
  }

  function click(event) {
    const b = event.target.closest("button");
    if (b?.dataset.action) act(b.dataset.action);
    if (b?.dataset.tool && !dead()) chooseTool(b.dataset.tool);
  }

  function chooseTool(name) {
    drag?.kind === "keys" ? finishKeys() : cancel();
    tool = name;
    controls();
  }

  const take = (list) => {
    const photo = [...(list ?? [])].find((f) => f.type.startsWith("image/") || !f.type);
    if (photo && !dead()) upload(photo);
    return Boolean(photo);
  };
  const choose = (list) => {
    if (take(list)) return;
    notice = { text: "That is no photograph: choose a picture file.", error: true };
    say();
  };
  const dropped = (event) => {
    event.preventDefault();
    event.stopPropagation();
    stage.classList.toggle("foir-over", event.type === "dragover");
    if (event.type === "drop") choose(event.dataTransfer.files);
  };
  const pasted = (event) => take(event.clipboardData?.files) && event.preventDefault();
  const chosenFile = () => (choose(file.files), (file.value = ""));
  const scrolled = (event) => !svg.contains(event.target) && (outside = performance.now());
  const left = () => (finishKeys(), setHand(false));
  const unhover = () => ((hover = wondered = null), draw());
  const closed = () => keys.close();

  const listeners = [
    [svg, "pointerdown", down], [svg, "pointermove", move], [svg, "pointerup", up], [svg, "pointercancel", cancel],
    [svg, "wheel", wheel, { passive: false }], [el, "keydown", keydown], [el, "keyup", keyup], [el, "focusout", left], [svg, "pointerleave", unhover],
    [bar, "click", click], [done, "click", closed], [el, "dragover", dropped], [el, "dragleave", dropped], [el, "drop", dropped],
    [el, "paste", pasted], [file, "change", chosenFile], [document, "wheel", scrolled, { passive: true, capture: true }],
  ];
  for (const [target, name, listener, options] of listeners) target.addEventListener(name, listener, options);
  // JupyterLab marks the views of a kernel that went, but anywidget takes its listener away (0.11): once more.
  const disconnected = function () { // `this` is Jupyter's view
    el.classList.toggle("jupyter-widgets-disconnected", !this?.model?.comm_live);
    cancel();
    waiting();
  };
  const revealed = (about) => about.reveal && el.scrollIntoView({ block: "center" });
  const traits = { drawing: adopt, accepted: adopt, number: adopt, bases: adopt, answered: waiting, message: heard, grid: adopt, object: draw, hover: answered, takes: controls, label: controls };
  for (const [name, listener] of Object.entries(traits)) model.on(`change:${name}`, listener);
  model.on("comm_live_update", disconnected);
  model.on("msg:custom", revealed);
  const resized = new ResizeObserver(draw);
  resized.observe(stage);
  adopt();
  heard();
  controls();

  return () => {
    for (const [target, name, listener, options] of listeners) target.removeEventListener(name, listener, options);
    for (const [name, listener] of Object.entries(traits)) model.off(`change:${name}`, listener);
    model.off("comm_live_update", disconnected);
    model.off("msg:custom", revealed);
    resized.disconnect();
    cancelAnimationFrame(frame);
    clearInterval(timer);
    clearTimeout(later);
    for (const old of [url, ...bases.values()]) URL.revokeObjectURL(old);
  };
}

export default { render };
