/** The page's side of the worker, which is connected to the server, decodes, draws and acknowledges. */

/**
 * @typedef {object} Drawn A report of drawn frames.
 * @property {string} source
 * @property {import("./frame.js").Frame | null} frame Without its image and outlines; null: no newer frame.
 * @property {number | null} hovered Track id of the highlighted object; null if there is none.
 * @property {import("./painter.js").Sample[]} samples One for each frame drawn since the last report.
 */

/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(waitMs: number) => void} lost
 * @property {(message: any) => void} message A JSON message, except the reply to a call.
 * @property {(drawn: Drawn) => void} drawn
 * @property {(error: string) => void} failed
 */

export class Live {
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */ #requests = new Map();
  #nextId = 1;

  /**
   * @param {string} url URL of the WebSocket.
   * @param {Listener} listener
   */
  constructor(url, listener) {
    this.listener = listener;
    this.worker = new Worker(new URL("./live_worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.#read(data));
    this.worker.addEventListener("error", ({ message }) => listener.failed(`the page stopped: ${message}; reload it`));
    this.#post("connect", { url });
  }

  /** Reconnect at once, unless connected. */
  retry() {
    this.#post("retry", {});
  }

  /**
   * Call an operation of the server.
   * @param {string} op
   * @param {object} [args]
   * @returns {Promise<any>} Its result; rejected with the server's error.
   */
  call(op, args = {}) {
    return this.#request("call", { op, args });
  }

  /** @param {string[]} sources Sources to receive. */
  view(sources) {
    this.#post("view", { sources });
  }

  /**
   * @param {string} source
   * @param {OffscreenCanvas} canvas Canvas for the frames of the source; belongs to the worker from now on.
   */
  attach(source, canvas) {
    this.worker.postMessage({ kind: "attach", source, canvas }, [canvas]);
  }

  /** @param {string} source A source that no longer exists. */
  detach(source) {
    this.#post("detach", { source });
  }

  /** @param {string} source @param {{width: number, height: number, pixelRatio: number}} size Size of its canvas. */
  resize(source, size) {
    this.#post("resize", { source, size });
  }

  /** @param {string} source @param {import("./overlay.js").OverlaySettings} settings */
  configure(source, settings) {
    this.#post("configure", { source, settings });
  }

  /**
   * The displayed frame with its overlay, at the size of its source, and its header.
   * @param {string} source
   * @returns {Promise<{index: number, png: Blob, json: Blob}>}
   */
  snapshot(source) {
    return this.#request("snapshot", { source });
  }

  /** @param {string} kind @param {object} values */
  #post(kind, values) {
    this.worker.postMessage({ kind, ...values });
  }

  /** @param {string} kind @param {object} values @returns {Promise<any>} */
  #request(kind, values) {
    const id = this.#nextId++;
    this.#post(kind, { id, ...values });
    return new Promise((resolve, reject) => this.#requests.set(id, { resolve, reject }));
  }

  /** @param {any} message */
  #read(message) {
    const { listener } = this;
    if (message.kind === "drawn") {
      listener.drawn(message.drawn);
      // Only then the worker sends the next report, which is of the newest frame drawn in the meantime.
      this.#post("ready", { source: message.drawn.source });
    } else if (message.kind === "reply") {
      const request = this.#requests.get(message.id);
      this.#requests.delete(message.id);
      if (message.error === undefined) request?.resolve(message.result);
      else request?.reject(new Error(message.error));
    } else if (message.kind === "message") listener.message(message.message);
    else if (message.kind === "opened") listener.opened();
    else if (message.kind === "lost") listener.lost(message.waitMs);
    else listener.failed(message.error);
  }
}
