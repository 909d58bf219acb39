/** Draws a frame: the image, the masks of its objects, tags, and the pointer's marks. */

import { colourOf, css, inkOn } from "./colours.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").FrameObject} FrameObject */
/** @typedef {OffscreenCanvasRenderingContext2D} Context */

/**
 * @typedef {object} Overlay
 * @property {boolean} everything Whether to draw objects that match no prompt.
 * @property {Map<string, string>} names Names of the displayed prompts, by id.
 * @property {FrameObject | null} hovered Object under the pointer.
 * @property {string | null} selected Id of the selected prompt.
 * @property {Map<string, FrameObject>} lost Last known objects of lost prompts, by id.
 * @property {{x: number, y: number, label: number}[]} marks Points of the selected prompt.
 * @property {number[] | null} drag xyxy of the box being drawn.
 * @property {{x: number, y: number} | null} cross Pointer that the arrow keys move.
 * @property {number} pixelRatio Canvas pixels per CSS pixel.
 */

/**
 * @typedef {object} Style
 * @property {number} fill Opacity of the mask, 0..1.
 * @property {number} line Width of the outline in CSS pixels.
 * @property {number} opacity Opacity of the outline, 0..1.
 * @property {boolean} cased Whether a dark line lies below the outline, to make it visible on any background.
 */

/** @type {Record<string, Style>} */
const STYLES = {
  alone: { fill: 0.26, line: 1.25, opacity: 0.9, cased: false },
  faint: { fill: 0.1, line: 1, opacity: 0.6, cased: false },
  named: { fill: 0.42, line: 2.25, opacity: 1, cased: true },
  selected: { fill: 0.48, line: 3, opacity: 1, cased: true },
};
const HOVER_FILL = 0.22;
const CASING = "rgb(0 0 0 / 0.6)";
const FONT_PX = 12;
/** Colours of the marks of prompts: points and the box being dragged. */
const MARK = { light: "#fff", dark: "#14181d", boxFill: "rgb(255 255 255 / 0.12)" };

/**
 * Draw onto the whole canvas.
 * @param {Context} context
 * @param {Frame} frame
 * @param {Overlay} overlay
 */
export function drawFrame(context, frame, overlay) {
  const scale = context.canvas.width / frame.image.w;
  context.setTransform(scale, 0, 0, context.canvas.height / frame.image.h, 0, 0);
  context.lineJoin = "round";
  if (frame.bitmap) context.drawImage(frame.bitmap, 0, 0, frame.image.w, frame.image.h);
  else context.clearRect(0, 0, frame.image.w, frame.image.h);
  const unit = overlay.pixelRatio / scale; // image pixels per CSS pixel
  const isNamed = ({ promptIds }) => promptIds.some((id) => overlay.names.has(id));
  const named = frame.objects.filter(isNamed);
  const others = overlay.everything ? frame.objects.filter((found) => !isNamed(found)) : [];
  const otherStyle = named.length || overlay.lost.size ? STYLES.faint : STYLES.alone;
  for (const found of others) drawObject(context, found, otherStyle, unit);
  for (const found of named) drawObject(context, found, STYLES[found.promptIds.includes(overlay.selected) ? "selected" : "named"], unit);
  for (const found of overlay.lost.values()) drawGhost(context, found, unit);
  if (overlay.hovered) drawHovered(context, overlay.hovered, unit);
  drawTags(context, frame, overlay, named, others, unit);
  for (const mark of overlay.marks) drawMark(context, mark, unit);
  if (overlay.drag) drawDrag(context, overlay.drag, unit);
  if (overlay.cross) drawCross(context, overlay.cross, unit);
}

/** @param {FrameObject} found @param {Overlay} overlay @returns {string} */
function tagOf(found, overlay) {
  const names = found.promptIds.flatMap((id) => overlay.names.get(id) ?? []).join(", ");
  return found.label && found.label !== names ? `${names} · ${found.label}` : names;
}

/**
 * An object's outline as a path, created once per frame.
 * @param {FrameObject} found
 * @returns {Path2D}
 */
function pathOf(found) {
  if (found.path) return found.path;
  const path = new Path2D();
  const { outline } = found;
  let isStart = true;
  for (let at = 0; at < outline.length; at += 2) {
    if (Number.isNaN(outline[at])) path.closePath();
    else if (isStart) path.moveTo(outline[at], outline[at + 1]);
    else path.lineTo(outline[at], outline[at + 1]);
    isStart = Number.isNaN(outline[at]);
  }
  found.path = path;
  return path;
}

/** @param {Context} context @param {FrameObject} found @param {Style} style @param {number} unit */
function drawObject(context, found, style, unit) {
  const colour = colourOf(found.trackId);
  context.fillStyle = css(colour, style.fill);
  context.fill(pathOf(found), "evenodd");
  if (style.cased) stroke(context, pathOf(found), CASING, (style.line + 2) * unit);
  stroke(context, pathOf(found), css(colour, style.opacity), style.line * unit);
}

/** @param {Context} context @param {FrameObject} found @param {number} unit */
function drawHovered(context, found, unit) {
  context.fillStyle = `rgb(255 255 255 / ${HOVER_FILL})`;
  context.fill(pathOf(found), "evenodd");
  stroke(context, pathOf(found), CASING, 4.5 * unit);
  stroke(context, pathOf(found), "#fff", 2 * unit);
}

/** @param {Context} context @param {FrameObject} found @param {number} unit */
function drawGhost(context, found, unit) {
  context.setLineDash([6 * unit, 5 * unit]);
  stroke(context, pathOf(found), CASING, 3.5 * unit);
  stroke(context, pathOf(found), css(colourOf(found.trackId)), 1.75 * unit);
  context.setLineDash([]);
}

/** @param {Context} context @param {Path2D} path @param {string} style @param {number} width */
function stroke(context, path, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.stroke(path);
}

/**
 * Draw the tags of the objects; prompted objects come first, so that their tags have the best places.
 * @param {Context} context
 * @param {Frame} frame
 * @param {Overlay} overlay
 * @param {FrameObject[]} named
 * @param {FrameObject[]} others
 * @param {number} unit
 */
function drawTags(context, frame, overlay, named, others, unit) {
  /** @type {[FrameObject, string][]} */
  const tags = named.map((found) => [found, tagOf(found, overlay)]);
  for (const [id, found] of overlay.lost) tags.push([found, `${overlay.names.get(id)} · lost`]);
  const { hovered } = overlay;
  if (hovered && !named.includes(hovered) && !hovered.label) {
    tags.push([hovered, hovered.trackId < 0 ? "new" : `#${hovered.trackId}`]);
  }
  for (const found of others) if (found.label) tags.push([found, found.label]);
  context.font = `600 ${FONT_PX * unit}px system-ui, sans-serif`;
  /** @type {number[][]} */
  const taken = [];
  for (const [found, words] of tags) {
    const size = [context.measureText(words).width + 12 * unit, (FONT_PX + 8) * unit];
    const place = placeOf(found.box, size, frame.image, taken, 3 * unit);
    taken.push(place);
    drawTag(context, found, words, place, unit);
  }
}

/**
 * The place of a tag: above its object, at its upper border, below it, or the next free place above or below.
 * @param {number[]} box xyxy of the object.
 * @param {number[]} size w, h of the tag.
 * @param {{w: number, h: number}} image
 * @param {number[][]} taken xyxy of the other tags.
 * @param {number} gap
 * @returns {number[]} xyxy, inside the image; above the object if there is no free place.
 */
export function placeOf([x0, y0, , y1], [w, h], image, taken, gap) {
  const within = (value, most) => Math.max(Math.min(value, most - gap), gap);
  const x = within(x0, image.w - w);
  const above = y0 - h - gap;
  const step = h + gap;
  const tops = [above, y0 + gap, y1 + gap, ...[1, 2, 3, 4].flatMap((n) => [above - n * step, y0 + gap + n * step])];
  const places = tops.map((top) => within(top, image.h - h)).map((y) => [x, y, x + w, y + h]);
  const isFree = (place) => !taken.some((other) => place[0] < other[2] && other[0] < place[2] && place[1] < other[3] && other[1] < place[3]);
  return places.find(isFree) ?? places[0];
}

/**
 * Draw a tag in the object's colour.
 * @param {Context} context
 * @param {FrameObject} found
 * @param {string} words
 * @param {number[]} place xyxy.
 * @param {number} unit
 */
function drawTag(context, found, words, [x, y, right, bottom], unit) {
  const [width, height] = [right - x, bottom - y];
  const colour = colourOf(found.trackId);
  context.beginPath();
  context.roundRect(x, y, width, height, 4 * unit);
  context.strokeStyle = CASING;
  context.lineWidth = 1.5 * unit;
  context.stroke();
  context.fillStyle = css(colour);
  context.fill();
  context.fillStyle = inkOn(colour);
  context.textBaseline = "middle";
  context.fillText(words, x + 6 * unit, y + height / 2 + 0.5 * unit);
}

/** @param {Context} context @param {{x: number, y: number, label: number}} mark @param {number} unit */
function drawMark(context, { x, y, label }, unit) {
  context.beginPath();
  context.arc(x, y, 6.5 * unit, 0, 2 * Math.PI);
  context.fillStyle = label ? MARK.light : MARK.dark;
  context.fill();
  context.strokeStyle = label ? MARK.dark : MARK.light;
  context.lineWidth = 1.75 * unit;
  context.stroke();
  const arm = 3 * unit;
  context.beginPath();
  context.moveTo(x - arm, y);
  context.lineTo(x + arm, y);
  if (label) {
    context.moveTo(x, y - arm);
    context.lineTo(x, y + arm);
  }
  context.stroke();
}

/** @param {Context} context @param {number[]} box @param {number} unit */
function drawDrag(context, [x0, y0, x1, y1], unit) {
  const path = new Path2D();
  path.rect(x0, y0, x1 - x0, y1 - y0);
  context.fillStyle = MARK.boxFill;
  context.fill(path);
  stroke(context, path, CASING, 3.5 * unit);
  stroke(context, path, MARK.light, 1.5 * unit);
}

/** @param {Context} context @param {{x: number, y: number}} cross @param {number} unit */
function drawCross(context, { x, y }, unit) {
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + 4 * dx * unit, y + 4 * dy * unit);
    path.lineTo(x + 14 * dx * unit, y + 14 * dy * unit);
  }
  stroke(context, path, "#000", 4 * unit);
  stroke(context, path, "#fff", 2 * unit);
}
