/** The state of an output in words. */

/** Errors of the system, and what they mean. @type {[RegExp, string][]} */
const MEANINGS = [
  [/no space left|disk full|quota exceeded/i, "disk full"],
  [/read-only file system/i, "disk is read-only"],
  [/stale file handle|not connected|host is down/i, "network share is away"],
];

/**
 * @param {any} sink Statistics of one sink, see `SinkStats`.
 * @param {number} nowMs ms since 1970.
 * @returns {string} Such as "Stopped since 14:02:10: disk full".
 */
export function describeSink({ state, error, state_seconds: stateSeconds, trouble_seconds: troubleSeconds }, nowMs) {
  if (state === "ok") return "Writing";
  const meaning = MEANINGS.find(([pattern]) => pattern.test(error ?? ""))?.[1] ?? error ?? "unknown reason";
  const since = new Date(nowMs - (troubleSeconds || stateSeconds) * 1000).toLocaleTimeString("en-GB");
  // Both are tried again.
  return `${state === "failed" ? "Failed" : "Stopped"} since ${since}: ${meaning}`;
}

/** @param {any} sink @returns {number} Number of frames that were not written. */
export function numUnwritten({ drops }) {
  const counts = Object.values(drops ?? {}).flatMap((reasons) => Object.values(reasons));
  return counts.reduce((sum, count) => sum + count, 0);
}
