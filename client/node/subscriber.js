// Receives the newest message of each source; needs zeromq 6 (npm install).
//
// SPDX-License-Identifier: Apache-2.0

import * as zmq from 'zeromq';

import {decode} from './message.js';

export {decode, unpackSingle, WireError} from './message.js';

/**
 * Yield messages, always the newest of their source: what arrives while the caller works replaces older messages.
 *
 *     for await (const message of subscribe('tcp://127.0.0.1:5555')) console.log(message.source, message.objects.length);
 *
 * @param {string} endpoint
 * @param {object} options
 * @param {string} [options.topic] `seg/1/` for all sources, `seg/1/cam0/` for one, `pic/1/` with the images.
 * @param {object} [options.keys] {serverKey, publicKey, secretKey} in Z85, as `streamseg keys new` prints them.
 * @throws {WireError}
 */
export async function* subscribe(endpoint, {topic = 'seg/1/', keys = null} = {}) {
  const socket = new zmq.Subscriber({
    linger: 0,
    ...(keys && {curveServerKey: keys.serverKey, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey}),
  });
  socket.connect(endpoint);
  socket.subscribe(topic);
  const waiting = new Map();
  let wake = () => {};
  let failure = null;
  // Takes every message at once, so that no queue fills up while the caller works.
  const taking = (async () => {
    for await (const parts of socket) {
      waiting.set(parts[0].toString(), parts);
      wake();
    }
  })().catch((error) => {
    failure = error;
    wake();
  });
  try {
    for (;;) {
      if (failure) throw failure;
      const [next] = waiting;
      if (next === undefined) {
        await new Promise((resolve) => (wake = resolve));
      } else {
        waiting.delete(next[0]);
        yield decode(next[1]);
        // Lets the socket's messages in, also if the caller never waits.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  } finally {
    socket.close();
    await taking;
  }
}
