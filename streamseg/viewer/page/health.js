/** The panel that says how the picture is doing: its age, its rate, what was dropped. */

import { drawGraph } from "./graph.js";
import { Meter } from "./meter.js";

const REDRAW_MS = 250;
const CALM_REDRAW_MS = 1000;
/** Where the page runs on the machine that takes the pictures, their clocks are one. */
const LOCAL = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export class Health {
  /** @type {Map<string, Meter>} */ #meters = new Map();
  /** @type {string | null} */ #source = null;
  #isLocal = LOCAL.test(location.hostname);
  /** Whether the server has ever told its figures. */
  hasFigures = false;

  /** @param {HTMLElement} element */
  constructor(element) {
    const find = (name) => element.querySelector(`[data-figure="${name}"]`);
    this.canvas = element.querySelector("canvas");
    this.figures = { fps: find("fps"), p50: find("p50"), p95: find("p95"), dropped: find("dropped"), skipped: find("skipped") };
    this.server = find("server");
    element.querySelector(".health-kind").textContent = this.#isLocal ? "on screen" : "when sent";
    const pauseMs = matchMedia("(prefers-reduced-motion: reduce)").matches ? CALM_REDRAW_MS : REDRAW_MS;
    setInterval(() => document.hidden || this.draw(), pauseMs);
  }

  /** @param {string | null} source Whose figures are shown. */
  watch(source) {
    this.#source = source;
  }

  /**
   * Note frames that were drawn.
   * @param {string} source
   * @param {import("./painter.js").Sample[]} samples
   */
  drawn(source, samples) {
    if (!this.#meters.has(source)) this.#meters.set(source, new Meter());
    for (const { seq, drops, timeMs, stampMs, sentAgeMs } of samples) {
      this.#meters.get(source).add({ seq, drops, ageMs: this.#isLocal ? timeMs - stampMs : sentAgeMs }, timeMs);
    }
  }

  /** @param {any} figures Of the run, see `RunFigures.as_json`. */
  tell(figures) {
    this.hasFigures = true;
    const own = figures.sources?.find(({ source_id: source }) => source === this.#source) ?? figures;
    const rate = own.fps ?? figures.recent_fps;
    const age = own.ages?.p50_ms;
    this.server.textContent = age === null || age === undefined ? "–" : `${rate.toFixed(1)} fps, ${Math.round(age)} ms`;
  }

  /** At once, as it is by now. */
  draw() {
    const nowMs = Date.now();
    const meter = this.#meters.get(this.#source ?? "") ?? new Meter();
    // Before words are written: its size is asked for, which would lay out the page once more after that.
    drawGraph(this.canvas, meter.samples, nowMs);
    const figures = meter.figures(nowMs);
    const inMs = (value) => (Number.isNaN(value) ? "–" : `${Math.round(value)} ms`);
    this.figures.fps.textContent = figures.fps.toFixed(1);
    this.figures.p50.textContent = inMs(figures.p50Ms);
    this.figures.p95.textContent = inMs(figures.p95Ms);
    this.figures.dropped.textContent = String(figures.numDropped);
    this.figures.skipped.textContent = String(figures.numSkipped);
  }
}
