//! The specification has every request, event and route, with all their fields.

use serde_json::Value;
use teahouse_protocol::routes::ROUTES;
use teahouse_protocol::schema_catalog::{SCHEMAS_PATH, SchemaCatalog, schema_catalog};
use teahouse_protocol::v1::{EVENT_TYPES, HELD_ROOMS_MAX, REQUEST_TYPES};

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

/// The text below a heading, up to the next one of its level or above.
fn section(heading: &str) -> String {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let ends = |line: &str| (1..=level).contains(&line.chars().take_while(|c| *c == '#').count());
    let lines: Vec<&str> =
        PROTOCOL.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !ends(line)).collect();
    assert!(!lines.is_empty(), "there is no section {heading}");
    lines.join("\n")
}

/// The cells of the row that begins with this.
fn row<'a>(section: &'a str, first: &str) -> Vec<&'a str> {
    let is_its = |line: &&str| line.starts_with(&format!("| {first} |"));
    let rows: Vec<&'a str> = section.lines().filter(is_its).collect();
    let [row] = rows[..] else { panic!("there are {} rows of {first}", rows.len()) };
    row.trim_matches('|').split('|').map(str::trim).collect()
}

fn properties(schema: &Value) -> Vec<&str> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn shape<'a>(schema: &'a Value, catalog: &'a SchemaCatalog) -> (&'a str, &'a Value) {
    match schema["$ref"].as_str() {
        Some(path) => {
            let name = path.trim_start_matches(SCHEMAS_PATH);
            (name, &catalog.schemas[name])
        }
        None => ("", schema),
    }
}

/// Schemas that have a section of their own, and how rows refer to it.
const OWN_SECTION: [(&str, &str); 3] =
    [("Message", "[message](#message)"), ("Room", "room"), ("Person", "[person](#person)")];

/// Whether a cell names every field of a schema, or the section that does.
fn assert_names(cell: &str, schema: &Value, catalog: &SchemaCatalog, of: &str) {
    let (name, shape) = shape(schema, catalog);
    if let Some((_, reference)) = OWN_SECTION.iter().find(|(own, _)| *own == name) {
        assert!(cell.contains(reference), "{of}: {cell} does not refer to {reference}");
        return;
    }
    let fields = properties(shape);
    for field in &fields {
        assert!(cell.contains(&format!("`{field}`")), "{of}: {cell} does not name `{field}`");
    }
}

#[test]
fn the_table_of_requests_has_every_request_with_every_field_and_its_response() {
    let (catalog, requests) = (schema_catalog(), section("### Requests"));
    assert_eq!(catalog.requests.len(), REQUEST_TYPES.len());
    for request in &catalog.requests {
        let cells = row(&requests, &format!("`{}`", request.kind));
        assert_names(cells[1], &request.data, &catalog, request.kind);
        let required: Vec<&str> =
            request.data["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for field in properties(&request.data) {
            let marked = cells[1].contains(&format!("`{field}`?"));
            let may_be_absent = !required.contains(&field);
            assert_eq!(marked, may_be_absent, "{} {field}", request.kind);
        }
        for ack in &request.ack {
            assert_names(cells[2], ack, &catalog, request.kind);
        }
    }
}

#[test]
fn the_table_of_events_has_every_event_with_every_field() {
    let (catalog, events) = (schema_catalog(), section("### Events"));
    for kind in EVENT_TYPES {
        let cells = row(&events, &format!("`{kind}`"));
        let event = catalog.events.iter().find(|event| event.kind == *kind);
        if let Some(event) = event {
            assert_names(cells[1], &event.data, &catalog, kind);
        }
    }
    assert_names(row(&events, "`error`")[1], &catalog.schemas["Refusal"], &catalog, "error");
    assert_names(&events, &catalog.schemas["Limits"], &catalog, "limits");
}

#[test]
fn the_sections_of_schemas_have_every_field() {
    let catalog = schema_catalog();
    for (name, _) in OWN_SECTION {
        let section = section(&format!("#### {name}"));
        let table: String = section.lines().filter(|line| line.starts_with('|')).collect();
        for field in properties(&catalog.schemas[name]) {
            assert!(table.contains(&format!("`{field}`")), "{name}: `{field}`");
        }
    }
    // A mark shows which fields may be absent.
    for (name, field) in [("Message", "change"), ("Room", "peer"), ("Room", "last_message"), ("Room", "reads")] {
        assert!(section(&format!("#### {name}")).contains(&format!("`{field}`?")), "{name}: `{field}`");
    }
    for kind in ["new", "edit", "delete"] {
        assert!(section("#### Message").contains(&format!(r#"{{"kind":"{kind}""#)), "{kind}");
    }
    assert!(row(&section("### Events"), "`change`")[1].contains(r#"{"kind":"react","user","emoji","on"}"#));
}

/// The routes that a row of a table has in its first cell: methods, then paths, both separated by commas.
fn routes_of_row(line: &str) -> Vec<String> {
    let first = line.strip_prefix("| ").and_then(|line| line.split(" | ").next()).unwrap_or_default();
    let Some((methods, paths)) = first.split_once('`') else { return Vec::new() };
    let paths: Vec<&str> = paths.split('`').filter(|part| part.starts_with('/')).collect();
    let methods = methods.split(',').map(str::trim).filter(|method| !method.is_empty());
    methods.flat_map(|method| paths.iter().map(move |path| format!("{method} `{path}`"))).collect()
}

#[test]
fn every_route_is_in_a_table_of_the_specification_and_no_other() {
    let description: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let spelled = |method: &str, path: &str| format!("{method} `{}`", path.replace('{', ":").replace('}', ""));
    let mut described: Vec<String> = Vec::new();
    for (path, operations) in description["paths"].as_object().expect("paths") {
        for method in operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()) {
            described.push(spelled(&method, path));
        }
    }
    let mut routes: Vec<String> = ROUTES.iter().map(|route| spelled(route.method.as_str(), route.path)).collect();
    described.sort_unstable();
    routes.sort_unstable();
    assert_eq!(described, routes);

    // The WebSocket has a section of its own, and metrics are in the configuration's page.
    routes.retain(|route| !["GET `/api/chat/ws`", "GET `/metrics`"].contains(&route.as_str()));
    let tables = [section("### The classic routes"), section("### /api/v1"), section("## The server API")].join("\n");
    let mut written: Vec<String> = tables.lines().flat_map(routes_of_row).collect();
    written.sort_unstable();
    assert_eq!(written, routes);
    assert!(section("## Connecting").contains("`GET /api/chat/ws`"));
}

#[test]
fn the_limits_have_the_number_of_rooms_in_hello() {
    assert_eq!(row(&section("## Limits"), "rooms named in `hello`")[1], HELD_ROOMS_MAX.to_string());
    assert!(section("### Hello and catching up").contains(&format!("at most {HELD_ROOMS_MAX} are named")));
}
