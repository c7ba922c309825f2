// Says every two seconds how each place is treated now.
"use strict";

const show = async () => {
  try {
    const { places, texts } = await (await fetch("/states")).json();
    for (const place of places) {
      const at = document.getElementById(place.id);
      at.dataset.refused = place.refused;
      at.querySelector("span").textContent = place.text;
    }
    document.getElementById("texts").replaceChildren(
      ...texts.slice(0, 6).map((text) => {
        const item = document.createElement("li");
        item.textContent = text;
        return item;
      }),
    );
  } catch {
    for (const at of document.querySelectorAll(".state span")) at.textContent = "the demo has ended";
    return;
  }
  setTimeout(show, 2000);
};
setTimeout(show, 2000);
