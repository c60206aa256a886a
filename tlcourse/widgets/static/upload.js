// A button that sends a file in pieces: Jupyter cuts the connection at a message above 10 MB.
const PIECE = 1 << 20; // bytes

export default {
  render({ model, el }) {
    keepKeys(el);
    const button = document.createElement("button");
    const input = document.createElement("input");
    button.type = "button";
    button.className = "jupyter-button";
    button.style.padding = "0 1em";
    input.type = "file";
    input.hidden = true;
    el.append(button, input);

    let file = null;
    const update = () => {
      button.textContent = model.get("description");
      button.disabled = model.get("disabled");
      input.accept = model.get("accept");
    };
    const send = async (offset) => {
      button.textContent = `Reading: ${Math.floor((100 * offset) / (file.size || 1))} %`;
      button.disabled = true;
      const { name, size } = file;
      try {
        const piece = await file.slice(offset, offset + PIECE).arrayBuffer();
        model.send({ name, size, offset }, undefined, [piece]);
      } catch (error) {
        file = null; // it was moved or changed meanwhile
        update();
        model.send({ name, failed: error.message });
      }
    };
    const hear = (answer) => {
      if (file === null) return; // another view of this button asked
      if (answer.next !== undefined) return void send(answer.next);
      file = null;
      update();
    };
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      if (!input.files.length) return;
      file = input.files[0];
      input.value = ""; // so that the same file can be chosen again
      send(0);
    });
    const names = ["description", "disabled", "accept"];
    names.forEach((trait) => model.on(`change:${trait}`, update));
    model.on("msg:custom", hear);
    update();
    return () => {
      names.forEach((trait) => model.off(`change:${trait}`, update));
      model.off("msg:custom", hear);
    };
  },
};
