/** Which object a click means most likely: the rule of `streamseg.prompting.points` for a single point. */

import { covers } from "./mask.js";

/** @typedef {import("./frame.js").FrameObject} FrameObject */

/** Constants of the rule; the tests compare them with those in Python. */
export const RULE = {
  sizeWeight: 1.2,
  centreWeight: 3,
  centreRadii: [0.2, 0.3, 0.4],
  centreDirections: 8,
  minShare: 1e-3,
};

const TURNS = Array.from({ length: RULE.centreDirections }, (_, turn) => (turn * 2 * Math.PI) / RULE.centreDirections);
const OFFSETS = RULE.centreRadii.flatMap((radius) => TURNS.map((turn) => [radius * Math.cos(turn), radius * Math.sin(turn)]));

/**
 * The objects, the likeliest first. A good score counts, a small size, and that the point is in the middle.
 * @param {FrameObject[]} objects Objects that contain the point.
 * @param {number[]} toImage Transform from the mask space.
 * @param {number} x In the mask space.
 * @param {number} y
 * @returns {FrameObject[]}
 */
export function likeliestFirst(objects, toImage, x, y) {
  if (objects.length < 2) return objects;
  const rated = objects.map((found) => ({ found, rating: ratingOf(found, toImage, x, y) }));
  return rated.sort((one, other) => other.rating - one.rating).map(({ found }) => found);
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
