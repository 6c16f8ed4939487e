// A line to speak with: Enter says it, arrows bring back what was said, and the focus comes back with the answer.
export default {
  render({ model, el }) {
    const input = document.createElement("input");
    el.classList.add("foir-sentence");
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    Object.assign(input, { type: "text", maxLength: 20000, autocomplete: "off", spellcheck: false });
    input.setAttribute("aria-label", "say something about what is marked");
    input.dataset.foir = "sentence";
    el.append(input);
    const said = [];
    let at = 0;

    function hint() {
      input.placeholder = model.get("placeholder");
    }

    function wait(waits) {
      input.readOnly = waits;
      el.dataset.busy = String(waits);
    }

    function recall(step) {
      at = Math.max(0, Math.min(said.length, at + step));
      input.value = said[at] ?? "";
    }

    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.isComposing || input.readOnly) return;
      if (event.key === "Enter" && input.value.trim()) {
        said.push(input.value);
        at = said.length;
        model.send({ say: input.value });
        input.value = "";
        wait(true);
      } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        event.preventDefault();
        recall(event.key === "ArrowUp" ? -1 : 1);
      }
    });

    function answered() {
      wait(false);
      input.focus({ preventScroll: true });
    }

    wait(false);
    hint();
    model.on("change:placeholder", hint);
    model.on("change:answered", answered);
    return () => {
      model.off("change:placeholder", hint);
      model.off("change:answered", answered);
    };
  },
};
