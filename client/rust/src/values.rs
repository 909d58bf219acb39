//! Values of JSON, with errors that name the key.
//!
//! SPDX-License-Identifier: Apache-2.0

use std::fmt;

use serde_json::Value;

/// A message that is not valid, in one line.
#[derive(Debug)]
pub struct WireError(String);

impl WireError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        WireError(problem.into().replace('\n', " "))
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}

pub(crate) fn check(is_valid: bool, problem: &str) -> Result<(), WireError> {
    if is_valid {
        Ok(())
    } else {
        Err(WireError::new(problem))
    }
}

pub(crate) fn field<'a>(values: &'a Value, key: &str) -> Result<&'a Value, WireError> {
    values
        .get(key)
        .ok_or_else(|| WireError::new(format!("'{key}' is missing")))
}

pub(crate) fn text(values: &Value, key: &str) -> Result<String, WireError> {
    let found = field(values, key)?.as_str();
    found
        .map(str::to_owned)
        .ok_or_else(|| WireError::new(format!("'{key}' must be a text")))
}

pub(crate) fn integer(values: &Value, key: &str) -> Result<i64, WireError> {
    let found = field(values, key)?.as_i64();
    found.ok_or_else(|| WireError::new(format!("'{key}' must be an integer")))
}

pub(crate) fn number(values: &Value, key: &str) -> Result<f64, WireError> {
    let found = field(values, key)?.as_f64();
    found.ok_or_else(|| WireError::new(format!("'{key}' must be a number")))
}

pub(crate) fn optional<T>(
    values: &Value,
    key: &str,
    read: impl Fn(&Value, &str) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    match values.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => read(values, key).map(Some),
    }
}

pub(crate) fn list<'a>(values: &'a Value, key: &str, most: usize) -> Result<&'a Vec<Value>, WireError> {
    let found = field(values, key)?.as_array().filter(|found| found.len() <= most);
    found.ok_or_else(|| WireError::new(format!("'{key}' is no list or too long")))
}

pub(crate) fn four_numbers(values: &Value, key: &str) -> Result<[f64; 4], WireError> {
    let numbers: Option<Vec<f64>> = list(values, key, 4)?.iter().map(Value::as_f64).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| WireError::new(format!("'{key}' must be four numbers")))
}
