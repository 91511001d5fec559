"use strict";
// Filters and order of the list of images. Without scripts the whole list is shown, by number.
document.documentElement.classList.add("scripts");
const all = (where, selector) => [...where.querySelectorAll(selector)];

for (const section of all(document, "#images")) {
  const body = section.querySelector("tbody"), rows = all(body, "tr"), count = section.querySelector(".count");
  const filters = all(section, "select.filter"), order = section.querySelector("select.order");
  const has = (row, by, value) => (row.dataset[by] ?? "").split(by === "notes" ? " " : "\n").includes(value);
  const show = () => {
    const wanted = filters.filter((f) => f.value !== "").map((f) => [f.dataset.by, f.value]);
    rows.forEach((row) => { row.hidden = !wanted.every(([by, value]) => has(row, by, value)); });
    count.value = rows.filter((row) => !row.hidden).length.toLocaleString("en");
  };
  filters.forEach((f) => f.addEventListener("change", show));
  order.addEventListener("change", () => {
    const key = (row) => Number(row.dataset[order.value] ?? Infinity);
    const sorted = rows.map((row, i) => [key(row), i, row]).sort((a, b) => (a[0] - b[0] || a[1] - b[1]));
    body.append(...sorted.map(([, , row]) => row));
  });
  show();
  // A link to an image that the filters hide shows it.
  addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (!row || !row.hidden) return;
    filters.forEach((f) => { f.value = ""; });
    show();
    row.scrollIntoView();
  });
}

addEventListener("beforeprint", () => all(document, "details").forEach((d) => { d.open = true; }));
