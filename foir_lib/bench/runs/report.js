// Buttons that put a table's text, LaTeX or CSV, on the clipboard, and a hint above tables wider than the page; shown only where this script runs.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // a browser that has no clipboard for files
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.nextElementSibling.textContent = done ? "copied" : "not copied: select it in the file";
    setTimeout(() => { button.nextElementSibling.textContent = ""; }, 2500);
  });
}
const widths = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth + 1;
  }
});
for (const scroll of document.querySelectorAll(".scroll")) {
  widths.observe(scroll);
}
