/** Queries on a mask: whether it contains a pixel, its pixels, its outline. */

/** @typedef {import("./wire.js").Mask} Mask */

/**
 * Whether the mask contains the pixel of a point.
 * @param {Mask} mask
 * @param {number} x In the mask space.
 * @param {number} y
 * @returns {boolean}
 */
export function covers(mask, x, y) {
  const column = Math.floor(x) - mask.x;
  const row = Math.floor(y) - mask.y;
  if (column < 0 || row < 0 || column >= mask.w || row >= mask.h) return false;
  const pixel = column * mask.h + row;
  let low = 0;
  let high = mask.ends.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (mask.ends[middle] > pixel) high = middle;
    else low = middle + 1;
  }
  return low % 2 === 1;
}

/**
 * The crop's pixels, column by column, 1 inside.
 * @param {Mask} mask
 * @returns {Uint8Array} w * h values.
 */
export function pixelsOf(mask) {
  const pixels = new Uint8Array(mask.w * mask.h);
  for (let run = 1; run < mask.ends.length; run += 2) pixels.fill(1, mask.ends[run - 1], mask.ends[run]);
  return pixels;
}

/** Steps to the next corner, by direction: right, down, left, up. */
const STEP_X = [1, 0, -1, 0];
const STEP_Y = [0, 1, 0, -1];
/** From a corner, the pixel ahead on the inner (right-hand) and on the outer (left-hand) side, by direction. */
const INNER = [[0, 0], [-1, 0], [-1, -1], [0, -1]];
const OUTER = [[0, -1], [0, 0], [-1, 0], [-1, -1]];

const INSIDE = 1;
const VISITED = 2;

/**
 * The outlines of a mask and of its holes, through the midpoints of pixel edges, which smooths stairs.
 * @param {Mask} mask
 * @param {number[]} toImage (scale_x, scale_y, offset_x, offset_y): x_image = scale_x * x + offset_x.
 * @returns {Float32Array} x, y, x, y… in image pixels, with a NaN pair after each closed line; to be filled with "evenodd".
 */
export function outlineOf(mask, toImage) {
  const stride = mask.h + 2;
  // One pixel of margin on each side, so that no neighbour needs a check.
  const raster = new Uint8Array((mask.w + 2) * stride);
  const at = (x, y) => (x + 1) * stride + y + 1;
  const tops = markColumns(mask, raster, at);
  const points = [];
  const [scaleX, scaleY, offsetX, offsetY] = toImage;
  for (const [left, top] of tops) {
    if (raster[at(left, top)] & VISITED) continue;
    let [x, y, direction, before] = [left, top, 0, -1];
    do {
      if (direction === 0) raster[at(x, y)] |= VISITED;
      const [middleX, middleY] = [x + STEP_X[direction] / 2, y + STEP_Y[direction] / 2];
      x += STEP_X[direction];
      y += STEP_Y[direction];
      const isInner = raster[at(x + INNER[direction][0], y + INNER[direction][1])] & INSIDE;
      const isOuter = raster[at(x + OUTER[direction][0], y + OUTER[direction][1])] & INSIDE;
      const next = isInner ? (isOuter ? (direction + 3) % 4 : direction) : (direction + 1) % 4;
      if (direction !== before || direction !== next) {
        points.push(scaleX * (mask.x + middleX) + offsetX, scaleY * (mask.y + middleY) + offsetY);
      }
      before = direction;
      direction = next;
    } while (x !== left || y !== top || direction !== 0);
    points.push(NaN, NaN);
  }
  return Float32Array.from(points);
}

/**
 * Write a mask into a raster and return the pixels inside it whose upper neighbour is not: every outline has one.
 * @param {Mask} mask
 * @param {Uint8Array} raster
 * @param {(x: number, y: number) => number} at
 * @returns {[number, number][]}
 */
function markColumns(mask, raster, at) {
  /** @type {[number, number][]} */
  const tops = [];
  for (let run = 1; run < mask.ends.length; run += 2) {
    let start = mask.ends[run - 1];
    const end = mask.ends[run];
    while (start < end) {
      // A run may continue at the top of the next column.
      const column = Math.floor(start / mask.h);
      const row = start - column * mask.h;
      const length = Math.min(end - start, mask.h - row);
      raster.fill(INSIDE, at(column, row), at(column, row) + length);
      tops.push([column, row]);
      start += length;
    }
  }
  return tops;
}
