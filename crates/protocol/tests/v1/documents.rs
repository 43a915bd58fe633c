//! Everything that is said stands in the specification, with every field that it has.

use serde_json::Value;
use teahouse_protocol::catalogue::{Catalogue, SHAPES_PATH, catalogue};
use teahouse_protocol::v1::{EVENT_TYPES, HELD_ROOMS_MAX, REQUEST_TYPES};

const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

/// What stands below a heading, up to the next one of its level or above.
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

fn shape<'a>(schema: &'a Value, catalogue: &'a Catalogue) -> (&'a str, &'a Value) {
    match schema["$ref"].as_str() {
        Some(path) => {
            let name = path.trim_start_matches(SHAPES_PATH);
            (name, &catalogue.shapes[name])
        }
        None => ("", schema),
    }
}

/// Shapes that have a section of their own, and how rows refer to it.
const OWN_SECTION: [(&str, &str); 3] =
    [("Message", "[message](#message)"), ("Room", "room"), ("Person", "[person](#person)")];

/// Whether a cell names every field of a schema, or the section that does.
fn assert_names(cell: &str, schema: &Value, catalogue: &Catalogue, of: &str) {
    let (name, shape) = shape(schema, catalogue);
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
fn every_request_stands_in_the_table_with_every_field_and_its_answer() {
    let (catalogue, requests) = (catalogue(), section("### Requests"));
    assert_eq!(catalogue.requests.len(), REQUEST_TYPES.len());
    for request in &catalogue.requests {
        let cells = row(&requests, &format!("`{}`", request.kind));
        assert_names(cells[1], &request.data, &catalogue, request.kind);
        let required: Vec<&str> =
            request.data["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for field in properties(&request.data) {
            let marked = cells[1].contains(&format!("`{field}`?"));
            // A room needs a name, which is looked at later than the shape of the request.
            let may_be_absent = !required.contains(&field) && (request.kind, field) != ("create", "name");
            assert_eq!(marked, may_be_absent, "{} {field}", request.kind);
        }
        for ack in &request.ack {
            assert_names(cells[2], ack, &catalogue, request.kind);
        }
    }
}

#[test]
fn every_event_stands_in_the_table_with_every_field() {
    let (catalogue, events) = (catalogue(), section("### Events"));
    for kind in EVENT_TYPES {
        let cells = row(&events, &format!("`{kind}`"));
        let event = catalogue.events.iter().find(|event| event.kind == *kind);
        for data in event.into_iter().flat_map(|event| &event.data) {
            assert_names(cells[1], data, &catalogue, kind);
        }
    }
    assert_names(row(&events, "`error`")[1], &catalogue.shapes["Refusal"], &catalogue, "error");
    assert_names(&events, &catalogue.shapes["Limits"], &catalogue, "limits");
}

#[test]
fn the_shapes_that_have_sections_stand_there_with_every_field() {
    let catalogue = catalogue();
    for (name, _) in OWN_SECTION {
        let section = section(&format!("#### {name}"));
        let table: String = section.lines().filter(|line| line.starts_with('|')).collect();
        for field in properties(&catalogue.shapes[name]) {
            assert!(table.contains(&format!("`{field}`")), "{name}: `{field}`");
        }
    }
    // What may be absent is marked.
    for (name, field) in [("Message", "change"), ("Room", "peer"), ("Room", "last_message"), ("Room", "reads")] {
        assert!(section(&format!("#### {name}")).contains(&format!("`{field}`?")), "{name}: `{field}`");
    }
    for kind in ["new", "edit", "delete", "react"] {
        assert!(section("#### Message").contains(&format!(r#"{{"kind":"{kind}""#)), "{kind}");
    }
}

#[test]
fn every_route_of_the_description_stands_in_a_table_and_no_other() {
    let description: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut described: Vec<String> = Vec::new();
    for (path, operations) in description["paths"].as_object().expect("paths") {
        let path = path.replace('{', ":").replace('}', "");
        for method in operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()) {
            described.push(format!("{method} `{path}`"));
        }
    }
    let tables = [section("### /api/v1"), section("## The server API")].join("\n");
    let mut written: Vec<String> = Vec::new();
    for line in tables.lines() {
        let first = line.strip_prefix("| ").and_then(|line| line.split(" | ").next()).unwrap_or_default();
        if first.contains("`/api/") {
            written.push(first.to_owned());
        }
    }
    described.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, described);
}

#[test]
fn the_most_rooms_that_hello_names_stand_among_the_limits() {
    assert_eq!(row(&section("## Limits"), "rooms named in `hello`")[1], HELD_ROOMS_MAX.to_string());
    assert!(section("### Hello and catching up").contains(&format!("at most {HELD_ROOMS_MAX} are named")));
}
