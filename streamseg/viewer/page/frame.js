/** One frame with its objects, ready to be drawn and pointed at. */

import { likeliestFirst } from "./likeliest.js";
import { covers, outlineOf } from "./mask.js";

/**
 * @typedef {object} FrameObject
 * @property {number} trackId -1 while it has no track id.
 * @property {string[]} promptIds
 * @property {number[]} box xyxy in image pixels.
 * @property {number} score
 * @property {number} area Number of pixels of the mask.
 * @property {string | undefined} label
 * @property {import("./wire.js").Mask} mask
 * @property {Float32Array} [outline] See `outlineOf`; only in the worker, which draws it.
 * @property {Path2D} [path] The outline, created when it is first drawn.
 */

/**
 * @typedef {object} Frame
 * @property {string} source
 * @property {number} seq
 * @property {number} connectionNumber Connection that delivered it.
 * @property {number} index Frame index in its source, to which a click refers.
 * @property {number} stampMs Capture time, ms since 1970.
 * @property {{w: number, h: number}} image
 * @property {number[]} toImage Transform from the mask space.
 * @property {FrameObject[]} objects Large ones first: the order in which they are drawn.
 * @property {import("./prompt_store.js").Status[]} statuses Prompt statuses in this frame.
 * @property {any} header null except in the worker.
 * @property {ImageBitmap | null} bitmap null except in the worker.
 */

/**
 * @param {import("./wire.js").Packed} packed
 * @param {ImageBitmap | null} bitmap
 * @param {number} connectionNumber
 * @returns {Frame}
 */
export function makeFrame({ source, header, masks }, bitmap, connectionNumber) {
  const toImage = header.mask_space.to_image;
  const objects = header.objects.map((found, row) => ({
    trackId: found.track_id,
    promptIds: found.prompt_ids,
    box: found.box,
    score: found.score,
    area: found.area,
    label: found.label,
    mask: masks[row],
    outline: outlineOf(masks[row], toImage),
  }));
  objects.sort((one, other) => other.area - one.area);
  return {
    source,
    seq: header.seq,
    connectionNumber,
    index: header.index,
    stampMs: header.stamp.sec * 1000 + header.stamp.nanosec / 1e6,
    image: header.image,
    toImage,
    objects,
    statuses: header.prompts ?? [],
    header,
    bitmap,
  };
}

/**
 * The objects at a point, the one that a click there selects first.
 * @param {Pick<Frame, "objects" | "toImage">} frame
 * @param {number} x In image pixels.
 * @param {number} y
 * @returns {FrameObject[]}
 */
export function objectsAt({ objects, toImage }, x, y) {
  const [scaleX, scaleY, offsetX, offsetY] = toImage;
  const [maskX, maskY] = [(x - offsetX) / scaleX, (y - offsetY) / scaleY];
  const here = objects.filter(({ mask }) => covers(mask, maskX, maskY));
  return likeliestFirst(here, toImage, maskX, maskY);
}

/**
 * Number of frames dropped before this one was finished, at any stage and for any reason.
 * @param {any} header
 * @returns {number}
 */
export function numDrops(header) {
  return Object.values(header.drops ?? {}).flatMap(Object.values).reduce((sum, count) => sum + count, 0);
}
