//! The one table of HTTP routes. The server's router, `docs/openapi.json`, `packages/types` and the tests that walk
//! all routes are made from it. It has no handlers: the server matches over [`Endpoint`]. Outside of it are the page's
//! files and `/api/ws`, an address of the old front end that is always 404.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::v1::{FieldKind, RequestKind};

mod table;

pub use table::{Endpoint, ROUTES};

/// Adds a type's schema to a generator.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its name, from which the `operationId` of the OpenAPI document is made.
    pub name: &'static str,
    /// Its handler.
    pub handler: Handler,
    /// The method.
    pub method: Method,
    /// The path, with parameters as `{name}`.
    pub path: &'static str,
    /// The group in the OpenAPI document.
    pub tag: Tag,
    /// What it does; empty for a v1 request, which says it itself.
    pub summary: &'static str,
    /// Who may call it.
    pub auth: Auth,
    /// The limit that a call counts against.
    pub rate: RateClass,
    /// Whether it takes an `Idempotency-Key`.
    pub takes_idempotency_key: bool,
    /// What the request carries besides path parameters.
    pub input: Input,
    /// What a successful response carries.
    pub output: Output,
    /// Statuses of errors beyond those that follow from the rest of the entry, see [`Route::error_statuses`].
    pub errors: &'static [u16],
}

/// What handles the calls of a route.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Handler {
    /// The dispatcher of v1 requests.
    Request,
    /// A handler of its own.
    Endpoint(Endpoint),
}

/// A method of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// A group of routes in the OpenAPI document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tag {
    /// Registration, login, profiles.
    Accounts,
    /// The classic lobby and the WebSocket.
    Chat,
    /// Classic private conversations.
    Conversations,
    /// Rooms and their members.
    Rooms,
    /// Messages in rooms.
    Messages,
    /// Users and presence.
    People,
    /// The server API for a site's backend.
    Server,
    /// The API and the state of the server.
    About,
}

/// Who may call a route.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Auth {
    /// Everybody.
    None,
    /// A user, with a token in `Authorization: Bearer`.
    Bearer,
    /// A user, with a token in `Authorization`, in the subprotocol or in the query.
    Handshake,
    /// A browser, with the refresh cookie.
    Cookie,
    /// A user with a token, a browser with the refresh cookie, or both.
    BearerOrCookie,
    /// A site's backend, with a key in `Authorization: ApiKey`.
    ApiKey,
}

/// The limit that a call counts against (docs/protocol.md, "Limits").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RateClass {
    /// None.
    Unlimited,
    /// Attempts from the caller's address.
    Address,
    /// The user's reads.
    Reads,
    /// The user's envelopes.
    Envelopes,
    /// The user's messages, edits, and changes of names.
    Sends,
    /// The user's connections.
    Connects,
}

/// What a request carries besides path parameters.
#[derive(Clone, Copy)]
pub enum Input {
    /// Nothing. A body is ignored.
    Nothing,
    /// The `data` of a v1 request: path, query and body together.
    Request {
        /// The request.
        kind: RequestKind,
        /// The value of the request's `on`, where the method implies it.
        on: Option<bool>,
    },
    /// Parameters in the query.
    Query(&'static [QueryParameter]),
    /// A JSON body.
    Body(SchemaOf),
}

/// A parameter in the query.
#[derive(Clone, Copy)]
pub struct QueryParameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub description: &'static str,
    /// Its type.
    pub schema: SchemaOf,
    /// Whether a request needs it.
    pub required: bool,
}

/// What a successful response carries.
#[derive(Clone, Copy)]
pub enum Output {
    /// 200 with this `data`, in the envelope of `crate::http`.
    Ok(SchemaOf),
    /// 201 with this `data`, in the same envelope.
    Created(SchemaOf),
    /// 200 with this body.
    Live(SchemaOf),
    /// 200 or 503 with this body.
    Health(SchemaOf),
    /// The OpenAPI document.
    Document,
    /// Metrics in the text format of OpenMetrics, on a listener of their own.
    Metrics,
    /// 101: the connection becomes a WebSocket. Without an upgrade, 426.
    Upgrade,
}

impl Method {
    /// As HTTP spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Route {
    /// The `operationId` of the OpenAPI document.
    #[must_use]
    pub fn operation_id(&self) -> String {
        let (first, rest) = self.name.split_at(1);
        first.to_lowercase() + rest
    }

    /// The names of the parameters in the path. Those of a v1 request are fields of its `data`.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The kind of a field of a v1 request; every other parameter of a path is a number.
    #[must_use]
    pub fn field_kind(&self, name: &str) -> FieldKind {
        let Input::Request { kind, .. } = self.input else { return FieldKind::Number };
        kind.fields().iter().find(|(field, _)| *field == name).map_or(FieldKind::Number, |(_, kind)| *kind)
    }

    /// Whether the path has this parameter.
    #[must_use]
    pub fn has_path_parameter(&self, name: &str) -> bool {
        self.path_parameters().any(|parameter| parameter == name)
    }

    /// The fields of a v1 request that come in the query: in a `GET`, all that neither the path nor the method says.
    pub fn query_fields(&self) -> impl Iterator<Item = (&'static str, FieldKind)> {
        let (fields, implied) = match self.input {
            Input::Request { kind, on } if self.method == Method::Get => (kind.fields(), on.is_some()),
            _ => (&[][..], false),
        };
        let is_implied = move |name: &str| implied && name == "on";
        fields.iter().copied().filter(move |(name, _)| !self.has_path_parameter(name) && !is_implied(name))
    }

    /// Whether the request has a body that the server reads.
    #[must_use]
    pub fn has_body(&self) -> bool {
        match self.input {
            Input::Nothing | Input::Query(_) => false,
            Input::Request { .. } => !matches!(self.method, Method::Get | Method::Delete),
            Input::Body(_) => true,
        }
    }

    /// The status of a successful response.
    #[must_use]
    pub fn success_status(&self) -> u16 {
        match self.output {
            Output::Created(_) => 201,
            Output::Upgrade => 101,
            _ => 200,
        }
    }

    /// The statuses of every error that the route can respond with, in ascending order.
    #[must_use]
    pub fn error_statuses(&self) -> Vec<u16> {
        if matches!(self.output, Output::Live(_) | Output::Health(_) | Output::Document | Output::Metrics) {
            return Vec::new();
        }
        let mut statuses = vec![500, 503];
        statuses.extend(self.errors);
        if self.auth != Auth::None {
            statuses.extend([401, 429]);
        }
        if self.rate != RateClass::Unlimited {
            statuses.push(429);
        }
        if !matches!(self.input, Input::Nothing) || self.path.contains('{') || self.takes_idempotency_key {
            statuses.push(400);
        }
        if self.path.contains('{') {
            statuses.push(404);
        }
        if self.has_body() {
            statuses.extend([408, 413, 422]);
        }
        if self.takes_idempotency_key {
            statuses.push(409);
        }
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

/// The schema of a type, as a value for the table.
const fn schema_of<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_routes_are_the_same() {
        let addresses: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect();
        let operations: BTreeSet<_> = ROUTES.iter().map(|route| route.operation_id()).collect();
        assert_eq!((addresses.len(), operations.len()), (ROUTES.len(), ROUTES.len()));
    }

    #[test]
    fn every_route_says_what_it_does_once() {
        for route in ROUTES {
            let is_request = matches!(route.input, Input::Request { .. });
            assert_eq!(route.summary.is_empty(), is_request, "{}", route.name);
        }
    }

    #[test]
    fn the_fields_of_a_request_are_in_its_path_its_query_or_its_body() {
        for route in ROUTES {
            let Input::Request { kind, on } = route.input else { continue };
            let fields: Vec<&str> = kind.fields().iter().map(|(name, _)| *name).collect();
            for parameter in route.path_parameters() {
                assert!(fields.contains(&parameter), "{}: {parameter} is no field of {kind:?}", route.name);
            }
            assert!(on.is_none() || fields.contains(&"on"), "{}", route.name);
            let in_address = route.path_parameters().count() + route.query_fields().count() + usize::from(on.is_some());
            assert!(in_address == fields.len() || route.has_body(), "{}", route.name);
            assert!(route.query_fields().all(|(_, kind)| kind != FieldKind::List), "{}", route.name);
        }
    }

    #[test]
    fn a_route_is_handled_as_a_request_when_its_input_is_one() {
        for route in ROUTES {
            let is_request = matches!(route.input, Input::Request { .. });
            assert_eq!(route.handler == Handler::Request, is_request, "{}", route.name);
        }
    }

    #[test]
    fn error_statuses_follow_from_the_entry() {
        let of =
            |name: &str| ROUTES.iter().find(|route| route.name == name).map(Route::error_statuses).unwrap_or_default();
        assert!(of("Live").is_empty());
        assert_eq!(of("ListRooms"), [401, 429, 500, 503]);
        assert_eq!(of("SendMessage"), [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503]);
        for route in ROUTES {
            let needs_credentials = route.auth != Auth::None || route.errors.contains(&401);
            assert_eq!(route.error_statuses().contains(&401), needs_credentials, "{}", route.name);
        }
    }
}
