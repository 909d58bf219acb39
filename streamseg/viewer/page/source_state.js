/** The state of a source in words. */

const SECONDS_PER_MINUTE = 60;
const SECONDS_PER_HOUR = 3600;

/** @param {number} seconds @returns {string} A duration of one unit: 12 s, 5 min, 3 h. */
export function describeSeconds(seconds) {
  if (seconds < 2 * SECONDS_PER_MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < 2 * SECONDS_PER_HOUR) return `${Math.round(seconds / SECONDS_PER_MINUTE)} min`;
  return `${Math.round(seconds / SECONDS_PER_HOUR)} h`;
}

/**
 * @param {string} state See `structures/source_status.py`.
 * @param {number} seconds Time in this state.
 * @param {string | null} error The last error.
 * @param {number | null} [age] Age in seconds of the image that is still displayed; null if there is none.
 * @returns {[string | null, boolean]} A note for the tile, null if there is nothing to report; and whether its image is
 *   outdated.
 */
export function describeState(state, seconds, error, age = null) {
  const since = describeSeconds(seconds);
  const because = error ? `: ${error}` : "";
  const image = age === null ? "" : ` (image of ${describeSeconds(age)} ago)`;
  switch (state) {
    case "live":
      return [null, false];
    case "connecting":
      return [`Connecting for ${since}${because}${image}`, true];
    case "stalled":
      return [`Stalled: no frame for ${since}`, true];
    case "frozen":
      return [`Frozen: the same image for ${since}`, true];
    case "waiting":
      return [`Waiting for ${since}${because}${image}`, true];
    case "denied":
      return [`Denied for ${since}${because}${image}`, true];
    case "failed":
      return [`Failed${because}${image}`, true];
    case "ended":
      return ["The source has ended.", false];
    default:
      return [state, false];
  }
}
