export default {
  render({ model, el }) {
    keepKeys(el);
    const line = document.createElement("div");
    line.setAttribute("role", "status");
    line.style.minHeight = "1.5em"; // nothing jumps when it empties
    line.style.padding = "2px";
    line.style.color = "var(--jp-ui-font-color1, inherit)";
    el.append(line);
    const update = () => {
      line.textContent = model.get("value");
    };
    model.on("change:value", update);
    update();
    return () => model.off("change:value", update);
  },
};
