// Placed before each of the other scripts.
// JupyterLab takes arrow keys for itself, to go from cell to cell, unless the element that has the
// focus says that it needs them. All controls of an explorer do.
function keepKeys(el) {
  const mark = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  const watch = new ResizeObserver(() => {
    const whole = el.closest(".tlcourse-widget") ?? el;
    whole.addEventListener("focusin", mark);
    watch.disconnect();
  });
  watch.observe(el); // answers as soon as the element has its place in the page
}

