// What the page computes by itself: the mixture, pixels, and weights from a place in a polygon.

/** The corners of a regular polygon, of a segment for two; y goes down, as on a screen. */
export function corners(count) {
  const first = count === 2 ? Math.PI : -Math.PI / 2;
  return Array.from({ length: count }, (_, k) => {
    const angle = first + (2 * Math.PI * k) / count;
    return [Math.cos(angle), Math.sin(angle)];
  });
}

/**
 * The weights of a place: Wachspress's coordinates in a regular polygon, which in a triangle are
 * the barycentric ones. Non-negative with sum 1, and 1 at a corner; written without divisions, so
 * that edges are no exception.
 */
export function weightsAt(place, count) {
  if (count === 1) return [1];
  if (count === 2) {
    const right = Math.min(Math.max((place[0] + 1) / 2, 0), 1);
    return [1 - right, right];
  }
  const polygon = corners(count);
  const distances = polygon.map((from, k) => {
    const to = polygon[(k + 1) % count];
    const area = (to[0] - from[0]) * (place[1] - from[1]) - (to[1] - from[1]) * (place[0] - from[0]);
    return Math.max(area, 0);
  });
  const products = polygon.map((_, k) =>
    distances.reduce(
      (product, distance, edge) =>
        edge === k || edge === (k + count - 1) % count ? product : product * distance,
      1,
    ),
  );
  const sum = products.reduce((a, b) => a + b);
  return products.map((product) => product / sum);
}

/** The place itself if it is in the polygon, or else the nearest in it. */
export function inside(place, count) {
  if (count < 3) return [Math.min(Math.max(place[0], -1), 1), 0];
  const polygon = corners(count);
  let best = null;
  let isInside = true;
  polygon.forEach((from, k) => {
    const to = polygon[(k + 1) % count];
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const [px, py] = [place[0] - from[0], place[1] - from[1]];
    if (dx * py - dy * px < 0) isInside = false;
    const along = Math.min(Math.max((px * dx + py * dy) / (dx * dx + dy * dy), 0), 1);
    const near = [from[0] + along * dx, from[1] + along * dy];
    const distance = Math.hypot(near[0] - place[0], near[1] - place[1]);
    if (best === null || distance < best.distance) best = { near, distance };
  });
  return isInside ? place : best.near;
}

/** The mean of the components' images by their weights. */
export function mix(images, weights) {
  const size = images.length / weights.length;
  const mixture = new Float32Array(size);
  weights.forEach((weight, k) => {
    for (let i = 0; i < size; i++) mixture[i] += weight * images[k * size + i];
  });
  return mixture;
}

/** An image of 1, 3 or more channels in [0, 1] as red, green, blue and alpha of 0 to 255. */
export function pixels(image, channels) {
  const count = image.length / channels;
  const rgba = new Uint8ClampedArray(4 * count); // rounds to the nearest
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) {
      rgba[4 * i + c] = 255 * image[channels * i + (channels < 3 ? 0 : c)];
    }
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

/** A draw from the standard normal distribution (Box and Muller). */
export function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
