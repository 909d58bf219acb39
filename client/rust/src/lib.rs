//! Reads what streamseg publishes. The format is described in docs/protocol.md.
//!
//! ```no_run
//! let mut subscriber = streamseg_client::Subscriber::connect("tcp://127.0.0.1:5555", "seg/1/", None)?;
//! loop {
//!     if let Some(message) = subscriber.receive(std::time::Duration::from_secs(1))? {
//!         println!("{} {}", message.source, message.objects.len());
//!     }
//! }
//! # Ok::<(), streamseg_client::Error>(())
//! ```
//!
//! SPDX-License-Identifier: Apache-2.0

mod buffer;
mod masks;
mod message;
mod subscriber;
mod values;

pub use masks::Mask;
pub use message::{decode, unpack_single, Message, Object, PromptStatus};
pub use subscriber::{CurveKeys, Error, Subscriber};
pub use values::WireError;
