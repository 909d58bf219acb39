/** Statistics of drawn frames: ages, rate, dropped and skipped frames. Pure: the caller supplies the time. */

const WINDOW_MS = 20_000;

/** @typedef {{timeMs: number, ageMs: number, numDropped: number, numSkipped: number}} Sample Statistics of one drawn frame. */

export class Meter {
  /** @type {Sample[]} */ samples = [];
  /** @type {{seq: number, drops: number} | null} */ #last = null;

  /**
   * Add a drawn frame.
   * @param {{seq: number, drops: number, ageMs: number}} frame `drops`: total so far.
   * @param {number} timeMs
   */
  add({ seq, drops, ageMs }, timeMs) {
    const last = this.#last;
    // Decreasing counts belong to another run.
    const isNext = last !== null && seq > last.seq && drops >= last.drops;
    this.samples.push({
      timeMs,
      ageMs,
      numDropped: isNext ? drops - last.drops : 0,
      numSkipped: isNext ? seq - last.seq - 1 : 0,
    });
    this.#last = { seq, drops };
    while (this.samples[0].timeMs < timeMs - WINDOW_MS) this.samples.shift();
  }

  /**
   * @param {number} timeMs
   * @returns {{fps: number, p50Ms: number, p95Ms: number, numDropped: number, numSkipped: number}} Over the last
   *   20 s (`fps`: 2 s); NaN if no frame was drawn.
   */
  stats(timeMs) {
    const samples = this.samples.filter((sample) => sample.timeMs >= timeMs - WINDOW_MS);
    const ages = samples.map(({ ageMs }) => ageMs).sort((one, other) => one - other);
    const at = (share) => ages[Math.min(Math.floor(share * ages.length), ages.length - 1)] ?? NaN;
    const recent = samples.filter((sample) => sample.timeMs >= timeMs - 2000);
    return {
      fps: recent.length / 2,
      p50Ms: at(0.5),
      p95Ms: at(0.95),
      numDropped: samples.reduce((sum, { numDropped }) => sum + numDropped, 0),
      numSkipped: samples.reduce((sum, { numSkipped }) => sum + numSkipped, 0),
    };
  }
}

export { WINDOW_MS };
