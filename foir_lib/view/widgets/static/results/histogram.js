// A histogram whose bars are buttons: a click or Enter chooses one, with Shift all up to it; again, or Escape, lets go.
export default {
  render({ model, el }) {
    el.classList.add("foir-histogram");
    const bars = document.createElement("div");
    bars.className = "bars";
    bars.setAttribute("role", "toolbar");
    el.append(bars);
    let anchor = 0;

    function bar() {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.lmSuppressShortcuts = "true"; // or JupyterLab's keys would work here
      for (const name of ["count", "block", "label"]) button.appendChild(document.createElement("span")).className = name;
      return bars.appendChild(button);
    }
    function write() {
      const list = model.get("bars"), chosen = model.get("chosen");
      const most = Math.max(1, ...list.map((one) => one.n));
      bars.setAttribute("aria-label", model.get("label"));
      while (bars.children.length > list.length) bars.lastElementChild.remove();
      list.forEach((one, i) => {
        const button = bars.children[i] ?? bar(), [count, block, label] = button.children;
        button.dataset.bar = i;
        button.dataset.sign = Math.sign(one.at);
        button.tabIndex = i === Math.min(anchor, list.length - 1) ? 0 : -1;
        button.title = `${one.words}: ${one.n}`;
        button.setAttribute("aria-label", button.title);
        button.setAttribute("aria-pressed", String(chosen.includes(one.at)));
        count.textContent = one.n || "";
        block.style.height = `${one.n ? Math.max(2, (46 * one.n) / most) : 0}px`;
        label.textContent = one.label;
      });
      bars.toggleAttribute("data-chosen", chosen.length > 0);
    }
    function choose(i, extend) {
      const list = model.get("bars"), chosen = model.get("chosen"), at = list[i].at;
      const [low, high] = [Math.min(anchor, i), Math.max(anchor, i)];
      const alone = chosen.length === 1 && chosen[0] === at;
      model.set("chosen", extend ? list.slice(low, high + 1).map((one) => one.at) : alone ? [] : [at]);
      model.save_changes();
      if (!extend) anchor = i;
      write();
    }
    bars.addEventListener("click", (event) => {
      const button = event.target.closest("[data-bar]");
      if (button) choose(Number(button.dataset.bar), event.shiftKey);
    });
    bars.addEventListener("keydown", (event) => {
      const i = Number(event.target.closest("[data-bar]")?.dataset.bar), last = bars.children.length - 1;
      const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") {
        model.set("chosen", []);
        model.save_changes();
        write();
      } else if (to === undefined) return;
      event.preventDefault();
      if (to === undefined || to < 0 || to > last) return;
      [...bars.children].forEach((one, j) => (one.tabIndex = j === to ? 0 : -1));
      bars.children[to].focus();
      if (event.shiftKey) choose(to, true);
      else anchor = to;
    });
    const changes = { "change:bars": write, "change:chosen": write, "change:label": write };
    for (const [name, listener] of Object.entries(changes)) model.on(name, listener);
    write();
    return () => Object.entries(changes).forEach(([name, listener]) => model.off(name, listener));
  },
};
