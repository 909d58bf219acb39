/** Graph of recent ages as a line, with dropped frames as bars below. */

import { WINDOW_MS } from "./meter.js";

const BAR_PX = 14;
const SCALES_MS = [50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import("./meter.js").Sample[]} samples
 * @param {number} nowMs
 */
export function drawGraph(canvas, samples, nowMs) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const ratio = devicePixelRatio;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  // Only if it has changed, because this allocates a new canvas.
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  const floor = height - BAR_PX;
  const oldest = Math.max(0, ...samples.map(({ ageMs }) => ageMs));
  const topMs = SCALES_MS.find((scale) => scale >= oldest) ?? SCALES_MS.at(-1);
  const xOf = (timeMs) => width * (1 - (nowMs - timeMs) / WINDOW_MS);
  const yOf = (ageMs) => floor - (floor - 4) * Math.min(Math.max(ageMs / topMs, 0), 1);

  context.strokeStyle = colour("--line");
  context.lineWidth = 1;
  context.beginPath();
  for (const share of [0, 0.5, 1]) {
    const y = Math.round(yOf(share * topMs)) + 0.5;
    context.moveTo(0, y);
    context.lineTo(width, y);
  }
  context.stroke();
  context.fillStyle = colour("--muted");
  context.textBaseline = "top";
  context.fillText(`${topMs} ms`, 2, 7);

  context.strokeStyle = colour("--accent");
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  let before = -Infinity;
  for (const { timeMs, ageMs } of samples) {
    // A pause is displayed as a gap.
    if (timeMs - before > 1000) context.moveTo(xOf(timeMs), yOf(ageMs));
    else context.lineTo(xOf(timeMs), yOf(ageMs));
    before = timeMs;
  }
  context.stroke();

  context.fillStyle = colour("--warn");
  for (const { timeMs, numDropped } of samples) {
    if (!numDropped) continue;
    const bar = Math.min(3 + 3 * numDropped, BAR_PX - 2);
    context.fillRect(Math.round(xOf(timeMs)) - 1, height - bar, 2, bar);
  }
}
