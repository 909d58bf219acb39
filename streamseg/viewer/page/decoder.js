/** The page's side of the worker that decodes. */

/** @typedef {import("./frame.js").Frame} Frame */

export class Decoder {
  /**
   * @param {(frame: Frame) => void} decoded
   * @param {(failure: {error: string, source?: string, seq?: number, opening?: number}) => void} failed
   */
  constructor(decoded, failed) {
    this.worker = new Worker(new URL("./decoder_worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => (data.frame ? decoded(data.frame) : failed(data)));
    this.worker.addEventListener("error", ({ message }) => failed({ error: `decoding stopped: ${message}` }));
  }

  /**
   * @param {ArrayBuffer} body Belongs to the worker from now on.
   * @param {number} opening Comes back with the frame.
   */
  decode(body, opening) {
    this.worker.postMessage({ body, opening }, [body]);
  }
}
