//! The clean story with its reaction, and each defect that a server could add to that.

use teahouse_checker::wire::{Change, ReactionsChange, ServerBody, ServerEnvelope};
use teahouse_checker::{Fact, Rule};

use super::model::{LOBBY, Model, message};
use super::mutations::{check, nothing, positions};

fn is_reaction(fact: &Fact) -> bool {
    matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Change(_), .. }))
}

/// Alters the first reaction that a device received.
fn alter(device: &'static str, how: fn(&mut ReactionsChange)) -> impl FnOnce(&mut Model) {
    move |model| {
        let position = positions(model, device, is_reaction)[0];
        if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Change(change), .. }) =
            &mut model.history.events[position].fact
        {
            how(change);
        }
    }
}

#[test]
fn a_reaction_that_differs_between_devices_or_from_the_store() {
    let delivered = &[Rule::Delivered];
    check(
        "other counts",
        delivered,
        nothing,
        alter("tablet", |change| change.reactions.extend([("🍵".to_owned(), 1)])),
    );
    // The message that it was about stays without it.
    let both = &[Rule::Delivered, Rule::Viewed];
    check("another message", both, nothing, alter("tablet", |change| change.id = 2));
    check("no message", both, nothing, alter("tablet", |change| change.id = 99));
    check(
        "another user",
        delivered,
        nothing,
        alter("tablet", |change| {
            change.change = Change::React { user: 3, emoji: "👍".to_owned(), on: true };
        }),
    );
}

#[test]
fn a_reaction_that_is_lost_or_repeated() {
    check("lost", &[Rule::Viewed], nothing, |model| {
        let position = positions(model, "tablet", is_reaction)[0];
        model.history.events.remove(position);
    });
    check("repeated", &[Rule::Viewed], nothing, |model| {
        let position = positions(model, "tablet", is_reaction)[0];
        let event = model.history.events[position].clone();
        model.history.events.insert(position, event);
    });
}

#[test]
fn a_reaction_in_the_wrong_form() {
    check("within a catch-up", &[Rule::Viewed], nothing, |model| {
        let reaction = model.history.events[positions(model, "tablet", is_reaction)[0]].fact.clone();
        let begins = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::CatchUp { room, .. }, .. }) if *room == LOBBY);
        let position = *positions(model, "phone", begins).last().unwrap();
        let event = teahouse_checker::Event { fact: reaction, ..model.history.events[position].clone() };
        model.history.events.insert(position + 1, event);
    });
    check("with the whole message", &[Rule::Viewed], nothing, |model| {
        let row = model.row(1).clone();
        let position = positions(model, "tablet", is_reaction)[0];
        if let Fact::EnvelopeReceived(ServerEnvelope { body, .. }) = &mut model.history.events[position].fact
            && let ServerBody::Change(ReactionsChange { version, change, .. }) = body.clone()
        {
            let mut whole = message(&row, Some(change));
            whole.version = version;
            *body = ServerBody::Message(whole);
        }
    });
}
