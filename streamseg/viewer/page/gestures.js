/** Pointer and keyboard gestures on a frame: pointing, tapping, drawing a box. */

const DRAG_PX = 5;
const LONG_PRESS_MS = 500;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP_PX = 12;

/** @typedef {{x: number, y: number}} Point In image pixels. */
/** @typedef {"new" | "foreground" | "background"} TapKind A new prompt, or a point of the selected one. */

/**
 * @typedef {object} Hooks
 * @property {() => import("./frame.js").Frame | null} frame The displayed frame.
 * @property {(point: Point | null, isCross: boolean) => void} point
 * @property {(box: number[] | null) => void} drag
 * @property {(tap: {point: Point, kind: TapKind, frame: import("./frame.js").Frame, screen: Point}) => void} tap
 * @property {(box: number[], frame: import("./frame.js").Frame) => void} box
 */

/** @param {{shiftKey: boolean, ctrlKey: boolean, metaKey: boolean}} event @returns {TapKind} */
function kindOf({ shiftKey, ctrlKey, metaKey }) {
  if (shiftKey) return "background";
  return ctrlKey || metaKey ? "foreground" : "new";
}

export class Gestures {
  /** @type {{screen: Point, point: Point, frame: import("./frame.js").Frame, isDrag: boolean, timer: number} | null} */
  #press = null;
  /** @type {Point | null} */
  #cross = null;

  /**
   * @param {HTMLElement} element Displays the whole image and nothing else.
   * @param {Hooks} hooks
   */
  constructor(element, hooks) {
    this.element = element;
    this.hooks = hooks;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", () => this.cancel());
    element.addEventListener("pointerleave", () => this.#press || hooks.point(null, false));
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("blur", () => this.#cross && this.#moveCross(null));
    // A pointer removes the focus from a field, but does not give it to the image, where arrow keys move the cross.
    element.addEventListener("mousedown", (event) => {
      event.preventDefault();
      /** @type {HTMLElement} */ (document.activeElement)?.blur();
    });
    // Long presses and control-clicks have a function here; no menu.
    element.addEventListener("contextmenu", (event) => {
      if (event.ctrlKey || event.pointerType !== "mouse") event.preventDefault();
    });
  }

  /** Cancel the current press. @returns {boolean} Whether there was one. */
  cancel() {
    if (!this.#press) return false;
    clearTimeout(this.#press.timer);
    this.#press = null;
    this.hooks.drag(null);
    return true;
  }

  /**
   * The image point of an event, clipped to the image.
   * @param {{clientX: number, clientY: number}} event
   * @returns {Point | null} null before the first frame.
   */
  #toImage({ clientX, clientY }) {
    const image = this.hooks.frame()?.image;
    if (!image) return null;
    const { left, top, width, height } = this.element.getBoundingClientRect();
    const clip = (share) => Math.min(Math.max(share, 0), 1);
    // The right and lower borders are not part of any pixel.
    return {
      x: Math.min(clip((clientX - left) / width) * image.w, image.w - 0.01),
      y: Math.min(clip((clientY - top) / height) * image.h, image.h - 0.01),
    };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const frame = this.hooks.frame();
    const point = this.#toImage(event);
    if (event.button !== 0 || !event.isPrimary) {
      this.cancel();
      return;
    }
    if (!frame || !point) return;
    this.element.setPointerCapture(event.pointerId);
    this.#cross = null;
    this.hooks.point(point, false);
    const screen = { x: event.clientX, y: event.clientY };
    const press = { screen, point, frame, isDrag: false, timer: 0 };
    this.#press = press;
    if (event.pointerType !== "touch") return;
    press.timer = setTimeout(() => {
      this.cancel();
      navigator.vibrate?.(15);
      this.hooks.tap({ point, kind: "background", frame, screen });
    }, LONG_PRESS_MS);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const point = this.#toImage(event);
    if (!point) return;
    this.hooks.point(point, false);
    const press = this.#press;
    if (!press) return;
    const far = Math.hypot(event.clientX - press.screen.x, event.clientY - press.screen.y);
    press.isDrag ||= far > DRAG_PX;
    if (!press.isDrag) return;
    clearTimeout(press.timer);
    this.hooks.drag(boxOf(press.point, point));
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const press = this.#press;
    const point = this.#toImage(event);
    if (!press || !point) return;
    this.cancel();
    const box = boxOf(press.point, point);
    if (!press.isDrag) {
      this.hooks.tap({ point: press.point, kind: kindOf(event), frame: press.frame, screen: press.screen });
    } else if (box[2] > box[0] && box[3] > box[1]) {
      this.hooks.box(box, press.frame);
    }
    if (event.pointerType === "touch") this.hooks.point(null, false);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const frame = this.hooks.frame();
    const arrow = ARROWS[event.key];
    if (!frame || event.altKey) return;
    const { width, height } = this.element.getBoundingClientRect();
    const cross = this.#cross ?? { x: frame.image.w / 2, y: frame.image.h / 2 };
    if (arrow) {
      const step = ((event.shiftKey ? 1 : STEP_PX) * frame.image.w) / width;
      const moved = { x: cross.x + arrow[0] * step, y: cross.y + arrow[1] * step };
      this.#moveCross({
        x: Math.min(Math.max(moved.x, 0), frame.image.w - 0.01),
        y: Math.min(Math.max(moved.y, 0), frame.image.h - 0.01),
      });
    } else if (event.key === "Enter" && this.#cross) {
      const screen = { x: (cross.x / frame.image.w) * width, y: (cross.y / frame.image.h) * height };
      this.hooks.tap({ point: cross, kind: kindOf(event), frame, screen });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Point | null} point */
  #moveCross(point) {
    this.#cross = point;
    this.hooks.point(point, point !== null);
  }
}

/** @param {Point} one @param {Point} other @returns {number[]} xyxy. */
function boxOf(one, other) {
  return [Math.min(one.x, other.x), Math.min(one.y, other.y), Math.max(one.x, other.x), Math.max(one.y, other.y)];
}
