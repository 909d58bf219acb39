/** The page's side of the worker that is connected to the server, decodes, draws and acknowledges. */

/**
 * @typedef {object} Drawn What was drawn, for those who point at it.
 * @property {string} source
 * @property {import("./frame.js").Frame | null} frame Without its picture and outlines; null: still the one before.
 * @property {number | null} hovered Identity of the object that is lit up; null: none is.
 * @property {import("./painter.js").Sample[]} samples One of each frame that was drawn since the last time.
 */

/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(waitMs: number, wasOpen: boolean) => void} lost
 * @property {(message: any) => void} told A JSON message other than the answer to a call.
 * @property {(drawn: Drawn) => void} drawn
 * @property {(error: string) => void} failed
 */

export class Live {
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */ #asked = new Map();
  #nextId = 1;

  /**
   * @param {string} url Of the WebSocket.
   * @param {Listener} listener
   */
  constructor(url, listener) {
    this.listener = listener;
    this.worker = new Worker(new URL("./live_worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.#read(data));
    this.worker.addEventListener("error", ({ message }) => listener.failed(`the page stopped: ${message}; reload it`));
    this.#post("connect", { url });
  }

  /** Try again at once, if it is not connected. */
  retry() {
    this.#post("retry", {});
  }

  /**
   * Ask the server to do something.
   * @param {string} op
   * @param {object} [args]
   * @returns {Promise<any>} Its result; rejected with the server's reason.
   */
  call(op, args = {}) {
    return this.#ask("call", { op, args });
  }

  /** @param {string[]} sources Whose pictures are wanted. */
  view(sources) {
    this.#post("view", { sources });
  }

  /**
   * @param {string} source
   * @param {OffscreenCanvas} canvas Where its pictures are drawn from now on; belongs to the worker.
   */
  attach(source, canvas) {
    this.worker.postMessage({ kind: "attach", source, canvas }, [canvas]);
  }

  /** @param {string} source Is not there any more. */
  detach(source) {
    this.#post("detach", { source });
  }

  /** @param {string} source @param {{width: number, height: number, pixelRatio: number}} size Of its canvas. */
  resize(source, size) {
    this.#post("resize", { source, size });
  }

  /** @param {string} source @param {import("./look.js").Wish} wish How its pictures are to be shown. */
  wish(source, wish) {
    this.#post("wish", { source, wish });
  }

  /**
   * The shown frame at the size of its source, as it looks, and its header.
   * @param {string} source
   * @returns {Promise<{index: number, png: Blob, json: Blob}>}
   */
  snapshot(source) {
    return this.#ask("snapshot", { source });
  }

  /** @param {string} kind @param {object} values */
  #post(kind, values) {
    this.worker.postMessage({ kind, ...values });
  }

  /** @param {string} kind @param {object} values @returns {Promise<any>} */
  #ask(kind, values) {
    const id = this.#nextId++;
    this.#post(kind, { id, ...values });
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }

  /** @param {any} message */
  #read(message) {
    const { listener } = this;
    if (message.kind === "drawn") {
      listener.drawn(message.drawn);
      // Only then the next one is told, and of those that are drawn meanwhile the newest.
      this.#post("taken", { source: message.drawn.source });
    } else if (message.kind === "answer") {
      const asked = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      if (message.error === undefined) asked?.resolve(message.result);
      else asked?.reject(new Error(message.error));
    } else if (message.kind === "told") listener.told(message.message);
    else if (message.kind === "opened") listener.opened();
    else if (message.kind === "lost") listener.lost(message.waitMs, message.wasOpen);
    else listener.failed(message.error);
  }
}
