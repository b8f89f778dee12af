// Share: the preview of the card, and the push.
"use strict";

const form = byId("share");
const values = () => new URLSearchParams(new FormData(form));
const preview = () => fill(byId("card"), `/share/card?${values()}`);

byId("preview").addEventListener("click", preview);
form.addEventListener("change", (event) => { if (!event.target.dataset.other) preview(); });
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("push").disabled = true;
  byId("pushed").innerHTML = '<p class="quiet">Pushing…</p>';
  await fill(byId("pushed"), "/share/push", { method: "POST", body: values() });
  byId("push").disabled = false;
});
preview();
