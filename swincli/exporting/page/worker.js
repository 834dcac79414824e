// Runs the model in a thread of its own: z -> w by mapping.onnx, w+ -> picture by synthesis.onnx.

import * as ort from "./runtime/ort.js";
import { latentOf } from "./latents.js";

const KEPT = 16; // codes w that are kept

let facts, mapping, synthesis;
const kept = new Map();

// A file's bytes; `advance` is told of each piece.
async function fetchBytes(path, advance) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} could not be loaded (${answer.status})`);
  const pieces = [], reader = answer.body.getReader();
  let length = 0;
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    pieces.push(value);
    length += value.length;
    advance(value.length);
  }
  const bytes = new Uint8Array(length);
  pieces.reduce((start, piece) => (bytes.set(piece, start), start + piece.length), 0);
  return bytes;
}

async function load() {
  facts = await (await fetch("model.json")).json();
  const total = Object.values(facts.bytes).reduce((sum, size) => sum + size, 0);
  let done = 0;
  const advance = (size) => postMessage({ kind: "progress", share: (done += size) / total });
  const names = ["runtime/ort.wasm", "mapping.onnx", "synthesis.onnx"];
  const [runtime, first, second] = await Promise.all(names.map((name) => fetchBytes(name, advance)));
  postMessage({ kind: "starting" });
  ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send
  ort.env.wasm.wasmBinary = runtime;
  ort.env.logLevel = "error";
  mapping = await ort.InferenceSession.create(first, { executionProviders: ["wasm"] });
  synthesis = await ort.InferenceSession.create(second, { executionProviders: ["wasm"] });
  postMessage({ kind: "ready", facts });
}

const scalar = (value) => new ort.Tensor("float32", [value], []);

async function mapped(seed, truncation, label) {
  const key = `${seed} ${truncation} ${label}`;
  if (!kept.has(key)) {
    const length = facts.latent_dim;
    const given = { z: new ort.Tensor("float32", latentOf(seed, length), [1, length]), truncation: scalar(truncation) };
    if (facts.classes) given.label = new ort.Tensor("int64", [BigInt(label)], [1]);
    if (facts.attributes) given.label = new ort.Tensor("float32", label, [1, label.length]);
    const { w } = await mapping.run(given);
    kept.set(key, w.data);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }
  return kept.get(key);
}

// Each level has two codes; `shares` says how much of them comes from the second seed.
function mixed(one, other, shares) {
  const length = facts.latent_dim, codes = new Float32Array(facts.num_ws * length);
  for (let code = 0; code < facts.num_ws; code++) {
    const share = shares[code >> 1];
    for (let i = 0; i < length; i++) codes[code * length + i] = one[i] + share * (other[i] - one[i]);
  }
  return codes;
}

async function draw({ id, seed, other, truncation, shares, label }) {
  const one = await mapped(seed, truncation, label);
  const two = shares.some((share) => share > 0) ? await mapped(other, truncation, label) : one;
  const codes = new ort.Tensor("float32", mixed(one, two, shares), [1, facts.num_ws, facts.latent_dim]);
  const all = new ort.Tensor("int64", [BigInt(facts.num_ws)], []);
  const { image } = await synthesis.run({ w_plus: codes, truncation: scalar(1), truncation_layers: all });
  const area = facts.size ** 2, pixels = new Uint8ClampedArray(4 * area);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) pixels[4 * i + channel] = Math.round(255 * image.data[channel * area + i]);
    pixels[4 * i + 3] = 255;
  }
  postMessage({ kind: "picture", id, pixels }, [pixels.buffer]);
}

onmessage = async ({ data }) => {
  try {
    await (data.kind === "load" ? load() : draw(data));
  } catch (error) {
    postMessage({ kind: "error", text: String(error.message ?? error) });
  }
};
