//! PURE DECISIONS. Everything in this folder takes values and returns values: no pingora, no tokio, no I/O,
//! no clock, no randomness, no logging, no metrics. Time and random numbers are arguments.
//!
//! In reading order: what an attempt was ([`cause`], [`retry_after`], [`outcome`]), what follows for the
//! deployment ([`breaker`]), who is next ([`reason`], [`select`], [`balance`]), who will be ([`prospect`]), and whether
//! there is a next ([`retry`], [`budget`]). [`params`] are the numbers an operator sets, [`ewma`] is for people only.

pub mod balance;
pub mod breaker;
pub mod budget;
pub mod cause;
pub mod ewma;
pub mod outcome;
pub mod params;
pub mod prospect;
pub mod reason;
pub mod retry;
pub mod retry_after;
pub mod select;
