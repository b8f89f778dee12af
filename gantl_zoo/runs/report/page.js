
for (const section of document.querySelectorAll(".frames")) {
  const pictures = [...section.querySelectorAll("img")];
  const caption = section.querySelector(".caption");
  section.querySelector("input").addEventListener("input", (event) => {
    pictures.forEach((picture, i) => { picture.hidden = i !== Number(event.target.value); });
    caption.textContent = pictures[event.target.value].dataset.caption;
  });
}
