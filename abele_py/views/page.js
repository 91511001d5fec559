"use strict";
// Sliders and buttons of a page. All that they show is in the page already; without scripts it is shown at once.
document.documentElement.classList.add("scripts");
const all = (where, selector) => [...where.querySelectorAll(selector)];
const say = (input) => { input.closest("label").querySelector("output").value = input.value; };

for (const section of all(document, "#where")) {
  const map = section.querySelector(".map");
  const bytes = (text) => Int8Array.from(atob(text), (c) => c.charCodeAt(0));
  const values = bytes(map.dataset.values), areas = bytes(map.dataset.areas);
  const colors = map.dataset.colors.split(" ").map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  const [opacity, threshold, only] = ["opacity", "threshold", "areas"].map((c) => section.querySelector("input." + c));
  const canvas = Object.assign(document.createElement("canvas"), {width: map.width, height: map.height});
  canvas.width = map.getAttribute("width");
  canvas.height = map.getAttribute("height");
  const draw = () => {
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    (only.checked ? areas : values).forEach((value, i) => {
      const v = value / 127, at = (v + 1) / 2 * (colors.length - 1), low = Math.min(Math.floor(at), colors.length - 2);
      const shown = Math.abs(v) * 100 >= threshold.valueAsNumber;
      colors[low].forEach((c, j) => { image.data[4 * i + j] = Math.round(c + (at - low) * (colors[low + 1][j] - c)); });
      image.data[4 * i + 3] = shown ? Math.round(255 * Math.sqrt(Math.abs(v))) : 0;
    });
    context.putImageData(image, 0, 0);
    map.src = canvas.toDataURL();
  };
  opacity.addEventListener("input", () => { map.style.opacity = opacity.value / 100; say(opacity); });
  threshold.addEventListener("input", () => { draw(); say(threshold); });
  only.addEventListener("change", draw);
}

for (const card of all(document, ".card")) {
  const slider = card.querySelector("input.step");
  if (!slider) continue;
  const frames = all(card, ".path .frame"), big = card.querySelector(".viewer img"), play = card.querySelector(".play");
  const predicted = card.querySelector(".predicted"), cursor = card.querySelector(".cursor");
  const show = (i) => {
    slider.value = i;
    say(slider);
    frames.forEach((frame, j) => frame.classList.toggle("now", i === j));
    const image = frames[i].querySelector("img");
    big.src = image.src;
    big.alt = image.alt;
    predicted.replaceChildren(...[...frames[i].querySelector("figcaption").childNodes].map((n) => n.cloneNode(true)));
    if (cursor) {
      const [left, right] = [Number(cursor.dataset.left), Number(cursor.dataset.right)];
      cursor.style.transform = `translateX(${(left - right) * (1 - i / (frames.length - 1))}px)`;
    }
  };
  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(slider.valueAsNumber); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    let i = slider.valueAsNumber >= frames.length - 1 ? 0 : slider.valueAsNumber;
    play.textContent = "Stop";
    show(i);
    timer = setInterval(() => { i += 1; show(i); if (i >= frames.length - 1) stop(); }, 600);
  });
  frames.forEach((frame, i) => frame.addEventListener("click", () => { stop(); show(i); }));
}

for (const section of all(document, "#map")) {
  const groups = all(section, ".points"), buttons = all(section, "button");
  buttons.forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "false");
    const chosen = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.group);
    groups.forEach((g) => g.classList.toggle("dim", chosen.length > 0 && !chosen.includes(g.dataset.group)));
  }));
}

for (const link of all(document, "a[href^='#']")) {  // a strip may be folded away
  link.addEventListener("click", () => {
    const folded = document.getElementById(link.hash.slice(1))?.closest("details");
    if (folded) folded.open = true;
  });
}
addEventListener("beforeprint", () => all(document, "details").forEach((d) => { d.open = true; }));
