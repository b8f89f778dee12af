// What all pages share: messages, parts that renew themselves, copying, choosing another model.
"use strict";

const byId = (id) => document.getElementById(id);

function say(text) {
  byId("status").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { byId("status").textContent = ""; }, 6000);
}

// The newest answer for `place`; an older request is dropped. Null if it was dropped or is empty.
const waiting = new Map();
async function newest(place, address, options = {}) {
  waiting.get(place)?.abort();
  const control = new AbortController();
  waiting.set(place, control);
  try {
    const answer = await fetch(address, { ...options, signal: control.signal });
    return waiting.get(place) === control && answer.status !== 204 ? answer : null;
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  }
}

// Fill an element with a part of a page.
async function fill(element, address, options) {
  element.setAttribute("aria-busy", "true");
  try {
    const answer = await newest(element.id, address, options);
    if (!answer) return false;
    element.innerHTML = await answer.text();
    element.setAttribute("aria-busy", "false");
    return answer.ok;
  } catch (error) {
    if (error.name === "AbortError") return false;
    element.setAttribute("aria-busy", "false");
    say("The studio does not answer.");
    return false;
  }
}

// Parts that renew themselves. A run goes on without the studio, so they wait until it answers again.
function live(element) {
  let shown = "", lost = false;
  const every = Number(element.dataset.every);
  const next = (pause) => setTimeout(renew, pause);
  async function renew() {
    if (document.hidden) return next(every);
    try {
      const answer = await fetch(element.dataset.live);
      const text = await answer.text();
      if (lost) say("The studio answers again.");
      lost = false;
      if (text !== shown) swap(element, text);
      shown = text;
    } catch {
      if (!lost) say("The studio does not answer. A run goes on without it.");
      lost = true;
      return next(every * 2);
    }
    const go = element.querySelector("[data-go]");
    if (go) return location.replace(go.dataset.go);
    if (!element.querySelector("[data-done]")) next(every);
  }
  next(element.querySelector("[data-done]") ? every * 5 : 0);
}

function swap(element, text) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...element.querySelectorAll("details[open][id]")].map((one) => one.id);
  element.innerHTML = text;
  open.forEach((id) => byId(id)?.setAttribute("open", ""));
  if (focused) byId(focused)?.focus();
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.parentElement.querySelector("code").textContent);
    say("Copied.");
  }
  const take = event.target.closest("[data-take]");
  if (take) takeModel(take.dataset.take);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.dataset.other) {
    event.preventDefault();
    takeModel(event.target.dataset.other);
  }
});

// Choose the model whose name was typed.
function takeModel(id) {
  const select = byId(id), name = byId(`${id}-other`).value.trim();
  if (!name) return;
  if (![...select.options].some((option) => option.value === name)) select.add(new Option(name, name));
  select.value = name;
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

document.querySelectorAll("[data-live]").forEach(live);
