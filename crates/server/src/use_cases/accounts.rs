//! Accounts and logins: who somebody is, and what they show of themselves.

pub mod authenticate;
pub mod change_password;
pub mod log_in;
pub mod log_out;
pub mod read_profile;
pub mod refresh_login;
pub mod register;
pub mod renew_token;
pub mod search_users;
pub mod update_profile;
