/** The WebSocket to the server: calls with replies, frames, and reconnection with growing delays. */

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 10_000;

/**
 * Delay before the next attempt.
 * @param {number} numFailures Failed attempts in a row, from 1.
 * @returns {number} ms.
 */
export function retryDelayMs(numFailures) {
  return Math.min(FIRST_DELAY_MS * 2 ** (numFailures - 1), MAX_DELAY_MS);
}

/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(waitMs: number) => void} lost
 * @property {(message: any) => void} message A JSON message, except the reply to a call.
 * @property {(body: ArrayBuffer) => void} frame
 */

export class Connection {
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */ #calls = new Map();
  #nextId = 1;
  #numFailures = 0;
  #timer = 0;

  /**
   * @param {string} url
   * @param {Listener} listener
   */
  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    this.#open();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Reconnect at once, unless connected. */
  retry() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /**
   * Call an operation of the server.
   * @param {string} op
   * @param {object} [args]
   * @returns {Promise<any>} Its result; rejected with the server's error.
   */
  call(op, args = {}) {
    if (!this.isOpen) return Promise.reject(new Error("not connected; wait until the page is connected again"));
    const id = this.#nextId++;
    this.send({ type: "call", id, op, args });
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  /** @param {object} message Discarded while not connected. */
  send(message) {
    if (this.isOpen) this.#socket?.send(JSON.stringify(message));
  }

  #open() {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.#numFailures = 0;
      this.listener.opened();
    });
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) this.listener.frame(data);
      else this.#read(JSON.parse(data));
    });
    socket.addEventListener("close", () => this.#closed());
    this.#socket = socket;
  }

  /** @param {any} message */
  #read(message) {
    if (message.type !== "answer") {
      this.listener.message(message);
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.ok) call?.resolve(message.result);
    else call?.reject(new Error(message.error));
  }

  #closed() {
    this.#socket = null;
    for (const { reject } of this.#calls.values()) reject(new Error("the connection was lost before the reply arrived"));
    this.#calls.clear();
    this.#numFailures += 1;
    const waitMs = retryDelayMs(this.#numFailures);
    this.#timer = setTimeout(() => this.#open(), waitMs);
    this.listener.lost(waitMs);
  }
}
