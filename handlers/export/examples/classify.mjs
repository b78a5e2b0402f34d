// Classify an image with the model beside this file, in a browser or in Node.
//
//   npm install onnxruntime-web
//
//   import * as ort from "onnxruntime-web/wasm";
//   import { load, classify } from "./classify.mjs";
//   const model = await load(ort, "model.onnx", await (await fetch("model.json")).json());
//   const pixels = context.getImageData(0, 0, canvas.width, canvas.height);   // any ImageData: {data, width, height}
//   console.log(await classify(ort, model, pixels));
//
// model.json says how an image becomes the model's input, and what its outputs mean.

const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x) => {
      x = Math.abs(x);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// For each of `out` positions of a line: where its source pixels begin, and their weights.
function coefficients(from, length, total, out, filter) {
  const scale = length / out;
  const stretch = Math.max(scale, 1);
  const reach = filter.support * stretch;
  return Array.from({ length: out }, (_, position) => {
    const centre = from + (position + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(total, Math.trunc(centre + reach + 0.5));
    const weights = [];
    for (let x = first; x < end; x += 1) weights.push(filter.weight((x - centre + 0.5) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// The central square of the image, its side resampled to `size` pixels: red, green, blue, 0 to 255, over white.
export function resample({ data, width, height }, size, interpolation) {
  const side = Math.min(width, height);
  const left = Math.floor((width - side) / 2);
  const top = Math.floor((height - side) / 2);
  const nearest = (from, total) =>
    Array.from({ length: size }, (_, position) => {
      const first = Math.min(total - 1, from + Math.floor(((position + 0.5) * side) / size));
      return { first, weights: [1] };
    });
  const filter = FILTERS[interpolation];
  const columns = filter ? coefficients(left, side, width, size, filter) : nearest(left, width);
  const rows = filter ? coefficients(top, side, height, size, filter) : nearest(top, height);
  const wide = new Float32Array(height * size * 3);
  for (let y = 0; y < height; y += 1) {
    columns.forEach(({ first, weights }, x) => {
      for (let channel = 0; channel < 3; channel += 1) {
        let sum = 0;
        weights.forEach((weight, k) => {
          const at = (y * width + first + k) * 4;
          const alpha = data[at + 3] / 255;
          sum += weight * (data[at + channel] * alpha + 255 * (1 - alpha));
        });
        wide[(y * size + x) * 3 + channel] = Math.min(255, Math.max(0, Math.round(sum)));
      }
    });
  }
  const square = new Uint8Array(size * size * 3);
  rows.forEach(({ first, weights }, y) => {
    for (let x = 0; x < size * 3; x += 1) {
      let sum = 0;
      weights.forEach((weight, k) => (sum += weight * wide[(first + k) * size * 3 + x]));
      square[y * size * 3 + x] = Math.min(255, Math.max(0, Math.round(sum)));
    }
  });
  return square;
}

// What the model is given: the centre of the resampled square.
export function prepare(image, { resize, size, interpolation }) {
  const square = resample(image, resize, interpolation);
  const start = Math.floor((resize - size) / 2);
  const input = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y += 1) {
    const from = ((start + y) * resize + start) * 3;
    input.set(square.subarray(from, from + size * 3), y * size * 3);
  }
  return input;
}

// `source` is whatever onnxruntime-web takes: an address, or the bytes of model.onnx.
export async function load(ort, source, facts) {
  return { session: await ort.InferenceSession.create(source), facts };
}

export async function classify(ort, { session, facts }, image, topK = 5) {
  const { classes, preprocessing, readout, known_cosine: bound } = facts;
  const { size } = preprocessing;
  const tensor = new ort.Tensor("uint8", prepare(image, preprocessing), [1, size, size, 3]);
  const found = await session.run({ images: tensor });
  const { probabilities, prototype_cosines: nearest, known } = found;
  const scores = readout === "cnn" ? probabilities.data : nearest.data;
  const order = classes.map((_, index) => index).sort((a, b) => scores[b] - scores[a]);
  const answer = {
    predictions: order.slice(0, topK).map((index) => ({ class: classes[index], probability: probabilities.data[index] })),
  };
  if (bound !== null) answer.unknown = (known ? known.data[0] : Math.max(...nearest.data)) < bound;
  return answer;
}
