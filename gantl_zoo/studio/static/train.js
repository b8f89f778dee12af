// Train: drop images, check them, show the plan.
"use strict";

const AT_ONCE = 50, BYTES = 40 * 2 ** 20;
const drop = byId("drop"), form = byId("train"), MOST = Number(drop.dataset.most);

// Files with their paths, from dropped files and folders. Hidden files are left out, and more than a set holds.
async function dropped(data) {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);  // before any await
  if (!entries.some((entry) => entry.isDirectory)) return [...data.files].map((file) => ({ file, path: file.name }));
  const found = [];
  async function walk(entry, path) {
    if (entry.name.startsWith(".") || found.length > MOST) return;
    if (entry.isFile) {
      found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
      return;
    }
    const reader = entry.createReader();
    for (let some = [null]; some.length;) {
      some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      for (const one of some) await walk(one, `${path}/${one.name}`);
    }
  }
  try {
    for (const entry of entries) await walk(entry, entry.name);
  } catch (error) {
    report(`This folder can't be read: ${error.message}`, []);
    return [];
  }
  return found;
}

// The name of the folder that holds all files, and the paths below it.
function below(list) {
  const tops = new Set(list.map(({ path }) => path.includes("/") ? path.slice(0, path.indexOf("/")) : ""));
  const [title] = tops;
  if (tops.size !== 1 || !title) return { title: "", list };
  return { title, list: list.map(({ file, path }) => ({ file, path: path.slice(title.length + 1) })) };
}

function batches(files) {
  const found = [[]];
  let bytes = 0;
  for (const one of files) {
    const { file } = one;
    if (found.at(-1).length && (found.at(-1).length >= AT_ONCE || bytes + file.size > BYTES)) {
      found.push([]);
      bytes = 0;
    }
    found.at(-1).push(one);
    bytes += file.size;
  }
  return found;
}

async function send(files) {
  const { title, list: all } = below(files), list = all.slice(0, MOST), left = [];
  if (!all.length) return;
  if (all.length > MOST) left.push({ name: "Further files", why: `are left out: a set has at most ${MOST.toLocaleString("en")} images` });
  let set = "", folder = "", images = 0, sent = 0;
  for (const batch of batches(list)) {
    report(`Checking ${sent} of ${list.length} images…`, left);
    const body = new FormData();
    if (set) body.append("set", set);
    else if (title) body.append("title", title);
    for (const { file, path } of batch) {
      if (file.size > BYTES) left.push({ name: path, why: "it is larger than 40 MiB" });
      else body.append("images", file, path);
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
drop.addEventListener("drop", async (event) => { event.preventDefault(); send(await dropped(event.dataTransfer)); });
for (const id of ["files", "folder"]) {
  byId(id).addEventListener("change", (event) => {
    const chosen = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
    const hidden = (path) => path.split("/").slice(path.includes("/") ? 1 : 0).some((name) => name.startsWith("."));
    send(chosen.filter(({ path }) => !hidden(path)));
    event.target.value = "";  // so that the same choice can be made again
  });
}
byId("data").addEventListener("change", check);
byId("see").addEventListener("click", plan);
// a folder dropped beside the field must not replace the page
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
if (byId("data").value) check();
