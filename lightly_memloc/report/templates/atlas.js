"use strict";
(() => {
  const PAGE = 20;
  const { layers, images, units } = JSON.parse(document.getElementById("atlas-data").textContent);
  const [layer, sort, least, image, list, count, more] = [
    "layer", "sort", "least", "image", "units", "count", "more",
  ].map((id) => document.getElementById(id));
  const LAYER = 0, UNIT = 1, UNIT_MEM = 2, MU_MAX = 3, MU_REST = 4, OWN = 5, IMAGES = 6, ACTIVATIONS = 7;
  const orders = {
    highest: (a, b) => b[UNIT_MEM] - a[UNIT_MEM],
    lowest: (a, b) => a[UNIT_MEM] - b[UNIT_MEM],
    order: (a, b) => a[LAYER] - b[LAYER] || a[UNIT] - b[UNIT],
  };
  const won = new Map();
  for (const unit of units) won.set(images[unit[OWN]].name, (won.get(images[unit[OWN]].name) ?? 0) + 1);
  let chosen = [];
  let shown = 0;

  /** Make an element with text, never markup: names come from the data set. */
  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  /** Say on an image's button how many units it activates most. */
  function label(button) {
    const number = won.get(button.dataset.image) ?? 0;
    button.disabled = number === 0;
    button.textContent = number === 0 ? "no units" : number === 1 ? "its unit" : `its ${number} units`;
  }

  function picture(of, mu, isOwn) {
    const name = element("span", { className: "name", title: of.name }, of.name);
    const lines = [name, element("span", { className: `role ${of.role}` }, of.role)];
    lines.push(element("span", {}, `activation ${mu}`));
    if (of.sslMem !== null) {
      lines.push(element("span", {}, `SSLMem ${of.sslMem < 0 ? "" : "+"}${of.sslMem.toFixed(3)}`));
    }
    const thumbnail = of.picture
      ? element("img", { src: of.picture, alt: "" })
      : element("span", { className: "no-picture", ariaHidden: "true" }, "?");
    const holds = element("button", { type: "button" });
    holds.dataset.image = of.name;
    label(holds);
    const figure = element("figure", {}, thumbnail, element("figcaption", {}, ...lines), holds);
    return element("li", { className: isOwn ? "own" : "" }, figure);
  }

  function card(unit) {
    const meter = element("meter", { min: 0, max: 1, value: unit[UNIT_MEM], ariaLabel: "UnitMem" });
    const heading = element("h3", {}, `${layers[unit[LAYER]]}, unit ${unit[UNIT]}`);
    const numbers = element("p", {}, `UnitMem ${unit[UNIT_MEM].toFixed(3)} `, meter,
      ` activation ${unit[MU_MAX]} by its image, ${unit[MU_REST]} by the others`);
    const pictures = unit[IMAGES].map((at, rank) =>
      picture(images[at], unit[ACTIVATIONS][rank], at === unit[OWN]));
    return element("article", { className: "unit" }, heading, numbers, element("ol", {}, ...pictures));
  }

  function showMore() {
    list.append(...chosen.slice(shown, shown + PAGE).map(card));
    shown = Math.min(shown + PAGE, chosen.length);
    more.hidden = shown === chosen.length;
    count.textContent = `${chosen.length} of ${units.length} units, ${shown} shown`;
    if (!chosen.length) count.textContent += ": clear the filters to see more";
  }

  function filter() {
    const wanted = image.value.trim().toLowerCase();
    const names = images.map((of) => of.name.toLowerCase());
    // A whole name means that image, not another whose name it is part of.
    const matches = names.map(names.includes(wanted) ? (name) => name === wanted : (name) => name.includes(wanted));
    chosen = units.filter((unit) =>
      (layer.value === "" || unit[LAYER] === Number(layer.value)) &&
      unit[UNIT_MEM] >= Number(least.value) &&
      matches[unit[OWN]]);
    chosen.sort(orders[sort.value]);
    list.replaceChildren();
    shown = 0;
    showMore();
  }

  layer.append(...layers.map((name, at) => element("option", { value: String(at) }, name)));
  document.getElementById("filters").addEventListener("input", filter);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("filters").addEventListener("reset", () => setTimeout(filter));
  document.querySelectorAll("#images button").forEach(label);
  more.addEventListener("click", showMore);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-image]");
    if (!button) return;
    image.value = button.dataset.image;
    layer.value = "";
    least.value = "0";
    filter();
    document.getElementById("atlas").scrollIntoView();
  });
  filter();
})();
