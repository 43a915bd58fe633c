//! The tests that every implementation of the store contract passes, as functions over a [`Fixture`].
//!
//! An implementation writes a [`StoreFactory`] and calls [`conformance_tests!`], which makes one `#[tokio::test]` for
//! each rule. Rows such as `p12` in the names of tests are rows of docs/internals/regressions.md.

#![allow(clippy::unwrap_used)]

mod accounts;
mod catch_up;
mod changes;
mod convergence;
mod conversations;
mod fixture;
mod history;
mod membership;
mod mentions;
mod messages;
mod recording;
mod rooms;
mod site;
mod users;

pub use fixture::*;
pub use recording::{MessageCommit, RecordingSink};

/// Calls a macro with its arguments and all rules. This list is the only one: a rule that is missing here is dead code.
#[doc(hidden)]
#[macro_export]
macro_rules! with_all_rules {
    ($make:path, $($arguments:tt)*) => {
        $make! { [$($arguments)*]
        messages: [
            a_message_is_stored_as_it_was_said_and_told_as_it_is_stored,
            h11_the_senders_address_is_kept_and_never_told,
            h12_fifty_senders_at_once_are_told_in_the_order_of_history_without_a_hole,
            times_never_decrease_when_the_clock_jumps_back,
            p12_the_same_client_id_gives_the_first_answer_for_ever,
            p12_the_same_client_id_at_once_is_stored_once_and_skips_no_version,
            p12_the_same_client_id_for_something_else_is_a_conflict,
            who_may_not_write_is_told_why_and_nothing_happens,
            a_notice_of_the_site_takes_no_membership_and_has_no_place_between_two_people,
            p6_p7_history_is_paged_by_message_and_misses_and_repeats_nothing,
            p6_p7_a_deleted_message_is_left_out_and_still_is_a_place,
            h9_paging_by_seq_shows_each_message_once_and_tells_what_was_deleted_behind_it,
            any_text_is_only_text,
            what_was_handed_over_is_committed_and_told_though_nobody_waits,
            a_name_that_changes_shows_on_what_was_said_before,
            a_closed_store_says_so_and_everything_is_there_when_it_is_opened_again,
        ]
        changes: [
            an_edit_is_told_and_takes_the_next_version,
            an_edit_is_not_dated_before_the_message,
            only_the_author_edits_and_only_while_they_may_write_there,
            p15_deleting_is_told_and_takes_the_next_version,
            p15_a_moderator_deletes_in_rooms_but_not_between_two_people,
            ones_own_words_can_be_deleted_while_muted_but_not_after_leaving_a_private_room,
            a_reaction_is_told_with_the_counts_of_all_and_takes_the_next_version,
            only_members_who_may_write_react_and_only_to_what_is_there,
            a_message_has_so_many_different_reactions_and_each_as_often_as_there_are_people,
        ]
        mentions: [
            members_are_mentioned_by_their_names_whatever_the_case,
            only_members_of_the_room_are_mentioned_there,
            an_edit_mentions_whom_the_new_words_name,
            a_flood_of_names_stays_plain_text,
        ]
        history: [
            history_goes_by_seq_from_anywhere_in_either_direction,
            a_page_shows_deleted_ones_in_their_places_and_what_oneself_reacted,
            public_rooms_are_read_by_everybody_and_others_by_their_members,
        ]
        catch_up: [
            p14_catching_up_is_complete_and_paged_however_much_was_missed,
            too_many_changes_or_another_time_begin_the_room_anew,
            a_page_and_the_rooms_version_are_of_one_moment_while_others_write,
            whatever_changes_pages_and_beginning_anew_lead_to_the_truth,
        ]
        convergence: [
            whoever_applies_all_commits_sees_what_a_fresh_look_shows,
        ]
        rooms: [
            a_new_room_has_its_owner_in_it_and_is_told_to_the_owner,
            names_of_rooms_are_unique_whatever_their_case,
            a_rooms_name_and_title_are_changed_by_whom_they_belong_to,
            a_welcome_shows_every_room_as_its_member_sees_it,
            one_room_is_seen_by_several_as_each_of_them_sees_it,
            a_direct_room_is_listed_with_its_first_message_or_for_who_opened_it,
            who_writes_first_has_the_room_too_and_hears_of_it_before_the_message,
            a_mute_shows_in_an_entry_as_long_as_it_is_in_force,
            read_marks_of_others_show_in_small_private_rooms_only,
            unread_is_capped_in_entries_too,
            one_browses_public_rooms_that_one_is_not_in,
            one_is_in_so_many_rooms_and_direct_ones_do_not_count,
        ]
        membership: [
            joining_a_public_room_begins_at_its_head,
            private_and_direct_rooms_look_like_none_to_others,
            one_leaves_and_hears_nothing_and_says_nothing_from_there_on,
            nobody_leaves_the_lobby_or_a_direct_room,
            members_bring_others_in,
            a_removed_member_is_out_at_once_whatever_the_writer_remembers,
            moderators_remove_and_nobody_an_equal,
            owners_give_roles_and_the_last_one_stays_one,
            a_room_whose_last_owner_leaves_has_another_one,
            whoever_comes_into_an_empty_room_owns_it,
            members_are_listed_page_by_page,
        ]
        conversations: [
            p5_two_first_messages_at_once_make_one_conversation_with_both,
            p5_both_open_at_once_and_get_the_same_room,
            an_opened_room_is_listed_for_who_opened_it_until_there_is_a_message,
            nobody_opens_a_room_with_themselves_or_with_nobody,
            a_direct_room_is_seen_by_its_two_people_only,
            conversations_come_newest_first,
            p3_p4_unread_is_derived_from_the_read_mark_and_the_preview_from_the_messages,
            p11_a_read_mark_never_goes_back_and_never_beyond_the_head,
            p11_reading_ones_own_words_moves_the_mark_and_tells_no_author,
            p11_three_devices_mark_at_once_backwards_too_and_the_highest_stands,
            unread_is_capped_at_999_for_each_room,
            everybody_is_in_the_lobby_from_the_beginning_with_its_head_as_read,
            p2_a_long_private_message_is_stored_whole_with_its_preview,
        ]
        accounts: [
            names_and_addresses_are_unique_whatever_their_case,
            one_name_registered_at_once_is_one_account,
            own_ids_start_where_they_are_told_to,
            a_sites_user_raced_is_one_user,
            a_sites_name_that_is_taken_gets_a_suffix_and_a_taken_address_is_left_out,
            a_profile_changes_where_it_is_told_to,
            profiles_come_in_the_order_of_ids_and_unknown_ones_are_left_out,
            roles_sanctions_and_disabling_are_kept,
            renewing_a_hash_does_not_undo_a_password_that_was_changed_meanwhile,
            p19_a_token_is_worth_what_revocations_say,
            a_look_at_a_token_does_not_hang_on_whoever_asked_first,
            p19_a_changed_password_ends_every_other_token,
            a_refresh_token_is_good_for_one_rotation,
            logging_out_or_being_disabled_ends_refresh_tokens,
            revocations_are_cleared_away_only_long_after_they_expired,
        ]
        users: [
            a_new_name_or_picture_is_told_to_everybody,
            users_are_found_by_how_their_names_begin,
            a_beginning_that_thousands_have_finds_the_first_by_name,
            an_operator_lists_all_users_page_by_page,
        ]
        site: [
            a_key_is_good_until_it_is_revoked_and_names_are_unique,
            a_site_puts_its_users_and_they_can_be_written_to,
            a_site_renames_its_users_but_takes_no_name_from_another,
        ]
        }
    };
}

/// A test for each rule, grouped in modules, in the crate that calls it. The expression makes a [`StoreFactory`] for a
/// store that is empty; every test evaluates it once.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::with_all_rules! { $crate::make_tests, $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! make_tests {
    ([$factory:expr] $($module:ident: [$($rule:ident),* $(,)?])*) => {
        $(
            mod $module {
                use super::*;

                $(
                    #[tokio::test]
                    async fn $rule() {
                        $crate::rules::$module::$rule($factory).await;
                    }
                )*
            }
        )*
    };
}

macro_rules! make_rules {
    ([] $($module:ident: [$($rule:ident),* $(,)?])*) => {
        #[doc(hidden)]
        pub mod rules {
            $(
                pub mod $module {
                    $(
                        pub async fn $rule(factory: impl crate::StoreFactory + 'static) {
                            crate::$module::$rule(crate::Fixture::new(Box::new(factory)).await).await;
                        }
                    )*
                }
            )*
        }
    };
}

with_all_rules! { make_rules, }
