// The controls: they ask the worker for a picture. While it draws, only the latest wish waits.

import { addAttributes } from "./attributes.js";

const find = (id) => document.getElementById(id);
const LARGEST_SEED = 2 ** 32 - 1;
const SMALL = 256; // pictures below this side are shown with hard pixels

const worker = new Worker("worker.js", { type: "module" });
let facts, attributes, levels = [], isDrawing = false, isWaiting = false, asked = 0;

const seedOf = (field) => Math.min(LARGEST_SEED, Math.max(0, Math.trunc(Number(field.value)) || 0));
const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;

function settings() {
  return {
    seed: seedOf(find("seed")),
    other: seedOf(find("other")),
    truncation: Number(find("truncation").value),
    shares: levels.map((level) => Number(level.value)),
    label: attributes ? attributes.read() : Number(find("class").value) || 0,
  };
}

// In words, for the picture's name and for people who do not see it.
function describe({ seed, other, truncation, shares, label }) {
  const mixedLevels = levels.filter((_, index) => shares[index] > 0).map((level) => level.dataset.side);
  const mixing = mixedLevels.length ? `, mixed with seed ${other} at ${mixedLevels.join(", ")} px` : "";
  const labels = attributes ? `, ${attributes.text()}` : facts.classes ? `, ${facts.classes[label]}` : "";
  return `Picture of seed ${seed}${labels}, truncation ${truncation.toFixed(2)}${mixing}`;
}

function ask() {
  showValues();
  if (isDrawing) {
    isWaiting = true;
    return;
  }
  const wanted = settings();
  isDrawing = true;
  isWaiting = false;
  find("status").textContent = "Drawing …";
  find("picture").dataset.text = describe(wanted);
  keepInAddress(wanted);
  worker.postMessage({ kind: "draw", id: ++asked, ...wanted });
}

function showValues() {
  find("truncation-value").value = Number(find("truncation").value).toFixed(2);
  for (const level of levels) level.nextElementSibling.value = `${Math.round(100 * level.value)} %`;
}

function keepInAddress({ seed, other, truncation, shares, label }) {
  const words = new URLSearchParams({ seed, other, truncation, mix: shares.join(","), class: label });
  history.replaceState(null, "", `#${words}`);
}

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const id of ["seed", "other", "truncation"]) if (words.has(id)) find(id).value = words.get(id);
  if (words.has("class") && attributes) attributes.write(words.get("class").split(",").map(Number));
  else if (words.has("class")) find("class").value = words.get("class");
  (words.get("mix") ?? "").split(",").forEach((share, index) => {
    if (levels[index] && share !== "") levels[index].value = share;
  });
}

function addLevels() {
  for (let side = 4, number = 0; side <= facts.size; side *= 2, number++) {
    const row = document.createElement("div"), label = document.createElement("label");
    const slider = document.createElement("input"), value = document.createElement("output");
    row.className = "row";
    Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05, value: 0, id: `level-${number}` });
    slider.dataset.side = side;
    label.htmlFor = value.htmlFor = slider.id;
    label.textContent = `${side} px`;
    row.append(label, slider, value);
    find("levels").append(row);
    levels.push(slider);
  }
}

function start(found) {
  facts = found;
  document.title = find("title").textContent = facts.title;
  find("about").textContent = facts.about;
  find("licence").textContent = facts.licence;
  const canvas = find("picture");
  canvas.width = canvas.height = facts.size;
  canvas.classList.toggle("small", facts.size < SMALL);
  for (const [number, name] of (facts.classes ?? []).entries()) find("class").add(new Option(name, number));
  find("class-row").hidden = !facts.classes;
  if (facts.attributes) {
    attributes = addAttributes(find("attributes"), facts.attributes);
    attributes.write(facts.first);
  }
  addLevels();
  readAddress();
  find("loading").hidden = true;
  find("fields").disabled = false;
  ask();
}

function show(id, pixels) {
  const canvas = find("picture");
  canvas.getContext("2d").putImageData(new ImageData(pixels, facts.size, facts.size), 0, 0);
  canvas.setAttribute("aria-label", canvas.dataset.text);
  canvas.dataset.drawn = id;
  find("status").textContent = canvas.dataset.text;
  find("error").textContent = "";
  isDrawing = false;
  if (isWaiting) ask();
}

function fail(text) {
  isDrawing = false;
  find("loading").hidden = true;
  find("status").textContent = "";
  find("error").textContent = `This did not work: ${text}`;
}

worker.onmessage = ({ data }) => {
  if (data.kind === "progress") find("progress").value = data.share;
  else if (data.kind === "starting") find("progress-text").textContent = "Starting the model";
  else if (data.kind === "ready") start(data.facts);
  else if (data.kind === "picture") show(data.id, data.pixels);
  else fail(data.text);
};
worker.onerror = (event) => fail(event.message ?? "the worker could not be started");

function download() {
  find("picture").toBlob((blob) => {
    const link = document.createElement("a"), { seed } = settings();
    link.href = URL.createObjectURL(blob);
    link.download = `seed-${String(seed).padStart(6, "0")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}

find("controls").addEventListener("submit", (event) => event.preventDefault());
find("controls").addEventListener("input", ask);
find("download").addEventListener("click", download);
for (const [button, field] of [["random", "seed"], ["other-random", "other"]]) {
  find(button).addEventListener("click", () => {
    find(field).value = randomSeed();
    ask();
  });
}
find("unmix").addEventListener("click", () => {
  for (const level of levels) level.value = 0;
  ask();
});

worker.postMessage({ kind: "load" });
