/** Which object a click selects: the rule of `streamseg.prompting.points` for a single point. */

import { covers } from "./mask.js";

/** @typedef {import("./frame.js").FrameObject} FrameObject */

/** Constants of the rule; the tests compare them with those in Python. */
export const RULE = {
  sizeWeight: 1.2,
  centreWeight: 4,
  centreRadii: [0.2, 0.3, 0.4],
  centreDirections: 8,
  minShare: 1e-3,
  temperature: 0.85,
  mutualRaster: 16,
};

const TURNS = Array.from({ length: RULE.centreDirections }, (_, turn) => (turn * 2 * Math.PI) / RULE.centreDirections);
const OFFSETS = RULE.centreRadii.flatMap((radius) => TURNS.map((turn) => [radius * Math.cos(turn), radius * Math.sin(turn)]));

/**
 * The objects, that with the highest expected IoU with what is meant first. A good score counts, a small size, that the
 * point is in the middle, and resemblance to other likely objects.
 * @param {FrameObject[]} objects Objects that contain the point.
 * @param {number[]} toImage Transform from the mask space.
 * @param {number} x In the mask space.
 * @param {number} y
 * @returns {FrameObject[]}
 */
export function likeliestFirst(objects, toImage, x, y) {
  if (objects.length < 2) return objects;
  const ratings = objects.map((found) => ratingOf(found, toImage, x, y));
  const best = Math.max(...ratings);
  const weights = ratings.map((rating) => Math.exp((rating - best) / RULE.temperature));
  const expected = weights.slice(); // each has an IoU of 1 with itself
  for (let one = 0; one < objects.length; one++) {
    for (let other = one + 1; other < objects.length; other++) {
      const iou = iouOf(objects[one], objects[other]);
      expected[one] += iou * weights[other];
      expected[other] += iou * weights[one];
    }
  }
  const order = objects.map((_, row) => row).sort((one, other) => expected[other] - expected[one]);
  return order.map((row) => objects[row]);
}

/**
 * IoU of two masks; the tiles of the smaller crop are looked up in both.
 * @param {FrameObject} one @param {FrameObject} other
 */
function iouOf(one, other) {
  const [small, large] = one.mask.w * one.mask.h > other.mask.w * other.mask.h ? [other, one] : [one, other];
  const [stepX, stepY] = [small.mask.w / RULE.mutualRaster, small.mask.h / RULE.mutualRaster];
  let numShared = 0;
  for (let column = 0.5; column < RULE.mutualRaster; column++) {
    for (let row = 0.5; row < RULE.mutualRaster; row++) {
      const [x, y] = [small.mask.x + column * stepX, small.mask.y + row * stepY];
      if (covers(large.mask, x, y) && covers(small.mask, x, y)) numShared++;
    }
  }
  const shared = numShared * stepX * stepY;
  return Math.min(shared / Math.max(one.area + other.area - shared, 1e-6), 1);
}

/** @param {FrameObject} found @param {number[]} toImage @param {number} x @param {number} y */
function ratingOf({ score, area, mask }, [scaleX, scaleY], x, y) {
  const share = Math.min(Math.max(score, RULE.minShare), 1 - RULE.minShare);
  const imageArea = Math.max(area * scaleX * scaleY, 1);
  // A circle of the image may be an ellipse of the mask space.
  const [sideX, sideY] = [Math.sqrt(imageArea) / scaleX, Math.sqrt(imageArea) / scaleY];
  const numInside = OFFSETS.filter(([dx, dy]) => covers(mask, x + dx * sideX, y + dy * sideY)).length;
  const centred = numInside / OFFSETS.length;
  return Math.log(share / (1 - share)) - (RULE.sizeWeight * Math.log(imageArea)) / 2 + RULE.centreWeight * centred;
}
