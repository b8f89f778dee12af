// Explore: a wall of seeds, one chosen picture, two ends with a slider between, directions.
"use strict";

const COUNT = 24, DEPTH = 6;
const start = new URLSearchParams(location.search);
const state = {
  seeds: start.get("seeds") || byId("explore").dataset.wall, chosen: "", a: "", b: "",
  truncation: "1", label: "", moves: {}, past: [],
};
const model = () => byId("model").value;

function parameters(seeds) {
  const move = Object.entries(state.moves).filter(([, value]) => Number(value)).map((pair) => pair.join(":")).join(",");
  const all = { model: model(), seeds, truncation: state.truncation, label: state.label, move };
  if (move) all.method = byId("method").value;
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
}

function layWall() {
  const texts = expand(state.seeds), wall = byId("wall");
  if (!texts.includes(state.chosen) && !state.chosen.includes("_")) state.chosen = texts[0] || "0";
  wall.replaceChildren(...texts.map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.text = text;
    button.setAttribute("aria-label", nameOf(text));
    button.append(document.createElement("canvas"));
    return button;
  }));
  byId("seeds").value = state.seeds;
  byId("back").disabled = !state.past.length;
  mark();
}

function mark() {
  for (const button of byId("wall").children) {
    const mine = button.dataset.text === state.chosen;
    button.setAttribute("aria-pressed", mine);
    button.tabIndex = mine ? 0 : -1;
  }
  if (byId("wall").firstElementChild && !byId("wall").querySelector("[tabindex='0']")) byId("wall").firstElementChild.tabIndex = 0;
  const mix = state.chosen.includes("_");
  byId("chosen-name").textContent = nameOf(state.chosen);
  byId("chosen").setAttribute("aria-label", nameOf(state.chosen));
  byId("use-a").disabled = byId("use-b").disabled = mix;
  byId("like").disabled = mix || state.chosen.split("~").length > DEPTH;
  byId("between").disabled = !(state.a && state.b);
  document.querySelectorAll("[data-save]").forEach((link) => {
    const seeds = link.dataset.save === "picture" ? state.chosen : state.seeds;
    link.href = `/explore/save/${link.dataset.save}?${new URLSearchParams(parameters(seeds))}`;
  });
  const address = new URLSearchParams({ model: model(), seeds: state.seeds });
  history.replaceState(null, "", `/explore?${address}`);
}

async function draw(view, seeds, canvases) {
  try {
    if (await drawSheet(view, parameters(seeds), canvases)) byId("wall-error").replaceChildren();
  } catch (error) {
    const text = document.createElement("p");
    text.className = "alert";
    text.setAttribute("role", "alert");
    text.textContent = error.message;
    byId("wall-error").replaceChildren(text);
  }
}

async function drawChosen() {
  await draw("chosen", state.chosen, [byId("chosen")]);
  const large = byId("chosen"), again = byId("chosen-again");  // on a phone, above the directions
  Object.assign(again, { width: large.width, height: large.height });
  again.className = large.className;
  again.getContext("2d").drawImage(large, 0, 0);
}
const drawWall = () => draw("wall", state.seeds, [...byId("wall").querySelectorAll("canvas")]);
function drawEnds() {
  for (const end of ["a", "b"]) if (state[end]) draw(`end-${end}`, state[end], [byId(`end-${end}`)]);
}

// After a move the chosen picture comes first, then the rest.
function redraw() {
  mark();
  drawChosen();
  clearTimeout(redraw.timer);
  redraw.timer = setTimeout(() => { drawWall(); drawEnds(); }, 80);
}

function go(seeds) {
  state.past.push(state.seeds);
  state.seeds = seeds;
  layWall();
  drawWall();
  drawChosen();
}

async function show() {
  state.moves = {};
  state.truncation = "1";
  state.label = "";
  layWall();
  const query = `model=${encodeURIComponent(model())}`;
  if (!await fill(byId("about"), `/explore/model?${query}`) || byId("about").querySelector(".alert")) {
    byId("moves").replaceChildren();
    return;
  }
  await Promise.all([drawWall(), drawChosen()]);
  drawEnds();
  fill(byId("moves"), `/explore/directions?${query}&method=${byId("method").value}`);
}

byId("model").addEventListener("change", show);
byId("model-form").addEventListener("submit", (event) => event.preventDefault());
byId("method").addEventListener("change", () => {
  state.moves = {};
  redraw();
  fill(byId("moves"), `/explore/directions?model=${encodeURIComponent(model())}&method=${byId("method").value}`);
});

byId("wall").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  state.chosen = button.dataset.text;
  mark();
  drawChosen();
});

byId("wall").addEventListener("keydown", (event) => {
  const tiles = [...byId("wall").children], here = tiles.indexOf(document.activeElement);
  const columns = getComputedStyle(byId("wall")).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (here < 0 || !step || !tiles[here + step]) return;
  event.preventDefault();
  tiles[here + step].focus();
  tiles[here + step].click();
});

byId("seeds").addEventListener("change", () => go(byId("seeds").value.trim() || byId("explore").dataset.wall));
byId("more").addEventListener("click", () => {
  const last = Math.max(...expand(state.seeds).map((text) => parseInt(text, 10)), -1) + 1;
  go(`${last}-${last + COUNT - 1}`);
});
byId("back").addEventListener("click", () => {
  state.seeds = state.past.pop();
  layWall();
  drawWall();
  drawChosen();
});
byId("like").addEventListener("click", () => {
  const own = state.chosen;
  go([own, ...Array.from({ length: COUNT - 1 }, (_, i) => `${own}~${i + 1}`)].join(","));
  say(`Variations of ${nameOf(own).toLowerCase()}.`);
});

for (const end of ["a", "b"]) {
  byId(`use-${end}`).addEventListener("click", () => {
    state[end] = state.chosen;
    byId(`end-${end}`).setAttribute("aria-label", `${end.toUpperCase()}: ${nameOf(state[end])}`);
    mark();
    drawEnds();
  });
}

document.addEventListener("input", (event) => {
  const { id, value, dataset } = event.target;
  if (byId(`${id}-value`)) byId(`${id}-value`).textContent = id === "between" ? `${value} %` : value;
  if (id === "between") {
    state.chosen = `${state.a}_${state.b}_${value}`;
    mark();
    drawChosen();
  } else if (id === "truncation" || id === "label") {
    state[id] = value;
    redraw();
  } else if (dataset.move !== undefined) {
    state.moves[dataset.move] = value;
    redraw();
  }
});

document.addEventListener("click", (event) => {
  if (event.target.id !== "reset") return;
  state.moves = {};
  document.querySelectorAll("[data-move]").forEach((slider) => {
    slider.value = 0;
    byId(`${slider.id}-value`).textContent = "0";
  });
  redraw();
});

show();
