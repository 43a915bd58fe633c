//! The routes of accounts: `/api/auth/…` and `/api/user/:id`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use teahouse_core::UserId;
use teahouse_protocol::classic::http::{
    ChangePasswordBody, Done, LoggedIn, LoginBody, OwnAccount, ProfileBody, PublicUser, Refreshed, RegisterBody,
};

use super::answer::{Answer, Handled};
use super::body::Fields;
use super::caller::{Actor, Caller, Reader, admit, bearer};
use super::context::Context;
use super::cookie;
use super::parameters::PathId;
use super::refusal::Refusal;
use crate::app::App;
use crate::use_cases::change_password::{PasswordChange, change_password};
use crate::use_cases::log_in::log_in;
use crate::use_cases::log_out::log_out;
use crate::use_cases::read_profile::read_profile;
use crate::use_cases::refresh_login::{RefreshError, refresh_login};
use crate::use_cases::register::{Registration, register};
use crate::use_cases::update_profile::{ProfileWish, update_profile};

pub(super) async fn sign_up(
    State(app): State<Arc<App>>,
    Context { address, .. }: Context,
    Fields(RegisterBody { username, password, email }): Fields<RegisterBody>,
) -> Handled {
    let login = register(&app, Registration { username, password, email, address }).await?;
    let answer = Answer::created(&LoggedIn::new(&login.issued.token, &login.user));
    Ok(answer.with_cookie(cookie::keep(&login.refresh, &app.config)))
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    Context { address, .. }: Context,
    Fields(body): Fields<LoginBody>,
) -> Handled {
    let login = log_in(&app, &body.username, body.password, address).await?;
    let answer = Answer::ok(&LoggedIn::new(&login.issued.token, &login.user));
    Ok(answer.with_cookie(cookie::keep(&login.refresh, &app.config)))
}

pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Context { address, .. }: Context,
    headers: HeaderMap,
) -> Handled {
    // A page that never logged in has no cookie; that is no attempt at anything.
    let old = cookie::refresh_of(&headers).ok_or(RefreshError::Void)?;
    let login = refresh_login(&app, old, address).await?;
    let answer = Answer::ok(&Refreshed::new(&login.issued.token, login.issued.expires_at));
    Ok(answer.with_cookie(cookie::keep(&login.refresh, &app.config)))
}

/// Whatever comes of it, the browser forgets the cookie.
pub(super) async fn sign_out(State(app): State<Arc<App>>, context: Context, headers: HeaderMap) -> Response {
    let outcome = end_login(&app, &context, &headers).await;
    let mut response = outcome.into_response();
    response.headers_mut().insert(axum::http::header::SET_COOKIE, cookie::forget(&app.config));
    response
}

async fn end_login(app: &Arc<App>, context: &Context, headers: &HeaderMap) -> Handled {
    let refresh = cookie::refresh_of(headers);
    let token = match bearer(headers) {
        Some(token) => match admit(app, Some(token), context.address).await {
            // The token expired over night, but the cookie still says whose login is to end.
            Err(refusal) if refresh.is_none() || !refusal.is_unauthorized() => return Err(refusal),
            admitted => admitted.ok(),
        },
        None => None,
    };
    log_out(app, token, refresh).await?;
    Ok(Answer::ok(&Done::OK))
}

pub(super) async fn me(Reader(caller): Reader) -> Handled {
    Ok(Answer::ok(&OwnAccount::from(&caller.who.user)))
}

pub(super) async fn update_me(
    State(app): State<Arc<App>>,
    Actor(caller): Actor,
    Fields(body): Fields<ProfileBody>,
) -> Handled {
    let profile = body.profile.unwrap_or_default();
    let wish = ProfileWish { nickname: profile.nickname, avatar: body.avatar, bio: profile.bio };
    let user = update_profile(&app, &caller.who.user, wish).await?;
    Ok(Answer::ok(&OwnAccount::from(&user)))
}

pub(super) async fn new_password(
    State(app): State<Arc<App>>,
    Actor(Caller { who, address }): Actor,
    Fields(ChangePasswordBody { current, new }): Fields<ChangePasswordBody>,
) -> Handled {
    change_password(&app, who, PasswordChange { current, new, address }).await?;
    Ok(Answer::ok(&Done::OK))
}

pub(super) async fn user(State(app): State<Arc<App>>, _: Reader, PathId(id): PathId) -> Handled {
    let user = read_profile(&app, UserId(id)).await?;
    Ok(Answer::ok(&PublicUser::from(&user)))
}

impl Refusal {
    fn is_unauthorized(&self) -> bool {
        self.status == axum::http::StatusCode::UNAUTHORIZED
    }
}
