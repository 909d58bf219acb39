/** Colours of track ids: the same in images, videos, the window and on this page. */

/** RGB, distinguishable with any colour vision (Okabe & Ito 2008, without black). */
const PALETTE = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [204, 121, 167],
];
const GAINS = [1.0, 0.72, 0.5];
const TENTATIVE = [190, 190, 190];
/** Sum of the channels above which black text is readable on a colour. */
const BRIGHT = 380;

/** @typedef {[number, number, number]} Colour RGB, 0..255. */

/**
 * The palette repeats with lower brightness, so that the first 21 track ids differ; grey without a track id (-1).
 * @param {number} trackId
 * @returns {Colour}
 */
export function colourOf(trackId) {
  if (trackId < 0) return [...TENTATIVE];
  const gain = GAINS[Math.floor(trackId / PALETTE.length) % GAINS.length];
  return PALETTE[trackId % PALETTE.length].map((channel) => roundHalfToEven(channel * gain));
}

/**
 * @param {Colour} colour
 * @param {number} [alpha] 0..1.
 * @returns {string} For CSS and canvas.
 */
export function css([red, green, blue], alpha = 1) {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/**
 * Black or white, whichever is readable on a colour.
 * @param {Colour} colour
 * @returns {string}
 */
export function inkOn([red, green, blue]) {
  return red + green + blue > BRIGHT ? "#000" : "#fff";
}

/** @param {number} value @returns {number} */
function roundHalfToEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}
