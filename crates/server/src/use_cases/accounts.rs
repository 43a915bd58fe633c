//! Accounts, logins and profiles.

pub(crate) mod authenticate;
pub(crate) mod change_password;
pub(crate) mod log_in;
pub(crate) mod log_out;
mod password_attempt;
pub(crate) mod read_profile;
pub(crate) mod refresh_login;
pub(crate) mod register;
pub(crate) mod renew_token;
pub(crate) mod search_users;
pub(crate) mod update_profile;
