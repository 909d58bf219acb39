/** One picture with its objects, ready to be drawn and pointed at. */

import { covers, outlineOf } from "./mask.js";

/**
 * @typedef {object} FrameObject
 * @property {number} trackId -1 while it has no identity.
 * @property {string[]} promptIds
 * @property {number[]} box xyxy in image pixels.
 * @property {number} score
 * @property {number} area Pixels of the mask.
 * @property {string | undefined} label
 * @property {import("./wire.js").Mask} mask
 * @property {Float32Array} [outline] See `outlineOf`; only where it is drawn.
 * @property {Path2D} [path] The outline, made when it is first drawn.
 */

/**
 * @typedef {object} Frame
 * @property {string} source
 * @property {number} seq
 * @property {number} opening Which connection it came by.
 * @property {number} index Of the picture in its source: what a click refers to.
 * @property {number} stampMs When the picture was taken, ms since 1970.
 * @property {{w: number, h: number}} image
 * @property {number[]} toImage From the mask space.
 * @property {FrameObject[]} objects Large ones first: the order in which they are drawn.
 * @property {import("./prompts.js").Status[]} statuses Of the prompts in this frame.
 * @property {any} header null but where it is drawn.
 * @property {ImageBitmap | null} bitmap The same.
 */

/**
 * @param {import("./wire.js").Packed} packed
 * @param {ImageBitmap | null} bitmap
 * @param {number} opening
 * @returns {Frame}
 */
export function makeFrame({ source, header, masks }, bitmap, opening) {
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
    opening,
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
 * The objects at a point, the smallest first: a part before the whole that it belongs to.
 * @param {Pick<Frame, "objects" | "toImage">} frame
 * @param {number} x In image pixels.
 * @param {number} y
 * @returns {FrameObject[]}
 */
export function objectsAt({ objects, toImage }, x, y) {
  const [scaleX, scaleY, offsetX, offsetY] = toImage;
  const [maskX, maskY] = [(x - offsetX) / scaleX, (y - offsetY) / scaleY];
  return objects.filter(({ mask }) => covers(mask, maskX, maskY)).reverse();
}

/**
 * How many frames were dropped before this one was made, by whatever stage and reason.
 * @param {any} header
 * @returns {number}
 */
export function numDrops(header) {
  return Object.values(header.drops ?? {}).flatMap(Object.values).reduce((sum, count) => sum + count, 0);
}
