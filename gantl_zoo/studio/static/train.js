// Train: drop images, check them, show the plan.
"use strict";

const AT_ONCE = 50, BYTES = 40 * 2 ** 20;
const drop = byId("drop"), form = byId("train");

function batches(files) {
  const found = [[]];
  let bytes = 0;
  for (const file of files) {
    if (found.at(-1).length && (found.at(-1).length >= AT_ONCE || bytes + file.size > BYTES)) {
      found.push([]);
      bytes = 0;
    }
    found.at(-1).push(file);
    bytes += file.size;
  }
  return found;
}

async function send(files) {
  const list = [...files], left = [];
  let set = "", folder = "", images = 0, sent = 0;
  for (const batch of batches(list)) {
    report(`Checking ${sent} of ${list.length} images…`, left);
    const body = new FormData();
    if (set) body.append("set", set);
    for (const file of batch) {
      if (file.size > BYTES) left.push({ name: file.name, why: "it is larger than 40 MiB" });
      else body.append("images", file, file.name);
    }
    if (!body.has("images")) continue;
    let answer;
    try {
      answer = await fetch("/train/images", { method: "POST", body });
    } catch {
      return report("The studio does not answer.", left);
    }
    const result = answer.headers.get("content-type").includes("json") ? await answer.json() : { error: await answer.text() };
    if (!answer.ok) return report(result.error, left);
    if (result.name) ({ name: set, folder, images } = result);
    left.push(...result.left_out);
    sent += batch.length;
  }
  const many = left.length ? `, ${left.length} left out` : "";
  report(`${images} ${images === 1 ? "image" : "images"} received${many}`, left);
  if (!folder) return;
  byId("data").value = folder;
  await check();
}

function report(text, left) {
  const line = document.createElement("p");
  line.className = "note";
  line.textContent = text;
  const list = document.createElement("ul");
  list.className = "left-out";
  list.setAttribute("aria-label", "Left out");
  list.append(...left.map(({ name, why }) => {
    const item = document.createElement("li"), strong = document.createElement("strong");
    strong.textContent = name;
    item.append(strong, ` ${why}`);
    return item;
  }));
  byId("received").replaceChildren(line, ...(left.length ? [list] : []));
}

async function check() {
  if (!byId("data").value.trim()) return byId("check").replaceChildren();
  await fill(byId("check"), `/train/check?data=${encodeURIComponent(byId("data").value)}`);
}

async function plan() {
  byId("see").disabled = true;
  byId("plan").innerHTML = '<p class="quiet">Choosing a recipe and timing a few steps…</p>';
  await fill(byId("plan"), `/train/plan?${new URLSearchParams(new FormData(form))}`);
  byId("see").disabled = false;
}

for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); send(event.dataTransfer.files); });
byId("files").addEventListener("change", () => { if (byId("files").files.length) send(byId("files").files); });
byId("data").addEventListener("change", check);
byId("see").addEventListener("click", plan);
// a folder dropped beside the field must not replace the page
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
if (byId("data").value) check();
