// Sheets of pictures: fetched as one PNG, drawn on one canvas each.
"use strict";

let turn = 0;
const page = Math.random().toString(36).slice(2);  // so that two open pages do not drop each other's requests
const newestTurn = new Map(), drawing = new Map();  // by view

// Draw the pictures of a view on canvases. False if a newer call has replaced this one.
// A view has one request at a time: while a slider moves, each answer is drawn and then the newest state requested.
async function drawSheet(view, parameters, canvases) {
  const mine = ++turn;
  newestTurn.set(view, mine);
  while (drawing.has(view)) {
    await drawing.get(view);
    if (newestTurn.get(view) !== mine) return false;
  }
  const work = drawNow(new URLSearchParams({ ...parameters, view: `${page}-${view}`, turn: mine }), canvases);
  drawing.set(view, work.catch(() => {}));
  try {
    return await work;
  } finally {
    drawing.delete(view);
  }
}

async function drawNow(query, canvases) {
  const answer = await fetch(`/explore/sheet.png?${query}`);
  if (answer.status === 204) return false;
  if (!answer.ok) throw new Error((await answer.json()).error);
  const columns = Number(answer.headers.get("X-Columns"));
  const sheet = await createImageBitmap(await answer.blob());
  const rows = Math.ceil(canvases.length / columns), width = sheet.width / columns, height = sheet.height / rows;
  canvases.forEach((canvas, number) => {
    canvas.width = width;
    canvas.height = height;
    canvas.classList.toggle("small", width <= 64);
    canvas.getContext("2d").drawImage(
      sheet, (number % columns) * width, Math.floor(number / columns) * height, width, height, 0, 0, width, height);
  });
  return true;
}

// The texts that a list of seeds means; as in points.py.
function expand(text) {
  return text.split(",").flatMap((part) => {
    const limits = part.trim().match(/^(\d+)-(\d+)$/);
    if (!limits) return part.trim() ? [part.trim()] : [];
    const [first, last] = [Number(limits[1]), Number(limits[2])];
    return last < first ? [] : Array.from({ length: Math.min(100, last - first + 1) }, (_, i) => String(first + i));
  });
}

function nameOf(text) {
  const [first, second, percent] = text.split("_");
  const plain = (one) => one.includes("~") ? `seed ${one.split("~")[0]}, variation ${one.split("~").slice(1).join(".")}` : `seed ${one}`;
  const name = second ? `${percent} % from ${plain(first)} to ${plain(second)}` : plain(first);
  return name[0].toUpperCase() + name.slice(1);
}
