import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import { corners, inside, mix, normal, pixels, weightsAt } from "./mixture.mjs";

const SVG = "http://www.w3.org/2000/svg";
const RANGE = 3; // of a slider: the prior has 0.3 % beyond it
const find = (selector) => document.querySelector(selector);

ort.env.wasm.numThreads = 1; // more need headers that a plain server doesn't send
ort.env.wasm.wasmPaths = {
  wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};

async function start() {
  const [described, session] = await Promise.all([
    fetch("model.json").then((response) => response.json()),
    ort.InferenceSession.create("decode.onnx"),
  ]);
  const { num_components: K, latent_dim: d, image_shape: shape } = described;
  const [height, width, channels] = shape;
  const size = height * width * channels;
  const codes = new Float32Array(K * d);
  let place = [0, 0];
  let [isRunning, isAsked] = [false, false];

  function paint(canvas, image) {
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(new ImageData(pixels(image, channels), width, height), 0, 0);
  }

  // What is asked for while an image is computed is computed after it, but only the last of it.
  async function draw() {
    isAsked = true;
    document.body.dataset.state = "drawing";
    if (isRunning) return;
    isRunning = true;
    while (isAsked) {
      isAsked = false;
      const weights = weightsAt(place, K);
      const input = new ort.Tensor("float32", codes.slice(), [1, K, d]);
      const outputs = await session.run({ [session.inputNames[0]]: input });
      const images = outputs[session.outputNames[0]].data;
      canvases.forEach((canvas, k) => paint(canvas, images.subarray(k * size, (k + 1) * size)));
      paint(find("#mixture canvas"), mix(images, weights));
      find("#told").textContent = weights.map((weight) => weight.toFixed(2)).join(", ");
    }
    isRunning = false;
    document.body.dataset.state = "drawn";
  }

  const canvases = [];
  const sliders = [];
  for (let k = 0; k < K; k++) {
    const section = document.createElement("section");
    section.className = "component";
    section.innerHTML = `<h2>Component ${k + 1}</h2>`;
    canvases.push(section.appendChild(document.createElement("canvas")));
    for (let i = 0; i < d; i++) {
      const label = section.appendChild(document.createElement("label"));
      label.append(`${i + 1}`);
      const slider = label.appendChild(document.createElement("input"));
      const told = label.appendChild(document.createElement("output"));
      Object.assign(slider, { type: "range", min: -RANGE, max: RANGE, step: 0.01, value: 0 });
      slider.setAttribute("aria-label", `Component ${k + 1}, code ${i + 1}`);
      slider.addEventListener("input", () => {
        codes[k * d + i] = Number(slider.value);
        told.textContent = Number(slider.value).toFixed(2);
        draw();
      });
      told.textContent = "0.00";
      sliders.push(slider);
    }
    find("#components").append(section);
  }

  function setCodes(value) {
    for (const slider of sliders) {
      slider.value = value();
      slider.dispatchEvent(new Event("input"));
    }
  }

  const point = polygon(K);
  function setPlace(wanted) {
    place = inside(wanted, K);
    point.setAttribute("cx", place[0]);
    point.setAttribute("cy", place[1]);
    draw();
  }

  const weights = find("#weights");
  weights.addEventListener("pointerdown", (event) => {
    weights.setPointerCapture(event.pointerId);
    setPlace(under(event));
  });
  weights.addEventListener("pointermove", (event) => event.buttons && setPlace(under(event)));
  weights.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    setPlace([place[0] + 0.05 * step[0], place[1] + 0.05 * step[1]]);
  });
  find("#draw").addEventListener("click", () => setCodes(normal));
  find("#zero").addEventListener("click", () => setCodes(() => 0));
  find("#equal").addEventListener("click", () => setPlace([0, 0]));
  find("#status").hidden = true;
  setPlace(place);
}

/** Draw the polygon of the weights; return the point in it. */
function polygon(count) {
  const svg = find("#weights");
  const add = (name, attributes) => {
    const element = svg.appendChild(document.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  if (count > 1) add("polygon", { points: corners(count).map((each) => each.join(",")).join(" ") });
  corners(count).forEach(([x, y], k) => {
    if (count > 1) add("text", { x: 1.15 * x, y: 1.15 * y }).textContent = k + 1;
  });
  return add("circle", { r: 0.06 });
}

/** The place under the pointer, in the polygon's own measure. */
function under(event) {
  const matrix = find("#weights").getScreenCTM().inverse();
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
  return [x, y];
}

start().catch((error) => {
  find("#status").textContent = `The model could not be loaded: ${error.message}`;
  document.body.dataset.state = "failed";
});
