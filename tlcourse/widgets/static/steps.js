// A native range control: keyboard, touch and screen readers treat it as any other slider.
export default {
  render({ model, el }) {
    keepKeys(el);
    const label = document.createElement("label");
    const name = document.createElement("span");
    const range = document.createElement("input");
    const shown = document.createElement("span");
    range.type = "range";
    range.min = 0;
    shown.setAttribute("aria-hidden", "true"); // the range control says it as its value
    label.append(name, range);
    el.classList.add("tlcourse-steps");
    el.append(label, shown);

    const say = () => {
      const text = model.get("labels")[range.valueAsNumber] ?? "";
      shown.textContent = text;
      range.setAttribute("aria-valuetext", text);
    };
    const update = () => {
      name.textContent = model.get("description");
      // The longest text has its place, so that the slider keeps its length while it is moved.
      const longest = Math.max(0, ...model.get("labels").map((text) => text.length));
      shown.style.minWidth = `max(${longest}ch, 6em)`;
      range.max = Math.max(model.get("labels").length - 1, 0);
      range.value = model.get("value");
      range.disabled = model.get("disabled");
      say();
    };
    range.addEventListener("input", () => {
      say();
      model.set("value", range.valueAsNumber);
      model.save_changes(); // while the kernel is busy, only the newest value waits
    });
    const names = ["value", "labels", "description", "disabled"];
    names.forEach((trait) => model.on(`change:${trait}`, update));
    update();
    return () => names.forEach((trait) => model.off(`change:${trait}`, update));
  },
};
