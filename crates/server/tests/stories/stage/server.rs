//! The server of a story: the binary that was built, with or without a site beside it, with or without limits.

use std::ops::{Deref, DerefMut};

use teahouse_chaos::Faults;

use super::token::SITE_SECRET;
use super::{DEVICES, NO_LIMITS};

/// The binary that was built with these tests.
pub const BINARY: &str = env!("CARGO_BIN_EXE_teahouse");

/// A running server.
pub struct Server(teahouse_chaos::Server);

impl Server {
    /// A server as it is shipped: people register here.
    pub fn alone(environment: &[(&str, &str)]) -> Self {
        Self(teahouse_chaos::Server::start(BINARY, environment))
    }

    /// A server beside a site that signs tokens, with the limits as they are shipped.
    pub fn of_a_site(environment: &[(&str, &str)]) -> Self {
        let secret = ("TEAHOUSE_AUTH__JWT_SECRET", SITE_SECRET);
        Self::alone(&[&[secret], environment].concat())
    }

    /// The same with the limits out of the way.
    pub fn without_limits(environment: &[(&str, &str)]) -> Self {
        Self::of_a_site(&[NO_LIMITS, environment].concat())
    }

    /// The same with room for many devices, on a machine of which these are the faults.
    pub fn under(faults: &Faults, environment: &[(&str, &str)]) -> Self {
        Self::without_limits(&[DEVICES, &faults.environment(), environment].concat())
    }
}

impl Deref for Server {
    type Target = teahouse_chaos::Server;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
