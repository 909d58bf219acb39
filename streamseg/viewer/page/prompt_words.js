/** The state of a prompt in words, with an icon and an explanation: the words of `PromptStatus.words`. */

/** Confidence below which a followed object is more likely another one. */
export const POSSIBLY_LOST_CONFIDENCE = 0.25;
/** Expected IoU below which a mask is more likely wrong than right. */
export const UNCERTAIN_MASK_QUALITY = 0.5;

const UNCERTAIN_MASK = "Its outline is probably wrong";

/** @typedef {{icon: string, words: string, meaning: string}} Description Icon in the page's sprite, label and tooltip. */

/** @type {Record<string, Description>} */
const DESCRIPTIONS = {
  found: { icon: "bound", words: "found", meaning: "Its object is visible, and has no track id" },
  followed: { icon: "bound", words: "followed", meaning: "Its object is visible" },
  foundAgain: { icon: "found", words: "found again", meaning: "Its object was lost and found again by position, shape and appearance" },
  possiblyLost: { icon: "doubt", words: "possibly lost", meaning: "The selected object is probably not the one that was meant" },
  lost: { icon: "lost", words: "lost", meaning: "Its object is not visible; a dashed line shows its last position, and the prompt waits for it to return" },
  none: { icon: "none", words: "nothing found", meaning: "There is no object at this place; click again to search again" },
  pending: { icon: "pending", words: "pending", meaning: "The prompt has not been evaluated yet" },
};

/**
 * @param {import("./prompt_store.js").Status | null} status null before the first status.
 * @returns {Description}
 */
export function describe(status) {
  if (!status) return DESCRIPTIONS.pending;
  const isReacquired = status.state === "reacquired";
  if (status.state !== "bound" && !isReacquired) return status.state === "lost" ? DESCRIPTIONS.lost : DESCRIPTIONS.none;
  if (status.track_id >= 0 && status.confidence < POSSIBLY_LOST_CONFIDENCE) return DESCRIPTIONS.possiblyLost;
  const seen = isReacquired ? DESCRIPTIONS.foundAgain : status.track_id >= 0 ? DESCRIPTIONS.followed : DESCRIPTIONS.found;
  if ((status.mask_quality ?? 1) >= UNCERTAIN_MASK_QUALITY) return seen;
  return { icon: "doubt", words: `${seen.words}, mask uncertain`, meaning: `${seen.meaning}. ${UNCERTAIN_MASK}` };
}

/**
 * @param {import("./prompt_store.js").Status | null} status
 * @returns {string} Confidence and mask quality in percent; "" if there is neither.
 */
export function percentages(status) {
  const percent = (/** @type {number} */ share) => `${Math.round(share * 100)} %`;
  if (!status?.confidence) return "";
  const quality = status.mask_quality ?? null;
  return quality === null ? percent(status.confidence) : `${percent(status.confidence)} · mask ${percent(quality)}`;
}
