// Physical memory on a canvas: a pixel row for each pageblock, a click says which page frame.
export default {
  render({ model, el }) {
    const canvas = document.createElement("canvas");
    canvas.className = "secretjax-map";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Map of physical memory: click on a page");
    canvas.style.cssText = "width:100%;max-width:1024px;image-rendering:pixelated;cursor:crosshair";
    el.appendChild(canvas);
    const draw = () => {
      const wide = model.get("wide");
      const bytes = new Uint8Array(model.get("pages").buffer);
      const palette = model.get("palette").map((c) => parseInt(c.slice(1), 16));
      canvas.width = wide;
      canvas.height = Math.max(bytes.length / wide, 1);
      canvas.style.height = `${Math.min(3 * canvas.height, 900)}px`;
      const pixels = new ImageData(canvas.width, canvas.height);
      bytes.forEach((kind, k) => {
        const colour = palette[kind];
        pixels.data.set([colour >> 16, (colour >> 8) & 255, colour & 255, 255], 4 * k);
      });
      canvas.getContext("2d").putImageData(pixels, 0, 0);
    };
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
      const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
      model.set("picked", y * canvas.width + x);
      model.save_changes();
    });
    model.on("change:pages", draw);
    draw();
  },
};
