//! The routes of accounts and logins: `/api/auth/…` and `/api/user/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use teahouse_core::UserId;
use teahouse_protocol::classic::http::{
    ChangePasswordBody, LoggedIn, LoginBody, OwnAccount, ProfileBody, PublicUser, Refreshed, RegisterBody,
};
use teahouse_protocol::http::Done;

use super::body::JsonBody;
use super::caller::{Actor, Caller, Reader, Sender, bearer};
use super::context::Context;
use super::cookie;
use super::parameters::PathId;
use super::response::{ApiResponse, ApiResult, http_status};
use crate::app::App;
use crate::errors::ApiError;
use crate::known_clients::KnownBrowser;
use crate::use_cases::accounts::authenticate::authenticate;
use crate::use_cases::accounts::change_password::{PasswordChange, change_password};
use crate::use_cases::accounts::log_in::{LogIn, Login, log_in};
use crate::use_cases::accounts::log_out::log_out;
use crate::use_cases::accounts::read_profile::read_profile;
use crate::use_cases::accounts::refresh_login::{RefreshError, refresh_login};
use crate::use_cases::accounts::register::{Registration, register};
use crate::use_cases::accounts::update_profile::{ProfileUpdate, update_profile};

pub(super) async fn sign_up(
    State(app): State<Arc<App>>,
    Context { address, .. }: Context,
    headers: HeaderMap,
    JsonBody(RegisterBody { username, password, email }): JsonBody<RegisterBody>,
) -> ApiResult {
    let login = register(&app, Registration { username, password, email, address }).await?;
    Ok(logged_in(&app, &login, &known_browser(&app, &headers)).created())
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    Context { address, .. }: Context,
    headers: HeaderMap,
    JsonBody(body): JsonBody<LoginBody>,
) -> ApiResult {
    let browser = known_browser(&app, &headers);
    let request = LogIn { name: &body.username, password: body.password, address, browser: &browser };
    let login = log_in(&app, request).await?;
    Ok(logged_in(&app, &login, &browser))
}

fn known_browser(app: &App, headers: &HeaderMap) -> KnownBrowser {
    cookie::browser_of(headers).map(|cookie| app.tokens.known_clients.read(cookie, app.now())).unwrap_or_default()
}

/// The response to a login, with both cookies.
fn logged_in(app: &App, login: &Login, browser: &KnownBrowser) -> ApiResponse {
    let known = app.tokens.known_clients.remember(browser, login.user.profile.id, app.now());
    ApiResponse::ok(&LoggedIn::new(&login.issued.token, &login.user))
        .with_cookie(cookie::keep(&login.refresh, &app.config))
        .with_cookie(cookie::keep_browser(&known, &app.config))
}

pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Context { address, .. }: Context,
    headers: HeaderMap,
) -> ApiResult {
    // A page without a login has no cookie. That is no attack and does not count against the address.
    let old = cookie::refresh_of(&headers).ok_or(RefreshError::Invalid)?;
    let login = refresh_login(&app, old, address).await?;
    let response = ApiResponse::ok(&Refreshed::new(&login.issued.token, login.issued.expires_at));
    Ok(response.with_cookie(cookie::keep(&login.refresh, &app.config)))
}

/// The browser forgets the cookie even when the request fails.
pub(super) async fn sign_out(State(app): State<Arc<App>>, context: Context, headers: HeaderMap) -> Response {
    let mut response = end_login(&app, &context, &headers).await.into_response();
    response.headers_mut().insert(SET_COOKIE, cookie::forget(&app.config));
    response
}

async fn end_login(app: &Arc<App>, context: &Context, headers: &HeaderMap) -> ApiResult {
    let refresh = cookie::refresh_of(headers);
    let token = match bearer(headers) {
        Some(token) => match authenticate(app, Some(token), context.address).await.map_err(ApiError::from) {
            // The token may have expired; the cookie still names the login to end.
            Err(error) if refresh.is_none() || http_status(&error) != StatusCode::UNAUTHORIZED => return Err(error),
            authenticated => authenticated.ok(),
        },
        None => None,
    };
    log_out(app, token, refresh).await?;
    Ok(ApiResponse::ok(&Done::OK))
}

pub(super) async fn me(Reader(caller): Reader) -> ApiResult {
    Ok(ApiResponse::ok(&OwnAccount::from(&caller.who.user)))
}

pub(super) async fn update_me(
    State(app): State<Arc<App>>,
    Sender(caller, JsonBody(body)): Sender<JsonBody<ProfileBody>>,
) -> ApiResult {
    let profile = body.profile.unwrap_or_default();
    let update = ProfileUpdate { nickname: profile.nickname, avatar: body.avatar, bio: profile.bio };
    let user = update_profile(&app, &caller.who.user, update).await?;
    Ok(ApiResponse::ok(&OwnAccount::from(&user)))
}

pub(super) async fn new_password(
    State(app): State<Arc<App>>,
    Actor(Caller { who, address }): Actor,
    JsonBody(ChangePasswordBody { current, new }): JsonBody<ChangePasswordBody>,
) -> ApiResult {
    change_password(&app, who, PasswordChange { current, new, address }).await?;
    Ok(ApiResponse::ok(&Done::OK))
}

pub(super) async fn user(State(app): State<Arc<App>>, _: Reader, PathId(id): PathId) -> ApiResult {
    let user = read_profile(&app, UserId(id)).await?;
    Ok(ApiResponse::ok(&PublicUser::from(&user)))
}
