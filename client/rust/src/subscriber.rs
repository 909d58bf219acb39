//! Receives the newest message of each source.
//!
//! SPDX-License-Identifier: Apache-2.0

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::message::{decode, Message};
use crate::values::WireError;

/// Keys of an encrypted connection, in Z85 (40 characters), as `streamseg keys new` prints them.
pub struct CurveKeys<'a> {
    pub server_key: &'a str,
    pub public_key: &'a str,
    pub secret_key: &'a str,
}

/// A message that is not valid, or a failure of ZeroMQ.
#[derive(Debug)]
pub enum Error {
    Wire(WireError),
    Socket(zmq::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Wire(error) => error.fmt(formatter),
            Error::Socket(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for Error {}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Error::Wire(error)
    }
}

impl From<zmq::Error> for Error {
    fn from(error: zmq::Error) -> Self {
        Error::Socket(error)
    }
}

/// Receives the newest message of each source: what arrived meanwhile replaces older messages.
///
/// Read at any rate: a SUB socket that is read more slowly than messages arrive returns old ones, so each call takes
/// everything that has arrived.
pub struct Subscriber {
    socket: zmq::Socket,
    waiting: VecDeque<Vec<Vec<u8>>>,
}

impl Subscriber {
    /// `topic`: `seg/1/` for all sources, `seg/1/cam0/` for one, `pic/1/` with the images.
    pub fn connect(endpoint: &str, topic: &str, keys: Option<CurveKeys<'_>>) -> Result<Self, Error> {
        let socket = zmq::Context::new().socket(zmq::SUB)?;
        socket.set_linger(0)?;
        if let Some(keys) = keys {
            let key = |text| zmq::z85_decode(text).map_err(|_| WireError::new("a key must have 40 characters of Z85"));
            socket.set_curve_serverkey(&key(keys.server_key)?)?;
            socket.set_curve_publickey(&key(keys.public_key)?)?;
            socket.set_curve_secretkey(&key(keys.secret_key)?)?;
        }
        socket.set_subscribe(topic.as_bytes())?;
        socket.connect(endpoint)?;
        Ok(Subscriber {
            socket,
            waiting: VecDeque::new(),
        })
    }

    /// Return the next message, the newest of its source; nothing if none arrives in time.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Error> {
        self.take_all()?;
        if self.waiting.is_empty() {
            self.socket
                .poll(zmq::POLLIN, i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX))?;
            self.take_all()?;
        }
        // The source that has waited longest is next.
        let Some(parts) = self.waiting.pop_front() else {
            return Ok(None);
        };
        let views: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Ok(Some(decode(&views)?))
    }

    fn take_all(&mut self) -> Result<(), Error> {
        loop {
            match self.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(parts) => match self.waiting.iter_mut().find(|known| known[0] == parts[0]) {
                    Some(known) => *known = parts,
                    None => self.waiting.push_back(parts),
                },
                Err(zmq::Error::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
