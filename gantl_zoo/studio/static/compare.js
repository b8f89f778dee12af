// Compare: both models with the same seeds.
"use strict";

async function show() {
  const query = new URLSearchParams(new FormData(byId("compare")));
  history.replaceState(null, "", `/compare?${query}`);
  if (!await fill(byId("both"), `/compare/both?${query}`)) return;
  for (const [number, place] of [...document.querySelectorAll("[data-sheet]")].entries()) {
    const { sheet, seeds, label } = place.dataset;
    const canvases = expand(seeds).map(() => document.createElement("canvas"));
    place.replaceChildren(...canvases);
    try {
      await drawSheet(`side-${number}`, { model: sheet, seeds, ...(label ? { label } : {}) }, canvases);
    } catch (error) {
      place.textContent = error.message;
    }
  }
}

byId("compare").addEventListener("change", (event) => { if (!event.target.dataset.other) show(); });
byId("compare").addEventListener("submit", (event) => { event.preventDefault(); show(); });
show();
